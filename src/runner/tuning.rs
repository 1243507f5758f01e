//! Kernel tuning: selects a variant for each operation on an adapter, or the portable ones.

use super::Event;
use crate::graph::{Machine, Variants};
use crate::platform;
use crate::tune::{self, TuneOptions};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// When kernels are tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tuning {
    /// Once per adapter, driver and shape; the choices are cached. Software adapters use the portable variants.
    #[default]
    Once,
    /// Retune now, on any adapter, ignoring cached choices.
    Retune,
    /// Never: use the portable variants.
    Off,
}

/// Tunes the operations that `set_up` creates on a machine, and sets their variants. `half` allows kernels with f16 operands.
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
    let options = TuneOptions { retune: tuning == Tuning::Retune, half, ..TuneOptions::of(&gpu, platform::cache_dir()) };
    let clock = platform::Clock::start();
    let mut timed = false;
    let tuned = tune::tune(&gpu, counter.choices(), &options, &mut |done, of, what| {
        timed = true;
        emit(Event::Tuning { done, of, what: what.into() });
    })
    .await?;
    if timed {
        emit(Event::Note { text: format!("tuned kernels for {} in {:.1} s; --tune retunes them", gpu.name(), clock.seconds()) });
    }
    tuned.notes.into_iter().for_each(|text| emit(Event::Note { text }));
    machine.set_variants(tuned.variants.clone());
    Ok(tuned.variants)
}

/// Sets the variants that a run was started with. Returns warnings: variants that this device lacks, and variants for
/// operations that the run does not have.
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
                "the run was started with variant {name} of {key}, which this device lacks. The portable one is used; results are not bit-identical"
            ));
        }
    }
    notes.extend(unknown(&variants, |key| counter.choices().contains_key(key)));
    machine.set_variants(variants);
    Ok(notes)
}

/// Returns a warning if some variants are for operations that the run does not have.
fn unknown(variants: &Variants, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let unknown: Vec<&str> = variants.iter().map(|(key, _)| key).filter(|key| !is_known(key)).collect();
    let first = unknown.first()?;
    Some(format!(
        "variants.json has {} kernel choices that belong to no operation of this run, such as {first}. Other operations use portable kernels; \
         results may not be bit-identical",
        unknown.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_for_unknown_operations_are_reported() {
        let mut variants = Variants::default();
        variants.choose("matmul Matmul: (1, 2) F32 → ".into(), "wide");
        variants.choose("matmul Product: (1, 2) F32 → ".into(), "wide");
        assert_eq!(unknown(&variants, |_| true), None);
        let note = unknown(&variants, |key| key.contains("Matmul")).unwrap();
        assert!(note.contains("has 1 kernel choices") && note.contains("such as matmul Product: (1, 2) F32"), "{note}");
    }
}
