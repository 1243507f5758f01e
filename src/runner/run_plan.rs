//! Plans the device memory of a run before anything is allocated.

use super::amounts::format_bytes;
use crate::device::DeviceError;
use crate::graph::{Counter, Machine, MachineError, Recompute};
use crate::infer::EngineError;
use crate::model::{MatrixStorage, MemoryPlan, Moments, Purpose};
use crate::platform;
use crate::train::{self, Recomputation, Shapes, StepError, TrainConfig, TrainError};
use anyhow::{Result, bail};

/// The memory of a device.
#[derive(Clone, Debug)]
pub(super) struct DeviceMemory {
    /// Total bytes; none if the device does not report them.
    pub(super) total: Option<u64>,
    /// Bytes that a plan may use.
    pub(super) usable: Option<u64>,
    /// A stand-in for the device that counts memory without allocating it.
    pub(super) counter: Counter,
}

impl DeviceMemory {
    /// Returns the memory of an opened device. `given` (`--memory`) overrides the amount that the device reports. A sixteenth
    /// of a reported amount is left for the system and the driver; a given amount may be used in full.
    pub(super) fn of(machine: &Machine, given: Option<u64>) -> Self {
        let own = match machine {
            Machine::Cpu(_) => platform::memory(),
            Machine::Gpu(gpu) => gpu.gpu().memory(),
            Machine::Counting(_) => None,
        };
        Self::new(machine.counter(), own, given)
    }

    /// Returns the memory of a device that reports `own` bytes, if any; `given` overrides them.
    pub(super) fn new(counter: Counter, own: Option<u64>, given: Option<u64>) -> Self {
        Self { total: given.or(own), usable: given.or(own.map(|bytes| bytes - bytes / 16)), counter }
    }

    /// Returns true if `bytes` fit, or if the memory is unknown.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.usable.is_none_or(|usable| bytes <= usable)
    }
}

/// A run's memory plan, with the activation recomputation that it assumes.
pub(super) struct RunPlan {
    pub(super) memory: MemoryPlan,
    pub(super) recompute: Recompute,
    pub(super) device_memory: DeviceMemory,
}

/// Returns the least recomputation that a setting allows.
fn min_recompute(setting: Recomputation) -> Recompute {
    match setting {
        Recomputation::Auto | Recomputation::Off => Recompute::Off,
        Recomputation::Light => Recompute::Light,
        Recomputation::On => Recompute::On,
    }
}

/// Returns the most recomputation that a setting allows.
fn max_recompute(setting: Recomputation) -> Recompute {
    if setting == Recomputation::Auto { Recompute::On } else { min_recompute(setting) }
}

/// Describes the recomputation in a clause that follows the planned memory.
pub(super) fn recompute_text(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::Off => "",
        Recompute::Light => ", norms and SwiGLU recomputed",
        Recompute::On => ", activations recomputed",
    }
}

impl RunPlan {
    /// Plans a run. `recompute = auto` becomes the least recomputation with which the run fits, or `on` if none fits.
    pub(super) fn new(config: &TrainConfig, shapes: &Shapes, device_memory: DeviceMemory) -> Result<Self, TrainError> {
        let with = |recompute| train::plan(config, shapes, recompute, device_memory.counter.clone());
        let mut recompute = min_recompute(config.recompute);
        let mut memory = with(recompute)?;
        for more in [Recompute::Light, Recompute::On] {
            if config.recompute == Recomputation::Auto && !device_memory.fits(memory.total()) {
                (memory, recompute) = (with(more)?, more);
            }
        }
        Ok(Self { memory, recompute, device_memory })
    }

    pub(super) fn fits(&self) -> bool {
        self.device_memory.fits(self.memory.total())
    }

    /// Describes needed and available memory in a line.
    pub(super) fn line(&self) -> String {
        format!(
            "memory: {} planned{}; the device has {}",
            format_bytes(self.memory.total()),
            recompute_text(self.recompute),
            self.device_memory.total.map_or("an unknown amount".into(), format_bytes)
        )
    }

    /// Lists changes of one setting that make the run fit on the device, or, if the plan seems to fit, those that save at
    /// least a quarter of it: the device ran out of memory all the same.
    pub(super) fn advice(&self, config: &TrainConfig, shapes: &Shapes) -> String {
        let (target, benefit) = match self.device_memory.usable.filter(|_| !self.fits()) {
            Some(usable) => (usable, "is enough"),
            None => (self.memory.total() * 3 / 4, "saves at least a quarter"),
        };
        let total = |config: &TrainConfig| {
            let mut shapes = shapes.clone();
            if let Some(teacher) = &mut shapes.teacher {
                teacher.purpose = Purpose::Inference(config.teacher_storage.storage());
            }
            train::plan(config, &shapes, max_recompute(config.recompute), self.device_memory.counter.clone()).map(|plan| plan.total())
        };
        let fits = |config: &TrainConfig| total(config).is_ok_and(|bytes| bytes <= target);
        let mut changes: Vec<(String, TrainConfig)> = Vec::new();
        let recompute = TrainConfig { recompute: Recomputation::On, ..config.clone() };
        if self.recompute == Recompute::Off {
            changes.push(("recompute = light".into(), TrainConfig { recompute: Recomputation::Light, ..config.clone() }));
        }
        if self.recompute != Recompute::On {
            changes.push(("recompute = on".into(), recompute.clone()));
        }
        if config.moments == Moments::F32 {
            changes.push(("moments = q8".into(), TrainConfig { moments: Moments::Q8, ..config.clone() }));
        }
        if shapes.teacher.is_some() && config.teacher_storage != MatrixStorage::Q8 {
            changes.push(("teacher_storage = q8".into(), TrainConfig { teacher_storage: MatrixStorage::Q8, ..config.clone() }));
        }
        if let Some(batch) = largest(config.batch, 1, |batch| fits(&TrainConfig { batch, ..config.clone() })) {
            let accumulate = (config.batch as u64 * config.accumulate as u64).div_ceil(batch as u64);
            changes.push((
                format!("batch = {batch} (with accumulate = {accumulate} for at least as many tokens per step)"),
                TrainConfig { batch, ..config.clone() },
            ));
        }
        if let Some(seq) = largest(config.seq, 64, |seq| fits(&TrainConfig { seq, ..config.clone() })) {
            changes.push((format!("seq = {seq}"), TrainConfig { seq, ..config.clone() }));
        }
        changes.retain(|(_, config)| fits(config));
        if changes.is_empty() {
            let smallest = TrainConfig { batch: 1, ..recompute };
            let bytes = total(&smallest).map_or("more".into(), format_bytes);
            return format!("even batch = 1 with recompute = on needs {bytes}: use a smaller model, teacher or seq, or another device");
        }
        let list: Vec<String> =
            changes.iter().map(|(what, config)| format!("{what}: {}", total(config).map_or_else(|_| String::new(), format_bytes))).collect();
        format!("each of these {benefit}: {}", list.join("; "))
    }
}

/// Returns the largest multiple of `step` below `value` that fits.
fn largest(value: usize, step: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, (value - 1) / step);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle * step) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    (low > 0).then_some(low * step)
}

/// Returns true for an out-of-memory error of the device.
pub(super) fn out_of_memory(error: &TrainError) -> bool {
    let machine = match error {
        TrainError::Machine(error) | TrainError::Step(StepError::Machine(error)) | TrainError::Engine(EngineError::Machine(error)) => error,
        _ => return false,
    };
    matches!(machine, MachineError::Device(DeviceError::OutOfMemory { .. }))
}

/// Returns an error if a run does not fit.
pub(super) fn check_fits(planned: &RunPlan, config: &TrainConfig, shapes: &Shapes) -> Result<()> {
    if planned.fits() {
        return Ok(());
    }
    bail!(
        "{}. The run does not fit; {}. Nothing was allocated. If the device has more memory, set it with --memory",
        planned.line(),
        planned.advice(config, shapes)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::plan_cache::PlanCache;
    use crate::runner::shapes::cached_shapes;

    #[test]
    fn advice_lists_changes_that_fit_or_that_save_a_quarter() {
        let config = TrainConfig { recompute: Recomputation::Off, ..TrainConfig::default() };
        let (shapes, _) = cached_shapes(&config, None, None, &mut PlanCache::default()).unwrap();
        let plan = |config: &TrainConfig, given| RunPlan::new(config, &shapes, DeviceMemory::new(Machine::cpu().counter(), None, given)).unwrap();
        let total = plan(&config, None).memory.total();
        // Without a limit, or with one that the plan keeps, the device ran out of memory.
        for given in [None, Some(total)] {
            assert!(plan(&config, given).advice(&config, &shapes).starts_with("each of these saves at least a quarter: "));
        }
        let advice = plan(&config, None).advice(&config, &shapes);
        let batch = advice.split_once("batch = ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
        let with = |batch| plan(&TrainConfig { batch, ..config.clone() }, None).memory.total();
        assert!(with(batch) <= total * 3 / 4 && with(batch + 1) > total * 3 / 4, "{advice}");
        let short = plan(&config, Some(total - 1)).advice(&config, &shapes);
        assert!(short.starts_with("each of these is enough: ") && short.contains(&format!("batch = {} ", config.batch - 1)), "{short}");
    }
}
