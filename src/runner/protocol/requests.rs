//! Arguments of commands.

use crate::runner::{Axis, Floats, Grid, MatrixStorage, Request, Snapshot, TrainConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A conversation to begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// The model itself, if it is one in training; `model` is its name then.
    pub snapshot: Option<Snapshot>,
    /// A model that replies to the same and is compared with it token by token: `embedded` for the
    /// embedded teacher, or as for `model`. It must have the same tokens.
    pub teacher: Option<String>,
    /// Where it is computed.
    pub device: String,
    /// Tokens the conversation may have before its oldest turns are dropped; the model's context if
    /// absent, 4,096 at most.
    pub context: Option<usize>,
    /// What the system says first, if the model's template knows it.
    pub system: Option<String>,
    /// How replies are made.
    pub request: Request,
}

/// What is to be compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareRequest {
    /// Directories of runs, or folders of them.
    pub runs: Vec<PathBuf>,
    /// Where the curves are drawn, if they are: an `.svg` or `.png`.
    pub out: Option<PathBuf>,
    /// By what they are drawn.
    pub axis: Axis,
}

/// What is tried, and where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConformRequest {
    /// `all` for the CPU device and every adapter; else one as for `--device`.
    pub device: String,
    /// Seed of all operands; one from the clock if absent.
    pub seed: Option<u64>,
    /// Only cases whose `operation: label` contains this.
    pub filter: Option<String>,
    /// Where reports go: `PATH.md` and `PATH.json`, numbered if there are several devices.
    pub report: Option<std::path::PathBuf>,
}

/// A text to look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataRequest {
    /// The run that it would be for: its text, tokenizer, and how documents are held out are taken.
    pub config: TrainConfig,
    /// Documents to show from the beginning.
    pub rows: usize,
}

/// What a model is measured by: a text, tasks, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is computed.
    pub device: String,
    /// How its matrices are kept on the device; without loss if absent.
    pub storage: Option<MatrixStorage>,
    /// A text file, for perplexity.
    pub perplexity: Option<PathBuf>,
    /// Tokens in a window of it; 2,048 if absent, or the model's context if that is shorter.
    pub window: Option<usize>,
    /// Tasks.
    pub tasks: Vec<TaskRequest>,
    /// Answered questions that stand before each.
    pub shots: usize,
    /// Whether those are the first of their file; drawn as lm-evaluation-harness draws them if not.
    pub shots_in_order: bool,
    /// What they are drawn by.
    pub seed: u32,
    /// Rows of each task, the first of its file; all if absent.
    pub limit: Option<usize>,
    /// Whether the tokenizer puts its special tokens around what is asked.
    pub special_tokens: bool,
    /// Where the report is written, as JSON; beside it as Markdown, and what came of each row.
    pub out: Option<PathBuf>,
}

/// A task, and rows for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// A task of the program, or a file that ends in `.toml`.
    pub task: String,
    /// JSON lines.
    pub rows: PathBuf,
    /// JSON lines that answered questions are taken from.
    pub shots_from: Option<PathBuf>,
}

/// A model to be written for other programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportModelRequest {
    /// `embedded`, a packed file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is written: a directory or a file that is not there yet.
    pub out: PathBuf,
    /// As what.
    pub form: ModelExport,
}

/// What other programs are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum ModelExport {
    /// A Hugging Face directory of a plain LLaMA, with floats stored so.
    Dense {
        /// How.
        floats: Floats,
    },
    /// A Hugging Face directory of latent weights, α and β, in f32.
    Latent,
    /// A GGUF file of a plain LLaMA, matrices in f16.
    Gguf,
}

/// A text to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is computed.
    pub device: String,
    /// Tokens that prompt and continuation may have; the model's context if absent, 4,096 at most.
    pub context: Option<usize>,
    /// The text.
    pub prompt: String,
    /// How it is continued.
    pub request: Request,
}

/// What a path is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Text to train on.
    Text,
    /// A model: a directory, a packed or GGUF file, or a run.
    Model,
    /// The shape of a model: a `config.json`.
    Shape,
    /// A `tokenizer.json`, or its directory.
    Tokenizer,
    /// The directory of a teacher cache.
    TeacherCache,
    /// Settings as TOML.
    Settings,
    /// Whatever it is: something that was dropped.
    Any,
}

/// A landscape to be drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LandscapeRequest {
    /// A run's directory (its last checkpoint), or a model directory.
    pub model: String,
    /// The text that is measured; of a run, its held-out text if absent.
    pub text: Option<PathBuf>,
    /// Tokens in a window.
    pub window: usize,
    /// Windows measured at each point, from the beginning of the text.
    pub windows: usize,
    /// The points.
    pub grid: Grid,
    /// Where it is computed.
    pub device: String,
    /// The picture: `.svg` or `.png`; `.json` for the numbers.
    pub out: PathBuf,
}

/// What a model that continues text would take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanModelRequest {
    /// A preset (taken as packed), or a model as it is opened for inference.
    pub model: String,
    /// Where it is computed.
    pub device: String,
    /// Tokens there is room for.
    pub context: Option<usize>,
    /// Bytes to compare with, in the place of what the device has.
    pub memory: Option<u64>,
}

/// What a run would take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanTrainRequest {
    /// The run.
    pub train: TrainRequest,
    /// In the place of the teacher, one that need not exist: a known shape or a `config.json`.
    pub teacher_shape: Option<String>,
}

/// A sweep to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepRequest {
    /// The TOML file that says what is varied.
    pub file: PathBuf,
    /// Folder of its runs.
    pub folder: PathBuf,
    /// Where it is computed: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Bytes of memory to plan with, in the place of what the device says it has.
    pub memory: Option<u64>,
    /// Only say what would be done.
    pub dry: bool,
}

/// A cache to make, or to go on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TeachRequest {
    /// Directory of the cache.
    pub out: PathBuf,
    /// Tokens kept at each position.
    pub top: usize,
    /// The run it is for: its teacher, tokenizer, text, sequence length and temperature are taken.
    pub config: TrainConfig,
    /// Where it is computed: `auto`, `cpu`, or an adapter.
    pub device: String,
}

/// A run to start, or to go on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Directory of the run.
    pub run: PathBuf,
    /// Takes another directory beside it, under the first free of `run-1`, `run-2`, …, once the run begins.
    #[serde(default)]
    pub numbered: bool,
    /// The settings; when resuming, `None` takes those the run was started with.
    pub config: Option<TrainConfig>,
    /// Go on with a run that exists.
    pub resume: bool,
    /// The step of the checkpoint to resume from; the newest if `None`.
    #[serde(default)]
    pub from_step: Option<u64>,
    /// Where it is computed: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Bytes of memory to plan with, in the place of what the device says it has.
    pub memory: Option<u64>,
}

/// A tokenizer to train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRequest {
    /// Files of text, plain or JSON lines, or patterns of them.
    pub texts: Vec<PathBuf>,
    /// Tokens it is to have.
    pub vocabulary: usize,
    /// Where its `tokenizer.json` goes.
    pub out: PathBuf,
}

/// Which weights of a plane are shown in how many pixels. Pixels that are fewer than weights are means,
/// those that are more repeat them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneView {
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels from left to right.
    pub pixels_wide: usize,
    /// Pixels from top to bottom.
    pub pixels_high: usize,
}
