//! Tuning: of an operation's variants, which is the fastest on this adapter at the shapes at hand,
//! among those that compute right. What was chosen is remembered in a file.

mod table;

use crate::conform::verify;
use crate::device::{DeviceError, Gpu};
use crate::graph::{GpuMachine, Home, MachineError, ShapedOp, Storage, Tape, Variant, Variants};
use crate::ops::FUSIONS;
use crate::platform::Clock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use table::{Entry, Table};

/// How the choice is made.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// Folder of the file; nothing is remembered without one.
    pub folder: Option<PathBuf>,
    /// Whether to choose anew what the file has.
    pub retune: bool,
    /// Whether variants may hold factors in f16.
    pub half: bool,
    /// Seconds after which nothing further is begun: the rest stays portable, until the next time.
    pub seconds: f64,
    /// Runs of each candidate, of which the median counts.
    pub runs: usize,
}

impl TuneOptions {
    /// For an adapter: a program on the CPU is timed once.
    pub fn of(gpu: &Gpu, folder: Option<PathBuf>) -> Self {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        Self { folder, retune: false, half: false, seconds: 20.0, runs: if software { 1 } else { 7 } }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tuned {
    /// The choices.
    pub variants: Variants,
    /// What a person should know: variants denied, a file that could not be used.
    pub notes: Vec<String>,
}

/// Chooses a variant for each of `choices`, from the file where it has one. `progress(done, of,
/// what)` is told before each that has to be timed.
pub async fn tune(
    gpu: &Arc<Gpu>, choices: &BTreeMap<String, (ShapedOp, usize)>, options: &TuneOptions, progress: &mut dyn FnMut(usize, usize, &str),
) -> Result<Tuned, MachineError> {
    let mut tuned = Tuned::default();
    let mut table = Table::new(gpu);
    let path = options.folder.as_ref().map(|folder| table.path(folder));
    if let (Some(path), false) = (&path, options.retune) {
        tuned.notes.extend(table.read(path).err());
    }
    let clock = Clock::start();
    // What takes part most often comes first, so that the time is spent where it counts.
    let mut open: Vec<(&String, &(ShapedOp, usize))> = choices.iter().filter(|(key, _)| !table.chosen.contains_key(&table_key(key, options))).collect();
    open.sort_by_key(|(_, (_, times))| std::cmp::Reverse(*times));
    for (done, (key, (choice, _))) in open.iter().enumerate() {
        if clock.seconds() > options.seconds {
            tuned.notes.push(format!(
                "tuning took its {} s: {} operations stay portable in this run; the next one on this adapter goes on with them",
                options.seconds,
                open.len() - done
            ));
            break;
        }
        progress(done, open.len(), choice.op.name());
        let key_in_table = table_key(key, options);
        let denied = table.denied.entry(key_in_table.clone()).or_default();
        if let Some(entry) = best(gpu, choice, options, denied).await? {
            table.chosen.insert(key_in_table, entry);
        }
    }
    table.denied.retain(|_, variants| !variants.is_empty());
    for key in choices.keys() {
        let key_in_table = table_key(key, options);
        if let Some(entry) = table.chosen.get(&key_in_table) {
            tuned.variants.choose(key.clone(), &entry.variant);
        }
        let denied = table.denied.get(&key_in_table).into_iter().flatten();
        tuned.notes.extend(denied.map(|(variant, why)| format!("variant {variant} of {key} is wrong on this adapter and not used: {why}")));
    }
    if let (Some(path), false) = (&path, open.is_empty()) {
        tuned.notes.extend(table.write(path).err());
    }
    Ok(tuned)
}

/// Where the file has a choice: apart from each other, with and without f16.
fn table_key(key: &str, options: &TuneOptions) -> String {
    if options.half { format!("{key}, f16 allowed") } else { key.to_owned() }
}

/// Times every candidate and takes the fastest that is right; the others that were found wrong go
/// to `denied`. None where there is no choice.
async fn best(gpu: &Arc<Gpu>, choice: &ShapedOp, options: &TuneOptions, denied: &mut BTreeMap<String, String>) -> Result<Option<Entry>, MachineError> {
    let allowed = |variant: &Variant| variant.name == Variant::PORTABLE || options.half || variant.storage != Storage::F16;
    let candidates: Vec<Variant> = GpuMachine::new(gpu.clone(), FUSIONS).candidates(&*choice.op, choice.specs()).into_iter().filter(allowed).collect();
    if candidates.len() < 2 {
        return Ok(None);
    }
    let mut seconds = BTreeMap::new();
    for candidate in &candidates {
        match time(gpu, choice, candidate.name, options.runs).await {
            Ok(time) => {
                seconds.insert(candidate.name.to_owned(), time);
            }
            Err(MachineError::Lost(why)) => return Err(MachineError::Lost(why)),
            // That there is no room beside what else is on the device says nothing of the variant.
            Err(MachineError::Device(DeviceError::OutOfMemory { .. })) => {}
            Err(error) => {
                denied.insert(candidate.name.to_owned(), error.to_string());
            }
        }
    }
    if seconds.is_empty() {
        return Ok(None);
    }
    let mut order: Vec<&String> = seconds.keys().collect();
    order.sort_by(|a, b| seconds[*a].total_cmp(&seconds[*b]));
    for name in order {
        if name == Variant::PORTABLE {
            break;
        }
        match verify(gpu, &choice.op, choice.specs(), name, 1).await.failure {
            None => return Ok(Some(Entry { variant: name.clone(), seconds })),
            Some(why) => denied.insert(name.clone(), why),
        };
    }
    Ok(Some(Entry { variant: Variant::PORTABLE.into(), seconds }))
}

/// Seconds that a variant takes: the median of some runs, after one that makes its pipelines.
async fn time(gpu: &Arc<Gpu>, choice: &ShapedOp, variant: &str, runs: usize) -> Result<f64, MachineError> {
    let mut machine = GpuMachine::new(gpu.clone(), FUSIONS);
    machine.set_variants(Variants::preferring(variant));
    let mut tape = Tape::new();
    let mut operand = |spec: &crate::graph::Spec| {
        let memory = machine.allocate(spec.words())?;
        Ok(tape.lasting(Home { memory, offset: 0, spec: *spec }))
    };
    let inputs = choice.inputs.iter().map(&mut operand).collect::<Result<Vec<_>, MachineError>>()?;
    let updates = choice.updates.iter().map(&mut operand).collect::<Result<Vec<_>, MachineError>>()?;
    let wrong = |error: crate::graph::ShapeError| MachineError::Compile { op: error.op, problem: error.problem };
    tape.push_dyn(choice.op.clone(), &inputs, &updates).map_err(wrong)?;
    let program = machine.compile(Arc::new(tape))?;
    let mut times = Vec::new();
    for run in 0..=runs {
        let total: f64 = machine.profile(&program).await?.iter().map(|timed| timed.seconds).sum();
        if run > 0 {
            times.push(total);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod keys;
#[cfg(test)]
mod tests;
