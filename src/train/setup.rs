//! The parts of a run that need device memory: both models, the programs of a step, and the engine for
//! samples. The same code sets up a run and counts its memory.

use super::step::{Step, StepShape};
use super::train_config::TrainConfig;
use super::train_error::TrainError;
use crate::graph::{Counter, Machine, Recompute};
use crate::infer::Engine;
use crate::model::{Linears, MemoryPlan, ModelConfig, Purpose, Weights};

/// Least number of prompt tokens with memory: the prompt can be changed while a run trains.
const PROMPT: usize = 128;

/// Shape and storage of a teacher.
#[derive(Clone, Debug)]
pub struct TeacherShape {
    /// Its shape.
    pub config: ModelConfig,
    /// The kind of its linear layers.
    pub linears: Linears,
    /// Its purpose, with the storage of its matrices.
    pub purpose: Purpose,
}

/// The shapes that determine, with the settings, how much memory a run needs.
#[derive(Clone, Debug)]
pub struct Shapes {
    /// The model being trained.
    pub student: ModelConfig,
    /// Its teacher, if it is on the device.
    pub teacher: Option<TeacherShape>,
    /// Tokens at each position of the teacher cache, if the student is trained from one.
    pub top: Option<usize>,
    /// Tokens of the prompt; empty if there are no samples.
    pub prompt: Vec<u32>,
}

/// Models and programs on a device. The weights are not written yet.
pub struct Setup {
    /// The models and the programs of a step.
    pub step: Step,
    /// The engine for samples, and the tokens of their prompt.
    pub sampler: Option<(Engine, Vec<u32>)>,
}

impl Setup {
    /// Allocates all memory of a run.
    pub fn new(machine: &mut Machine, config: &TrainConfig, shapes: &Shapes, recompute: Recompute) -> Result<Self, TrainError> {
        let linears = if config.binary { Linears::Binary } else { Linears::Dense };
        let student = Weights::allocate(machine, &shapes.student, linears, Purpose::Training(config.moments))?;
        let teacher = shapes.teacher.as_ref().map(|teacher| Weights::allocate(machine, &teacher.config, teacher.linears, teacher.purpose));
        let shape = StepShape { batch: config.batch, seq: config.seq, objective: config.objective(), recompute };
        let teacher = teacher.transpose()?;
        let step = match shapes.top {
            Some(top) => Step::cached(machine, student, teacher, top, shape)?,
            None => Step::new(machine, student, teacher, shape)?,
        };
        let sampler = match shapes.prompt.len() {
            0 => None,
            tokens => Some((Engine::new(machine, &step.student, tokens.max(PROMPT) + config.sample_tokens + 1)?, shapes.prompt.clone())),
        };
        Ok(Self { step, sampler })
    }

    /// Returns its memory on the machine, which must have been empty before.
    pub fn memory(&self, machine: &Machine) -> MemoryPlan {
        let mut plan = MemoryPlan::default();
        plan.add_model(machine, "student", &self.step.student);
        if let Some(teacher) = &self.step.teacher {
            plan.add_model(machine, "teacher", teacher);
        }
        let mut programs = self.step.slot_bytes();
        if let Some((sampler, _)) = &self.sampler {
            plan.add("samples: KV cache", sampler.cache_bytes(machine));
            programs.extend(sampler.slot_bytes().map(|(name, bytes)| (format!("sample, {name}"), bytes)));
        }
        plan.complete(machine, programs)
    }
}

/// Counts the memory of a run with `counter`; nothing is allocated.
pub fn plan(config: &TrainConfig, shapes: &Shapes, recompute: Recompute, counter: Counter) -> Result<MemoryPlan, TrainError> {
    let mut machine = Machine::Counting(counter);
    let setup = Setup::new(&mut machine, config, shapes, recompute)?;
    Ok(setup.memory(&machine))
}
