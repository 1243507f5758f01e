//! Which variants work takes on an adapter: those chosen for it, or the portable ones.

use super::Event;
use crate::graph::{Machine, Variants};
use crate::platform;
use crate::tune::{self, TuneOptions};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// When variants are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tuning {
    /// Once for an adapter, driver and shape. A program that imitates a GPU is left portable: its
    /// speed is not what it is there for.
    #[default]
    Once,
    /// Now, on any adapter, whatever is remembered.
    Again,
    /// Never: everything portable.
    Off,
}

/// Chooses variants for what `set_up` makes on a machine, and sets them. `half` allows f16 factors.
pub(super) async fn tune(
    machine: &mut Machine, tuning: Tuning, half: bool, set_up: impl FnOnce(&mut Machine) -> Result<()>, emit: &mut dyn FnMut(Event),
) -> Result<Variants> {
    let Machine::Gpu(gpu) = machine else { return Ok(Variants::default()) };
    let gpu = gpu.gpu().clone();
    let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
    if tuning == Tuning::Off || (software && tuning == Tuning::Once) {
        return Ok(Variants::default());
    }
    let mut counting = Machine::Counting(machine.counter());
    set_up(&mut counting)?;
    let Machine::Counting(counter) = counting else { unreachable!("it was made to count") };
    let options = TuneOptions { retune: tuning == Tuning::Again, half, ..TuneOptions::of(&gpu, platform::cache_dir()) };
    let clock = platform::Clock::start();
    let mut timed = false;
    let tuned = tune::tune(&gpu, counter.choices(), &options, &mut |done, of, what| {
        timed = true;
        emit(Event::Tuning { done, of, what: what.into() });
    })
    .await?;
    if timed {
        emit(Event::Note { text: format!("tuned for {} in {:.1} s; --tune does it again", gpu.name(), clock.seconds()) });
    }
    tuned.notes.into_iter().for_each(|text| emit(Event::Note { text }));
    machine.set_variants(tuned.variants.clone());
    Ok(tuned.variants)
}

/// Sets the variants that a run was begun with. Returns what a person should know: which of them this
/// machine lacks, and how many belong to no operation of the run.
pub(super) fn resume(machine: &mut Machine, variants: Variants, set_up: impl FnOnce(&mut Machine) -> Result<()>) -> Result<Vec<String>> {
    let Machine::Gpu(gpu) = machine else { return Ok(Vec::new()) };
    let mut counting = Machine::Counting(gpu.counter());
    set_up(&mut counting)?;
    let Machine::Counting(counter) = counting else { unreachable!("it was made to count") };
    let mut notes = Vec::new();
    for (key, (choice, _)) in counter.choices() {
        let Some(name) = variants.chosen(key) else { continue };
        if !gpu.candidates(&*choice.op, choice.specs()).iter().any(|candidate| candidate.name == name) {
            notes.push(format!(
                "the run was begun with variant {name} of {key}, which this device lacks: it goes on with the portable one, and no longer to the bit"
            ));
        }
    }
    notes.extend(unknown(&variants, |key| counter.choices().contains_key(key)));
    machine.set_variants(variants);
    Ok(notes)
}

/// A note on the choices that belong to no operation of a run, if there are any.
fn unknown(variants: &Variants, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let unknown: Vec<&str> = variants.iter().map(|(key, _)| key).filter(|key| !is_known(key)).collect();
    let first = unknown.first()?;
    Some(format!(
        "variants.json has {} kernel choices that belong to no operation of this run here, such as {first}: its operations take the portable kernels \
         where nothing else is named, and the run may go on no longer to the bit",
        unknown.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_without_an_operation_are_told() {
        let mut variants = Variants::default();
        variants.choose("matmul Matmul: (1, 2) F32 → ".into(), "wide");
        variants.choose("matmul Product: (1, 2) F32 → ".into(), "wide");
        assert_eq!(unknown(&variants, |_| true), None);
        let note = unknown(&variants, |key| key.contains("Matmul")).unwrap();
        assert!(note.contains("has 1 kernel choices") && note.contains("such as matmul Product: (1, 2) F32"), "{note}");
    }
}
