//! Arguments of commands.

use crate::runner::{Axis, Floats, LandscapeGrid, MatrixStorage, Request, Snapshot, TrainConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Arguments of a new conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// Weights of a model in training; `model` is then only its name.
    pub snapshot: Option<Snapshot>,
    /// A teacher that replies to the same messages and is compared with the model token by token: `embedded` for the
    /// embedded teacher, or as for `model`. It must have the same vocabulary.
    pub teacher: Option<String>,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Context length in tokens, beyond which the oldest turns are dropped; the model's context, at most 4,096,
    /// if absent.
    pub context: Option<usize>,
    /// System message, for models whose chat template supports one.
    pub system: Option<String>,
    /// Sampling and length of replies.
    pub request: Request,
}

/// Arguments of a comparison of runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareRequest {
    /// Directories of runs, or folders of them.
    pub runs: Vec<PathBuf>,
    /// File for the curves, `.svg` or `.png`; none to draw none.
    pub out: Option<PathBuf>,
    /// Horizontal axis of the curves.
    pub axis: Axis,
}

/// Arguments of a conformance test.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConformRequest {
    /// `all` for the CPU device and every adapter, or one device as for `--device`.
    pub device: String,
    /// Seed of all operands; taken from the clock if absent.
    pub seed: Option<u64>,
    /// Run only cases whose `operation: label` contains this.
    pub filter: Option<String>,
    /// Path of the reports without extension: `PATH.md` and `PATH.json`, numbered if `device` is `all`.
    pub report: Option<std::path::PathBuf>,
}

/// Arguments of a text's statistics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataRequest {
    /// Settings of a run; its text, tokenizer and held-out split are used.
    pub config: TrainConfig,
    /// Number of documents to show.
    pub rows: usize,
}

/// Arguments of an evaluation, on a text, tasks, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Storage format of its matrices on the device; lossless if absent.
    pub storage: Option<MatrixStorage>,
    /// A text file, for perplexity.
    pub perplexity: Option<PathBuf>,
    /// Window length in tokens; 2,048 if absent, or the model's context if that is shorter.
    pub window: Option<usize>,
    /// Tasks.
    pub tasks: Vec<TaskRequest>,
    /// Number of few-shot examples before each question.
    pub shots: usize,
    /// True to use the first examples of their file, false to draw them as lm-evaluation-harness does.
    pub shots_in_order: bool,
    /// Seed for drawing the examples.
    pub seed: u32,
    /// Number of rows per task, from the start of its file; all if absent.
    pub limit: Option<usize>,
    /// True to let the tokenizer add its special tokens to each prompt.
    pub special_tokens: bool,
    /// Path of the JSON report; Markdown and the result of each row are written beside it.
    pub out: Option<PathBuf>,
}

/// An evaluation task with its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// Name of a built-in task, or the path of a `.toml` file.
    pub task: String,
    /// JSON lines of questions.
    pub rows: PathBuf,
    /// JSON lines of few-shot examples.
    pub shots_from: Option<PathBuf>,
}

/// Arguments of a model export for other programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportModelRequest {
    /// `embedded`, a packed file, a model directory, or a run's directory.
    pub model: String,
    /// The directory or file to write; it must not exist.
    pub out: PathBuf,
    /// The format.
    pub form: ModelExport,
}

/// Format of an exported model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum ModelExport {
    /// A Hugging Face directory of a plain LLaMA.
    Dense {
        /// Data type of its tensors.
        floats: Floats,
    },
    /// A Hugging Face directory of latent weights, α and β, in f32.
    Latent,
    /// A GGUF file of a plain LLaMA, matrices in f16.
    Gguf,
}

/// Arguments of a text generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Context length in tokens, for prompt and continuation; the model's context, at most 4,096, if absent.
    pub context: Option<usize>,
    /// The prompt.
    pub prompt: String,
    /// Sampling and length of the continuation.
    pub request: Request,
}

/// Kind of an input path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Text to train on.
    Text,
    /// A model: a directory, a packed or GGUF file, or a run.
    Model,
    /// A model configuration: a `config.json`.
    Shape,
    /// A `tokenizer.json`, or its directory.
    Tokenizer,
    /// The directory of a teacher cache.
    TeacherCache,
    /// Settings as TOML.
    Settings,
    /// Unknown, to be detected: a file that was dropped on the window.
    Any,
}

/// Arguments of a loss landscape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LandscapeRequest {
    /// A run's directory (its last checkpoint), or a model directory.
    pub model: String,
    /// Text for the loss; the run's held-out text if absent.
    pub text: Option<PathBuf>,
    /// Window length in tokens.
    pub window: usize,
    /// Windows per point, from the start of the text.
    pub windows: usize,
    /// Grid of points.
    pub grid: LandscapeGrid,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// The file to write: an `.svg` or `.png` picture, or the numbers as `.json`.
    pub out: PathBuf,
}

/// Arguments of a memory plan for inference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanModelRequest {
    /// A preset (packed), or a model as for [`GenerateRequest::model`].
    pub model: String,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Context length in tokens.
    pub context: Option<usize>,
    /// Bytes of memory to assume, instead of what the device reports.
    pub memory: Option<u64>,
}

/// Arguments of a memory plan for training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanTrainRequest {
    /// The run.
    pub train: TrainRequest,
    /// Shape to assume for the teacher, which need not exist: a known name or a `config.json`.
    pub teacher_shape: Option<String>,
}

/// Arguments of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepRequest {
    /// The TOML file with the varied settings.
    pub file: PathBuf,
    /// Folder of its runs.
    pub folder: PathBuf,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Bytes of memory to assume, instead of what the device reports.
    pub memory: Option<u64>,
    /// Only list the runs with their plans.
    pub dry: bool,
}

/// Arguments of a teacher cache, to create or to resume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TeachRequest {
    /// Directory of the cache.
    pub out: PathBuf,
    /// Number of top tokens cached per position.
    pub top: usize,
    /// Settings of a run; its teacher, tokenizer, text, sequence length and temperature are used.
    pub config: TrainConfig,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
}

/// Arguments of a training, to start or to resume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Directory of the run.
    pub run: PathBuf,
    /// True to use the first free directory of `run-1`, `run-2`, … beside `run` instead.
    #[serde(default)]
    pub numbered: bool,
    /// The settings; defaults if `None`, or those of the run if it is resumed.
    pub config: Option<TrainConfig>,
    /// Resume an existing run.
    pub resume: bool,
    /// The step of the checkpoint to resume from; the newest if `None`.
    #[serde(default)]
    pub from_step: Option<u64>,
    /// The device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Bytes of memory to assume, instead of what the device reports.
    pub memory: Option<u64>,
}

/// Arguments of a tokenizer's training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRequest {
    /// Text files, plain or JSON lines, or glob patterns.
    pub texts: Vec<PathBuf>,
    /// Vocabulary size.
    pub vocabulary: usize,
    /// The `tokenizer.json` to write.
    pub out: PathBuf,
}

/// A view of a layer's weights: a rectangle, and the number of pixels it is drawn with. A pixel that covers several weights
/// is their mean; several pixels of one weight repeat it.
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
