//! Results of commands.

use crate::data::StoreInfo;
use crate::runner::{Average, Losses, MemoryPlan, Metrics, TrainConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A comparison of runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareReport {
    /// Loss term that selects the best step: `kl`, or `ar` if a run has no teacher.
    pub best_by: String,
    /// The groups, in the order of their first runs.
    pub groups: Vec<ComparedGroup>,
    /// Reasons why the numbers may not be comparable.
    pub warnings: Vec<String>,
}

/// Runs that differ only in the seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparedGroup {
    /// The settings in which it differs from other groups.
    pub name: String,
    /// Its runs.
    pub runs: Vec<ComparedRun>,
    /// Averages by the names of [`CompareReport::columns`]; none if a run of the group lacks the value.
    #[serde(flatten)]
    pub averages: BTreeMap<String, Option<Average>>,
}

impl ComparedGroup {
    /// Returns the average of a column.
    pub fn average(&self, column: &str) -> Option<Average> {
        self.averages.get(column).copied().flatten()
    }
}

/// The results of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComparedRun {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// Steps recorded.
    pub step: u64,
    /// Steps of the complete run.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Step and losses of the last evaluation on held-out text.
    pub held_out: Option<(u64, Losses)>,
    /// Step and value of the lowest held-out loss, by [`CompareReport::best_by`].
    pub best: Option<(u64, f64)>,
    /// Mean flip-flop ratio over the last tenth of its steps.
    pub flips: Option<f64>,
}

/// Statistics of a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataReport {
    /// Number of files.
    pub files: usize,
    /// Numbers of documents, token ids and bytes.
    pub about: StoreInfo,
    /// Token ids of the training split.
    pub train: usize,
    /// Token ids of the held-out split.
    pub held_out: usize,
    /// Directory of its cached token ids; none if it is tokenized each time.
    #[serde(rename = "place")]
    pub directory: Option<PathBuf>,
    /// Directory of the token cache.
    pub cache: Option<PathBuf>,
    /// Number of texts in the token cache, and their size in bytes.
    pub kept: (usize, u64),
    /// Seconds that reading and tokenizing took.
    pub seconds: f64,
    /// The first documents, decoded.
    pub rows: Vec<String>,
}

/// A GPU adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Index, for `--device`.
    pub index: usize,
    /// Name and backend.
    pub name: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu` (a software adapter) or `Other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Largest storage binding, in bytes.
    pub binding_bytes: u64,
    /// Largest buffer, in bytes.
    pub buffer_bytes: u64,
    /// Bytes of device memory; none if its backend does not report them.
    pub memory_bytes: Option<u64>,
    /// Why it cannot be used: required limits that it does not meet, each with its value and the required one, and the
    /// driver's reason if it did not open. Empty if nothing is known against it.
    pub lacks: Vec<String>,
    /// Features beyond core WebGPU that kernels can use: `f16`, `subgroups`, `timestamps`, `immediates`,
    /// and the cooperative matrices, with their size and element type.
    pub features: Vec<String>,
    /// True if `--device auto` selects it.
    pub preferred: bool,
}

/// A binarized layer: a matrix of `rows` outputs × `cols` inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Its full tensor name, as in files.
    pub name: String,
    /// Number of outputs.
    pub rows: usize,
    /// Number of inputs.
    pub cols: usize,
}

/// The memory that a training or a model needs, and the memory of its device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// Description of the planned training or model.
    pub what: String,
    /// Bytes per part.
    pub plan: MemoryPlan,
    /// Name of the device.
    pub device: String,
    /// Bytes of its memory; none if it does not report them.
    pub memory: Option<u64>,
    /// Largest storage binding of the device, in bytes; none if there is no limit.
    pub binding_bytes: Option<u64>,
    /// True if the plan fits; none if the memory is unknown.
    pub fits: Option<bool>,
    /// Sizes of the model.
    pub model: ModelNumbers,
    /// The run's length; none for inference.
    pub length: Option<RunLength>,
    /// Settings to change so that it fits; none if it does.
    pub advice: Option<String>,
}

/// A summary of a run's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The name of its directory.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Modification time of its metrics, in seconds since 1970.
    pub modified: f64,
    /// True if a process is training it (its lock is held).
    pub training: bool,
    /// Its settings; none if they cannot be read.
    pub config: Option<Box<TrainConfig>>,
    /// Metrics of the last recorded step, without the flips per matrix.
    pub last: Option<Box<Metrics>>,
    /// Step and losses of the last evaluation on held-out text.
    pub held_out: Option<(u64, Losses)>,
    /// Steps of its checkpoints, ascending.
    pub checkpoints: Vec<u64>,
    /// Problems with its files, if any.
    pub problem: Option<String>,
}

impl RunInfo {
    /// Returns the last recorded step.
    pub fn step(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.step)
    }

    /// Returns the step of its last checkpoint, from which a resume continues.
    pub fn saved(&self) -> u64 {
        self.checkpoints.last().copied().unwrap_or(0)
    }

    /// Returns the perplexity on held-out text.
    pub fn perplexity(&self) -> Option<f64> {
        self.held_out.map(|(_, losses)| losses.ar().exp())
    }

    /// Returns KL(teacher‖student) on held-out text; none without a teacher.
    pub fn held_out_kl(&self) -> Option<f64> {
        let taught = self.last.as_ref().is_some_and(|last| last.ad.is_some());
        self.held_out.filter(|_| taught).map(|(_, losses)| losses.kl())
    }
}

/// A planned run of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepRun {
    /// Its name, made of the varied settings.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its settings.
    pub config: Box<TrainConfig>,
    /// Step of its last checkpoint; 0 if there is none.
    pub step: u64,
    /// Bytes of device memory that it needs; 0 if it is done.
    pub memory: u64,
}

impl SweepRun {
    /// Returns true if all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.config.steps
    }

    /// Returns the number of tokens still to train on.
    pub fn tokens_left(&self) -> u64 {
        (self.config.steps - self.step.min(self.config.steps)) * self.config.tokens_per_step()
    }
}

/// Sizes of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelNumbers {
    /// Number of transformer blocks.
    pub layers: usize,
    /// Width of the hidden state.
    pub width: usize,
    /// Vocabulary size.
    pub vocabulary: usize,
    /// Maximum context length, in tokens.
    pub context: usize,
    /// Number of parameters, each binarized weight counted as one.
    pub parameters: u64,
    /// Number of binarized weights.
    pub binarized: u64,
    /// Bits per weight of the blocks' linear layers when packed, including the share of α and β.
    pub bits_per_weight: f64,
    /// Bytes of the packed file without its header and tokenizer.
    pub packed_bytes: u64,
}

/// The length of a run, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLength {
    /// Tokens per optimizer step.
    pub tokens_per_step: u64,
    /// Tokens of all steps.
    pub tokens: u64,
    /// Estimated tokens of the text, from a sample of each file's beginning; none if a file cannot be read.
    pub text_tokens: Option<u64>,
}
