//! Everything of a run that takes a machine's memory: both models, the step's programs, and the
//! engine that samples. Made the same way for a run and for counting what it would take.

use super::config::TrainConfig;
use super::step::{Step, StepShape};
use super::train_error::TrainError;
use crate::graph::{Counter, Machine, Recompute};
use crate::infer::Engine;
use crate::model::{Linears, LlamaConfig, MemoryPlan, Purpose, Weights};

/// Tokens of a prompt that there is room for at least: it can be changed while a run trains.
const PROMPT: usize = 128;

/// A model that is only read.
#[derive(Clone, Debug)]
pub struct TeacherShape {
    /// Its shape.
    pub config: LlamaConfig,
    /// How its linear layers are stored.
    pub linears: Linears,
    /// What it is for, and how its matrices are stored.
    pub purpose: Purpose,
}

/// What decides, besides the settings, how much memory a run takes.
#[derive(Clone, Debug)]
pub struct Shapes {
    /// The model being trained.
    pub student: LlamaConfig,
    /// Its teacher, where that is on the machine.
    pub teacher: Option<TeacherShape>,
    /// Tokens kept at each position, where the student learns from a cache of a teacher.
    pub top: Option<usize>,
    /// Tokens that samples continue; none if there are no samples.
    pub prompt: Vec<u32>,
}

/// Models and programs on a machine. What the models hold is still to be written.
pub struct Setup {
    /// The models and the programs of a step.
    pub step: Step,
    /// What samples are made with, and the tokens they continue.
    pub sampler: Option<(Engine, Vec<u32>)>,
}

impl Setup {
    /// Reserves all memory of a run.
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

    /// What it takes of the machine it was made on, if that held nothing before.
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

/// What a run takes on a machine that `counter` counts for. Nothing is reserved.
pub fn plan(config: &TrainConfig, shapes: &Shapes, recompute: Recompute, counter: Counter) -> Result<MemoryPlan, TrainError> {
    let mut machine = Machine::Counting(counter);
    let setup = Setup::new(&mut machine, config, shapes, recompute)?;
    Ok(setup.memory(&machine))
}
