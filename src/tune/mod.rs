//! Autotuning: selects the fastest correct variant of each operation on an adapter, at the shapes in use, and caches the
//! selection in a file.

mod tuning_file;

use crate::conform::verify;
use crate::device::{DeviceError, Gpu, Kernel, kernel};
use crate::graph::{GpuMachine, MachineError, ShapedOp, Storage, Tape, TensorLocation, Variant, Variants};
use crate::ops::FUSIONS;
use crate::platform::{self, Clock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tuning_file::{TunedEntry, TuningFile};

/// Options of autotuning.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// Folder of the cache file; `None` disables the cache.
    pub folder: Option<PathBuf>,
    /// True to ignore the cache file.
    pub retune: bool,
    /// True to allow variants with factors in f16.
    pub half: bool,
    /// Time limit in seconds. Operations that are not tuned by then use the portable variant.
    pub seconds: f64,
    /// Time limit in seconds for compiling a candidate. One that takes longer is denied.
    pub compile_seconds: f64,
    /// Timed runs of each candidate; the median counts.
    pub runs: usize,
}

impl TuneOptions {
    /// Default options for an adapter. On a software adapter, candidates are timed once.
    pub fn of(gpu: &Gpu, folder: Option<PathBuf>) -> Self {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        Self { folder, retune: false, half: false, seconds: 20.0, compile_seconds: 60.0, runs: if software { 1 } else { 7 } }
    }
}

/// The result of autotuning.
#[derive(Clone, Debug, Default)]
pub struct Tuned {
    /// The selected variants.
    pub variants: Variants,
    /// Messages for the user: rejected variants, and an unusable cache file.
    pub notes: Vec<String>,
}

/// Selects a variant for each of `choices`, from the cache file if possible. `progress(done, total, operation)` is called
/// before each operation that must be timed.
pub async fn tune(
    gpu: &Arc<Gpu>, choices: &BTreeMap<String, (ShapedOp, usize)>, options: &TuneOptions, progress: &mut dyn FnMut(usize, usize, &str),
) -> Result<Tuned, MachineError> {
    let mut tuned = Tuned::default();
    let mut table = TuningFile::new(gpu);
    let path = options.folder.as_ref().map(|folder| table.path(folder));
    if let (Some(path), false) = (&path, options.retune) {
        tuned.notes.extend(table.read(path).err());
    }
    let clock = Clock::start();
    // The most frequent operations first, where tuning matters most.
    let mut open: Vec<(&String, &(ShapedOp, usize))> = choices.iter().filter(|(key, _)| !table.chosen.contains_key(&table_key(key, options))).collect();
    open.sort_by_key(|(_, (_, times))| std::cmp::Reverse(*times));
    for (done, (key, (choice, _))) in open.iter().enumerate() {
        if clock.seconds() > options.seconds {
            tuned.notes.push(format!(
                "tuning reached its limit of {} s: {} operations stay portable in this run and are tuned in the next one on this adapter",
                options.seconds,
                open.len() - done
            ));
            break;
        }
        progress(done, open.len(), choice.op.name());
        let key_in_table = table_key(key, options);
        let denied = table.denied.entry(key_in_table.clone()).or_default();
        if let Some(entry) = fastest_correct(gpu, choice, options, denied).await? {
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
        tuned.notes.extend(denied.map(|(variant, why)| format!("variant {variant} of {key} is not used on this adapter: {why}")));
    }
    if let (Some(path), false) = (&path, open.is_empty()) {
        tuned.notes.extend(table.write(path).err());
    }
    Ok(tuned)
}

/// The key in the cache file, which depends on f16 being allowed.
fn table_key(key: &str, options: &TuneOptions) -> String {
    if options.half { format!("{key}, f16 allowed") } else { key.to_owned() }
}

/// Times all candidates and returns the fastest correct one. Incorrect candidates are added to `denied`. `None` if there is
/// only one candidate.
async fn fastest_correct(
    gpu: &Arc<Gpu>, choice: &ShapedOp, options: &TuneOptions, denied: &mut BTreeMap<String, String>,
) -> Result<Option<TunedEntry>, MachineError> {
    let allowed = |variant: &Variant| variant.name == Variant::PORTABLE || options.half || variant.storage != Storage::F16;
    let candidates: Vec<Variant> = GpuMachine::new(gpu.clone(), FUSIONS).candidates(&*choice.op, choice.specs()).into_iter().filter(allowed).collect();
    if candidates.len() < 2 {
        return Ok(None);
    }
    let mut seconds = BTreeMap::new();
    for candidate in &candidates {
        if candidate.name != Variant::PORTABLE && !compiles_within(gpu, candidate, options.compile_seconds) {
            denied.insert(candidate.name.to_owned(), format!("its kernels did not compile within {} s", options.compile_seconds));
            continue;
        }
        match time(gpu, choice, candidate.name, options.runs).await {
            Ok(time) => {
                seconds.insert(candidate.name.to_owned(), time);
            }
            Err(MachineError::Lost(why)) => return Err(MachineError::Lost(why)),
            // Out of memory depends on other allocations, not on the variant.
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
            None => return Ok(Some(TunedEntry { variant: name.clone(), seconds })),
            Some(why) => denied.insert(name.clone(), why),
        };
    }
    Ok(Some(TunedEntry { variant: Variant::PORTABLE.into(), seconds }))
}

/// Compiles a variant's kernels; returns false if that takes longer than `seconds`, or did for another shape in this
/// process. A driver's compiler cannot be stopped, so it then continues on its thread.
fn compiles_within(gpu: &Arc<Gpu>, variant: &Variant, seconds: f64) -> bool {
    static SLOW: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let kernels: Vec<&'static Kernel> = variant.launches.iter().filter_map(|launch| kernel(launch.kernel)).collect();
    let slow = || SLOW.lock().unwrap_or_else(PoisonError::into_inner);
    if kernels.iter().any(|kernel| slow().contains(kernel.name)) {
        return false;
    }
    let (gpu, compiled) = (gpu.clone(), kernels.clone());
    // `time` reports errors.
    let in_time = platform::within(seconds, move || compiled.into_iter().try_for_each(|kernel| gpu.compile(kernel)).is_ok()).is_some();
    if !in_time {
        slow().extend(kernels.iter().map(|kernel| kernel.name));
    }
    in_time
}

/// Times a variant: the median in seconds of `runs` runs, after one that compiles its pipelines.
async fn time(gpu: &Arc<Gpu>, choice: &ShapedOp, variant: &str, runs: usize) -> Result<f64, MachineError> {
    let mut machine = GpuMachine::new(gpu.clone(), FUSIONS);
    machine.set_variants(Variants::preferring(variant));
    let mut tape = Tape::new();
    let mut operand = |spec: &crate::graph::Spec| {
        let memory = machine.allocate(spec.words())?;
        Ok(tape.persistent(TensorLocation { memory, offset: 0, spec: *spec }))
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
