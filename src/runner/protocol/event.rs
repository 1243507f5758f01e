//! Events that a runner sends to a front end while a command runs.

use crate::runner::{
    CaseResult, CompareReport, DataReport, DecodeReport, DeviceInfo, EvalReport, GenerateReport, InputKind, Inspection, LayerInfo, MatmulReport, Metrics,
    MetricsPosition, ModelComparison, Outcome, PackReport, PerplexityReport, PlanReport, PlaneView, Report, RunInfo, StorageQuota, StoredModel, SweepRun,
    TrainBenchReport, TrainConfig, TrainEvent,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// An event of a running command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Progress of a training.
    Train(TrainEvent),
    /// The directory of a new run was made.
    RunCreated {
        /// The path.
        path: PathBuf,
    },
    /// Training ended.
    TrainEnded {
        /// True if all steps are done, false if it was stopped.
        finished: bool,
    },
    /// The plan of a sweep.
    SweepPlanned {
        /// Its runs in order, including finished ones.
        runs: Vec<SweepRun>,
    },
    /// A run of a sweep starts or resumes.
    SweepRun {
        /// Its position in the sweep, from 1.
        n: usize,
        /// Total number of runs.
        of: usize,
        /// Its name.
        name: String,
    },
    /// A sweep ended.
    SweepEnded {
        /// Finished runs.
        done: usize,
        /// Total number of runs.
        of: usize,
        /// Failed runs, each with the reason.
        failed: Vec<String>,
    },
    /// Making a teacher cache ended.
    #[serde(rename = "taught")]
    TeacherCacheEnded {
        /// True if the cache is complete, false if it was stopped.
        finished: bool,
    },
    /// The memory that a training or a model would need on a device.
    Planned(PlanReport),
    /// A run cannot be planned or started because of a setting.
    SettingRefused {
        /// Its name in TOML.
        name: String,
        /// The problem.
        problem: String,
    },
    /// An input file or directory was validated.
    Input {
        /// Its path.
        path: PathBuf,
        /// Its kind: the requested one, or the detected one for [`InputKind::Any`].
        kind: InputKind,
        /// The reason why it cannot be used; none if it can.
        problem: Option<String>,
        /// A description; empty if there is a problem.
        what: String,
    },
    /// Settings were written.
    SettingsSaved {
        /// The file.
        path: PathBuf,
    },
    /// Settings were read.
    Settings {
        /// The file.
        path: PathBuf,
        /// The settings.
        config: Box<TrainConfig>,
    },
    /// A model was loaded to a device.
    Loaded {
        /// Its path.
        model: String,
        /// The device.
        device: String,
        /// Context length, in tokens.
        context: usize,
        /// Bytes allocated.
        memory: u64,
    },
    /// The conversation continues with a newer snapshot of the model in training.
    Refreshed {
        /// Training step of the snapshot.
        step: u64,
    },
    /// A piece of generated text.
    Text {
        /// The piece, of complete characters.
        text: String,
    },
    /// A text, or a reply, is complete.
    Generated(GenerateReport),
    /// Comparison of the student with its teacher on the student's reply, token by token.
    TokenKl(ModelComparison),
    /// A piece of the teacher's reply.
    TeacherText {
        /// The piece, of complete characters.
        text: String,
    },
    /// The teacher's reply is complete.
    TeacherGenerated(GenerateReport),
    /// The conversation outgrew the context.
    #[serde(rename = "forgotten")]
    MessagesDropped {
        /// Number of oldest messages that were dropped; the system message stays.
        messages: usize,
    },
    /// Progress of a command.
    Progress {
        /// Parts done.
        done: usize,
        /// Total number of parts.
        of: usize,
        /// Intermediate results, or the current stage.
        note: String,
    },
    /// Statistics of a text.
    Data(DataReport),
    /// A perplexity was measured.
    Perplexity(PerplexityReport),
    /// An evaluation is complete, or was stopped.
    Evaluated {
        /// The results.
        report: Box<EvalReport>,
        /// The results as a text table.
        table: String,
    },
    /// A file was verified.
    Checked {
        /// The file or directory.
        path: PathBuf,
        /// The outcome.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// Verification is complete.
    CheckEnded {
        /// Intact files.
        whole: usize,
        /// Readable files without a checksum, and files in the format of a newer version.
        unverified: usize,
        /// Damaged files.
        damaged: usize,
    },
    /// A model was packed.
    Packed(PackReport),
    /// Statistics of a model's layers.
    Inspected {
        /// Path of the model.
        model: String,
        /// The statistics.
        inspection: Box<Inspection>,
        /// For a run: mean number of sign flips per weight so far, one value per binarized matrix.
        flips: Option<Vec<f64>>,
    },
    /// A loss landscape was drawn.
    Landscape {
        /// The file.
        out: PathBuf,
        /// Loss at the checkpoint, in nats per token.
        centre: f64,
        /// Largest loss on the grid.
        greatest: f64,
    },
    /// A model was exported for other programs.
    ModelExported {
        /// The path.
        out: PathBuf,
        /// Size of its tensors in bytes.
        bytes: u64,
    },
    /// A tokenizer was trained.
    TokenizerTrained {
        /// Vocabulary size.
        vocabulary: usize,
        /// Bytes of the training text.
        bytes: usize,
        /// Tokens of the training text.
        tokens: usize,
    },
    /// A model was opened to view its weights.
    Weights {
        /// The model as requested.
        model: String,
        /// The file of its tensors.
        path: String,
        /// Its binarized layers, in the model's order.
        layers: Vec<LayerInfo>,
        /// Step and directory of each checkpoint of the run that the model belongs to; empty without a run.
        checkpoints: Vec<(u64, PathBuf)>,
        /// Bits per binarized weight when packed: its sign, padding, and its share of α and β.
        bits_per_weight: f64,
    },
    /// Signs of a part of a layer, as pixels.
    Plane {
        /// The layer's full name.
        layer: String,
        /// The checkpoint or model that it is compared with.
        since: Option<PathBuf>,
        /// The part shown, and the number of pixels.
        view: PlaneView,
        /// Two bytes per pixel, row-major, in 255ths: the fraction of its weights that are +1 (rounded), and that
        /// flipped (rounded up).
        #[serde(skip)]
        pixels: Arc<Vec<u8>>,
        /// Fraction of the layer's weights that are +1.
        positive: f64,
        /// Fraction of the layer's weights that flipped; none without a comparison.
        flipped: Option<f64>,
    },
    /// α and β of a layer.
    Scales {
        /// The layer's full name.
        layer: String,
        /// α, one per input.
        alpha: Vec<f32>,
        /// β, one per input.
        beta: Vec<f32>,
    },
    /// The GPU adapters of this machine.
    Devices {
        /// The adapters, sorted by index.
        adapters: Vec<DeviceInfo>,
    },
    /// A case of the conformance test is done.
    Case {
        /// The device.
        device: String,
        /// Its result.
        result: CaseResult,
    },
    /// The conformance test of a device is complete.
    Conformance {
        /// The results.
        report: Box<Report>,
        /// The results as a text table.
        table: String,
    },
    /// Benchmark of training steps.
    BenchTrain(TrainBenchReport),
    /// Benchmark of a matrix product.
    BenchMatmul(MatmulReport),
    /// Benchmark of decoding.
    BenchDecode(DecodeReport),
    /// Kernel variants of an operation are about to be timed on the adapter.
    Tuning {
        /// Operations done.
        done: usize,
        /// Total number of operations.
        of: usize,
        /// The current operation.
        what: String,
    },
    /// Benchmark of a dependent dispatch.
    BenchDispatch {
        /// The device.
        device: String,
        /// Seconds per dispatch.
        seconds: f64,
    },
    /// A message to the user.
    Note {
        /// The message, one line.
        text: String,
    },
    /// The runs of a folder.
    Runs {
        /// The folder.
        folder: PathBuf,
        /// False if the folder does not exist.
        found: bool,
        /// The runs, most recently modified first.
        runs: Vec<RunInfo>,
        /// Number of runs in its trash.
        trashed: usize,
        /// Time of this listing, in seconds since 1970.
        now: f64,
    },
    /// A summary of a run.
    Run {
        /// Its directory.
        path: PathBuf,
        /// The summary; none if there is no run.
        run: Option<Box<RunInfo>>,
    },
    /// A chunk of a run's metrics.
    RunMetrics {
        /// Its directory.
        path: PathBuf,
        /// Position of the next chunk.
        until: MetricsPosition,
        /// True if a rollback or a resume truncated the metrics: this is the first chunk again, and earlier
        /// chunks are no longer valid.
        restarted: bool,
        /// True if more can be read now.
        more: bool,
        /// Metrics of each step.
        metrics: Vec<Metrics>,
        /// Problems of the lines that could not be parsed and are left out.
        broken: Vec<String>,
    },
    /// A run was renamed.
    Renamed {
        /// Its old path.
        from: PathBuf,
        /// Its new path.
        to: PathBuf,
    },
    /// A run was moved to the trash.
    Trashed {
        /// Its old path.
        from: PathBuf,
        /// Its path in the trash.
        to: PathBuf,
    },
    /// A run was restored from the trash.
    Restored {
        /// Its path in the trash.
        from: PathBuf,
        /// Its new path.
        to: PathBuf,
    },
    /// The trash of a folder was emptied.
    TrashEmptied {
        /// The folder.
        folder: PathBuf,
        /// Number of runs deleted.
        runs: usize,
    },
    /// The models in the storage of a web page.
    Models {
        /// The models, including partial downloads.
        models: Vec<StoredModel>,
        /// Storage used and available.
        room: StorageQuota,
    },
    /// Progress of a model's download.
    Fetching {
        /// Its name.
        name: String,
        /// Bytes downloaded.
        done: u64,
        /// Total bytes; none if the server does not report them.
        of: Option<u64>,
        /// Bytes per second.
        rate: f64,
        /// The current stage, such as a retry.
        note: String,
    },
    /// A model was downloaded.
    Fetched {
        /// Its name.
        name: String,
        /// Its path for [`Command`](crate::runner::Command)s.
        path: PathBuf,
        /// Size in bytes.
        bytes: u64,
        /// Its SHA-256, in hexadecimal.
        sha256: String,
    },
    /// A comparison of runs.
    Compared(Box<CompareReport>),
    /// Data of runs was exported to a file.
    Exported {
        /// The file.
        out: PathBuf,
        /// Number of runs in it.
        runs: usize,
    },
}

impl Event {
    /// Returns the event as a line of text, or none if each front end shows it in its own way.
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Train(event) => event.line(),
            Self::Tuning { done, of, what } => Some(format!("tuning kernels for this device: {what} ({} of {of})", done + 1)),
            Self::Note { text } => Some(text.clone()),
            _ => None,
        }
    }
}
