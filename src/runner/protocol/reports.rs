//! Results of commands.

use crate::data::About;
use crate::runner::{Average, Losses, MemoryPlan, Metrics, TrainConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Runs side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareReport {
    /// By what the best step is chosen: `kl`, or `ar` where a run has no teacher.
    pub best_by: String,
    /// The groups, in the order in which their first runs were named.
    pub groups: Vec<ComparedGroup>,
    /// Why numbers may not be comparable.
    pub warnings: Vec<String>,
}

/// Runs that differ in nothing but the seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparedGroup {
    /// The settings in which it differs from other groups.
    pub name: String,
    /// Its runs.
    pub runs: Vec<ComparedRun>,
    /// By the names of [`CompareReport::columns`]: none where a run of the group lacks the value.
    #[serde(flatten)]
    pub averages: BTreeMap<String, Option<Average>>,
}

impl ComparedGroup {
    /// The average of a column.
    pub fn average(&self, column: &str) -> Option<Average> {
        self.averages.get(column).copied().flatten()
    }
}

/// What one run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparedRun {
    /// What it is called.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// Steps recorded.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Tokens that it has seen.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The last losses on held-out text, and the step they were measured after.
    pub held_out: Option<(u64, Losses)>,
    /// The step of the lowest loss on held-out text by the report's measure, and that loss.
    pub best: Option<(u64, f64)>,
    /// Mean flip-flop ratio over the last tenth of its steps.
    pub flips: Option<f64>,
}

/// What is in a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataReport {
    /// Files of it.
    pub files: usize,
    /// Documents, ids, and bytes of text.
    pub about: About,
    /// Ids trained on.
    pub train: usize,
    /// Ids held out.
    pub held_out: usize,
    /// Where its ids are kept; none if they are made anew each time.
    pub place: Option<PathBuf>,
    /// The directory of all that are kept.
    pub cache: Option<PathBuf>,
    /// How many texts are kept there, and their bytes.
    pub kept: (usize, u64),
    /// Seconds it took.
    pub seconds: f64,
    /// The first documents, decoded.
    pub rows: Vec<String>,
}

/// An adapter, in plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// By which it can be chosen.
    pub index: usize,
    /// Name and backend.
    pub name: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu` (a software adapter) or `Other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Bytes one binding may have.
    pub binding_bytes: u64,
    /// Bytes one buffer may have.
    pub buffer_bytes: u64,
    /// Bytes of its own memory, if its backend tells.
    pub memory_bytes: Option<u64>,
    /// Limits it lacks: what it has, what is needed. Empty if it can be used.
    pub lacks: Vec<String>,
    /// Features beyond core WebGPU that kernels could use: `f16`, `subgroups`, `timestamps`, `immediates`,
    /// and the cooperative matrices, by size and factors.
    pub features: Vec<String>,
    /// Whether `--device auto` takes it.
    pub preferred: bool,
}

/// A binarized layer: a matrix of `rows` outputs × `cols` inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Its full name, as files have it.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
}

/// What something takes, and what there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// What was planned, in words.
    pub what: String,
    /// Bytes by part.
    pub plan: MemoryPlan,
    /// The device, in words.
    pub device: String,
    /// Bytes it has; none if it does not tell.
    pub memory: Option<u64>,
    /// Bytes that one binding may have there; none if there is no limit.
    pub binding_bytes: Option<u64>,
    /// Whether it fits; none if the device does not tell what it has.
    pub fits: Option<bool>,
    /// The model's numbers.
    pub model: ModelNumbers,
    /// The run's length, of a training.
    pub length: Option<RunLength>,
    /// What could be lowered, if it does not fit.
    pub advice: Option<String>,
}

/// What a folder says of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The name of its directory.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// When it last recorded something, in seconds since 1970.
    pub modified: f64,
    /// Whether somebody trains it right now.
    pub training: bool,
    /// The settings it was started with.
    pub config: Option<Box<TrainConfig>>,
    /// The last step recorded, without the flips of single matrices.
    pub last: Option<Box<Metrics>>,
    /// The last losses on held-out text, and the step they were measured after.
    pub held_out: Option<(u64, Losses)>,
    /// Steps of which there are checkpoints, ascending.
    pub checkpoints: Vec<u64>,
    /// What is wrong with it, where something is.
    pub problem: Option<String>,
}

impl RunInfo {
    /// Steps recorded.
    pub fn step(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.step)
    }

    /// Steps of its last checkpoint: where a resume continues.
    pub fn saved(&self) -> u64 {
        self.checkpoints.last().copied().unwrap_or(0)
    }

    /// Perplexity on held-out text.
    pub fn perplexity(&self) -> Option<f64> {
        self.held_out.map(|(_, losses)| losses.ar().exp())
    }

    /// KL divergence from the teacher on held-out text; none without a teacher.
    pub fn held_out_kl(&self) -> Option<f64> {
        let taught = self.last.as_ref().is_some_and(|last| last.ad.is_some());
        self.held_out.filter(|_| taught).map(|(_, losses)| losses.kl())
    }
}

/// A run of a sweep, before it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepRun {
    /// Its name, made of what is varied.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its settings.
    pub config: Box<TrainConfig>,
    /// Steps that are done and saved.
    pub step: u64,
    /// Bytes of the device's memory that it will take; 0 if it is done.
    pub memory: u64,
}

impl SweepRun {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.step >= self.config.steps
    }

    /// Tokens it will see until its end.
    pub fn tokens_left(&self) -> u64 {
        (self.config.steps - self.step.min(self.config.steps)) * self.config.tokens_per_step()
    }
}

/// A model's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelNumbers {
    /// Blocks.
    pub layers: usize,
    /// Width of the hidden state.
    pub width: usize,
    /// Token ids.
    pub vocabulary: usize,
    /// Longest context.
    pub context: usize,
    /// All parameters, each binarized weight counted as one.
    pub parameters: u64,
    /// Those that are one bit in the end.
    pub binarized: u64,
    /// Bits stored for each weight of the blocks' linear layers once it is packed: its share of α and β included.
    pub bits_per_weight: f64,
    /// Bytes of the packed file, but for its header and tokenizer.
    pub packed_bytes: u64,
}

/// How much text a run sees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLength {
    /// Tokens of an optimizer step.
    pub tokens_per_step: u64,
    /// Tokens of all steps.
    pub tokens: u64,
    /// Tokens of the text, reckoned from the beginning of each file; none if a file cannot be read.
    pub text_tokens: Option<u64>,
}
