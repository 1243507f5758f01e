//! What work takes of a device's memory, said before anything is reserved there.

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
pub(super) struct Room {
    /// Bytes it has; none if it does not tell.
    pub(super) memory: Option<u64>,
    /// Bytes that may be planned with.
    pub(super) usable: Option<u64>,
    /// Counts what would be reserved.
    pub(super) counter: Counter,
}

impl Room {
    /// Of a machine; `given` bytes are believed before what it says of itself. A sixteenth of what
    /// it says is left to the system and the driver.
    pub(super) fn of(machine: &Machine, given: Option<u64>) -> Self {
        let own = match machine {
            Machine::Cpu(_) => platform::memory(),
            Machine::Gpu(gpu) => gpu.gpu().memory(),
            Machine::Counting(_) => None,
        };
        Self::new(machine.counter(), own, given)
    }

    /// Of a device that has `own` bytes, if it tells; `given` bytes are believed before those.
    pub(super) fn new(counter: Counter, own: Option<u64>, given: Option<u64>) -> Self {
        Self { memory: given.or(own), usable: given.or(own.map(|bytes| bytes - bytes / 16)), counter }
    }

    /// Returns true if so many bytes fit, as far as is known.
    pub(super) fn holds(&self, bytes: u64) -> bool {
        self.usable.is_none_or(|usable| bytes <= usable)
    }
}

/// A run's memory, and whether it computes activations again.
pub(super) struct Planned {
    pub(super) memory: MemoryPlan,
    pub(super) recompute: Recompute,
    pub(super) room: Room,
}

/// What a setting computes again at least.
fn least(setting: Recomputation) -> Recompute {
    match setting {
        Recomputation::Auto | Recomputation::Off => Recompute::Off,
        Recomputation::Light => Recompute::Light,
        Recomputation::On => Recompute::On,
    }
}

/// What it computes again at most.
fn most(setting: Recomputation) -> Recompute {
    if setting == Recomputation::Auto { Recompute::On } else { least(setting) }
}

/// The same in words.
pub(super) fn again(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::Off => "",
        Recompute::Light => ", norms and SwiGLU computed again",
        Recompute::On => ", activations computed again",
    }
}

impl Planned {
    /// Plans a run; `recompute = auto` is decided here.
    pub(super) fn new(config: &TrainConfig, shapes: &Shapes, room: Room) -> Result<Self, TrainError> {
        let with = |recompute| train::plan(config, shapes, recompute, room.counter.clone());
        let mut recompute = least(config.recompute);
        let mut memory = with(recompute)?;
        for more in [Recompute::Light, Recompute::On] {
            if config.recompute == Recomputation::Auto && !room.holds(memory.total()) {
                (memory, recompute) = (with(more)?, more);
            }
        }
        Ok(Self { memory, recompute, room })
    }

    pub(super) fn fits(&self) -> bool {
        self.room.holds(self.memory.total())
    }

    /// What it takes and what there is, in a line.
    pub(super) fn line(&self) -> String {
        format!(
            "memory: {} planned{}; the device has {}",
            format_bytes(self.memory.total()),
            again(self.recompute),
            self.room.memory.map_or("an unknown amount".into(), format_bytes)
        )
    }

    /// What to lower, and by how much, for the run to take less: enough for the device where that is
    /// known, as little as can be where it is not.
    pub(super) fn advice(&self, config: &TrainConfig, shapes: &Shapes) -> String {
        let target = self.room.usable.unwrap_or(self.memory.total() * 3 / 4);
        let total = |config: &TrainConfig| {
            let mut shapes = shapes.clone();
            if let Some(teacher) = &mut shapes.teacher {
                teacher.purpose = Purpose::Inference(config.teacher_storage.storage());
            }
            train::plan(config, &shapes, most(config.recompute), self.room.counter.clone()).map(|plan| plan.total())
        };
        let fits = |config: &TrainConfig| total(config).is_ok_and(|bytes| bytes <= target);
        let mut enough: Vec<(String, TrainConfig)> = Vec::new();
        let recompute = TrainConfig { recompute: Recomputation::On, ..config.clone() };
        if self.recompute == Recompute::Off {
            enough.push(("recompute = light".into(), TrainConfig { recompute: Recomputation::Light, ..config.clone() }));
        }
        if self.recompute != Recompute::On {
            enough.push(("recompute = on".into(), recompute.clone()));
        }
        if config.moments == Moments::F32 {
            enough.push(("moments = q8".into(), TrainConfig { moments: Moments::Q8, ..config.clone() }));
        }
        if shapes.teacher.is_some() && config.teacher_storage != MatrixStorage::Q8 {
            enough.push(("teacher_storage = q8".into(), TrainConfig { teacher_storage: MatrixStorage::Q8, ..config.clone() }));
        }
        if let Some(batch) = largest(config.batch, 1, |batch| fits(&TrainConfig { batch, ..config.clone() })) {
            let accumulate = (config.batch as u64 * config.accumulate as u64).div_ceil(batch as u64);
            enough.push((format!("batch = {batch} (with accumulate = {accumulate} for as many tokens a step)"), TrainConfig { batch, ..config.clone() }));
        }
        if let Some(seq) = largest(config.seq, 64, |seq| fits(&TrainConfig { seq, ..config.clone() })) {
            enough.push((format!("seq = {seq}"), TrainConfig { seq, ..config.clone() }));
        }
        enough.retain(|(_, config)| fits(config));
        if enough.is_empty() {
            let least = TrainConfig { batch: 1, ..recompute };
            let bytes = total(&least).map_or("more".into(), format_bytes);
            return format!("even batch = 1 with recompute = on takes {bytes}: use a smaller model, teacher or seq, or another device");
        }
        let list: Vec<String> = enough.iter().map(|(what, config)| format!("{what}: {}", total(config).map_or_else(|_| String::new(), format_bytes))).collect();
        format!("each of these is enough: {}", list.join("; "))
    }
}

/// The largest multiple of `step` below `value` that fits.
fn largest(value: usize, step: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut least, mut most) = (0, (value - 1) / step);
    while least < most {
        let middle = (least + most).div_ceil(2);
        if fits(middle * step) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    (least > 0).then_some(least * step)
}

/// Whether an error says that the device has no memory left.
pub(super) fn out_of_memory(error: &TrainError) -> bool {
    let machine = match error {
        TrainError::Machine(error) | TrainError::Step(StepError::Machine(error)) | TrainError::Engine(EngineError::Machine(error)) => error,
        _ => return false,
    };
    matches!(machine, MachineError::Device(DeviceError::OutOfMemory { .. }))
}

/// Refuses a run that does not fit.
pub(super) fn refuse(planned: &Planned, config: &TrainConfig, shapes: &Shapes) -> Result<()> {
    if planned.fits() {
        return Ok(());
    }
    bail!(
        "{}, which is too little. Nothing was reserved. To fit, {}. To try all the same, say how much there is with --memory",
        planned.line(),
        planned.advice(config, shapes)
    );
}
