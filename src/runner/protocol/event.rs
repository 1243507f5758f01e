//! What a front end is told while work is done.

use crate::runner::{
    CaseResult, CompareReport, Comparison, DataReport, DecodeReport, DeviceInfo, EvalReport, GenerateReport, InputKind, Inspection, KeptModel, LayerInfo,
    MatmulReport, Metrics, Outcome, PackReport, PerplexityReport, Place, PlanReport, PlaneView, Report, Room, RunInfo, SweepRun, TrainBenchReport, TrainConfig,
    TrainEvent,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// What a front end is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Training goes on.
    Train(TrainEvent),
    /// The directory of a new run was made.
    RunCreated {
        /// The path.
        path: PathBuf,
    },
    /// Training ended; whether all steps were done.
    TrainEnded {
        /// False if it was asked to stop.
        finished: bool,
    },
    /// What a sweep would do, in its order.
    SweepPlanned {
        /// Its runs, also those that are done.
        runs: Vec<SweepRun>,
    },
    /// A run of a sweep begins, or goes on.
    SweepRun {
        /// Which, from 1.
        n: usize,
        /// Runs in all.
        of: usize,
        /// Its name.
        name: String,
    },
    /// A sweep ended.
    SweepEnded {
        /// Runs that are done.
        done: usize,
        /// Runs in all.
        of: usize,
        /// Runs that did not come to their end, and why.
        failed: Vec<String>,
    },
    /// Making a teacher cache ended; whether it is whole.
    Taught {
        /// False if it was asked to stop.
        finished: bool,
    },
    /// What something would take of a device's memory.
    Planned(PlanReport),
    /// A run cannot be planned or begun because of one of its settings.
    SettingRefused {
        /// Its name, as TOML has it.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A file or directory was looked at.
    Input {
        /// Where it is.
        path: PathBuf,
        /// What it was taken for; of anything, what it seems to be.
        kind: InputKind,
        /// Why it cannot be used, if it cannot.
        problem: Option<String>,
        /// What it is, in words.
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
        /// What it says.
        config: Box<TrainConfig>,
    },
    /// A model is on its device.
    Loaded {
        /// Which.
        model: String,
        /// The device.
        device: String,
        /// Tokens there is room for.
        context: usize,
        /// Bytes taken.
        memory: u64,
    },
    /// The conversation goes on with a newer snapshot of the model in training.
    Refreshed {
        /// Taken after this step.
        step: u64,
    },
    /// A piece of generated text.
    Text {
        /// The piece; whole characters.
        text: String,
    },
    /// A text, or a reply, is complete.
    Generated(GenerateReport),
    /// How far the student is from its teacher on its reply.
    TokenKl(Comparison),
    /// A piece of the teacher's reply.
    TeacherText {
        /// The piece; whole characters.
        text: String,
    },
    /// The teacher's reply is complete.
    TeacherGenerated(GenerateReport),
    /// The conversation outgrew the context.
    Forgotten {
        /// Messages that were dropped from its beginning, after the system's.
        messages: usize,
    },
    /// Work goes on.
    Progress {
        /// Parts done.
        done: usize,
        /// Parts in all.
        of: usize,
        /// How it looks so far.
        note: String,
    },
    /// A text was looked at.
    Data(DataReport),
    /// A perplexity was measured.
    Perplexity(PerplexityReport),
    /// An evaluation is complete, or was stopped.
    Evaluated {
        /// As data.
        report: Box<EvalReport>,
        /// Its tasks as a table for people.
        table: String,
    },
    /// A file was verified.
    Checked {
        /// The file or directory.
        path: PathBuf,
        /// What came of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// All that was to be verified is.
    CheckEnded {
        /// Files that are as they were written.
        whole: usize,
        /// Files that can be read but have no checksum, and those of a newer version's format.
        unverified: usize,
        /// Files that are damaged.
        damaged: usize,
    },
    /// A model was packed.
    Packed(PackReport),
    /// What the layers of a model are made of.
    Inspected {
        /// Where the model lies.
        model: String,
        /// What there is to say.
        inspection: Box<Inspection>,
        /// Of a run: how often a weight of each binarized matrix has changed its sign so far, on average.
        flips: Option<Vec<f64>>,
    },
    /// A landscape was drawn.
    Landscape {
        /// The file.
        out: PathBuf,
        /// Loss at the checkpoint, in nats a token.
        centre: f64,
        /// Greatest loss seen.
        greatest: f64,
    },
    /// A model was written for other programs.
    ModelExported {
        /// The path.
        out: PathBuf,
        /// Bytes of its tensors.
        bytes: u64,
    },
    /// A tokenizer was trained.
    TokenizerTrained {
        /// Tokens it has.
        vocabulary: usize,
        /// Bytes of the text it was trained on.
        bytes: usize,
        /// Tokens that text has now.
        tokens: usize,
    },
    /// A model is open to be looked at.
    Weights {
        /// As it was asked for.
        model: String,
        /// The file of its tensors.
        path: String,
        /// Its binarized layers, in the model's order.
        layers: Vec<LayerInfo>,
        /// Step and directory of each checkpoint of the run it belongs to, if it belongs to one.
        checkpoints: Vec<(u64, PathBuf)>,
        /// Bits for each binarized weight, packed: its sign, padding, and its share of α and β.
        bits_per_weight: f64,
    },
    /// Part of a layer's signs.
    Plane {
        /// The layer's full name.
        layer: String,
        /// What it is compared with.
        since: Option<PathBuf>,
        /// Which part, in how many pixels.
        view: PlaneView,
        /// Two bytes a pixel, row by row: the share of its weights that are +1 (rounded), and of those that
        /// flipped (rounded up), in 255ths.
        #[serde(skip)]
        pixels: Arc<Vec<u8>>,
        /// Share of the whole layer's weights that are +1.
        positive: f64,
        /// Share of the whole layer's weights that flipped, if it is compared.
        flipped: Option<f64>,
    },
    /// α and β of a layer.
    Scales {
        /// The layer's full name.
        layer: String,
        /// α, one an input.
        alpha: Vec<f32>,
        /// β, one an input.
        beta: Vec<f32>,
    },
    /// The adapters of this machine.
    Devices {
        /// In the order of their indices.
        adapters: Vec<DeviceInfo>,
    },
    /// One case of the conformance.
    Case {
        /// The device.
        device: String,
        /// What came of it.
        result: CaseResult,
    },
    /// The conformance of a device is complete.
    Conformance {
        /// As data.
        report: Box<Report>,
        /// As a table for people.
        table: String,
    },
    /// Training steps were timed.
    BenchTrain(TrainBenchReport),
    /// A product was timed.
    BenchMatmul(MatmulReport),
    /// Decoding was timed.
    BenchDecode(DecodeReport),
    /// Variants are about to be timed on the adapter.
    Tuning {
        /// Operations done.
        done: usize,
        /// Operations in all.
        of: usize,
        /// The one at hand.
        what: String,
    },
    /// The cost of a dependent dispatch was measured.
    BenchDispatch {
        /// The device.
        device: String,
        /// Seconds.
        seconds: f64,
    },
    /// A line for the person.
    Note {
        /// The line.
        text: String,
    },
    /// The runs of a folder.
    Runs {
        /// The folder.
        folder: PathBuf,
        /// Whether there is such a folder.
        found: bool,
        /// The runs, the last used first.
        runs: Vec<RunInfo>,
        /// Runs in its trash.
        trashed: usize,
        /// When it was looked at, in seconds since 1970.
        now: f64,
    },
    /// A summary of a run.
    Run {
        /// Its directory.
        path: PathBuf,
        /// None if there is no run.
        run: Option<Box<RunInfo>>,
    },
    /// A piece of what a run has recorded.
    RunMetrics {
        /// Its directory.
        path: PathBuf,
        /// Where the next piece begins.
        until: Place,
        /// The run was cut back, by a rollback or a resume: this is its first piece again, and what
        /// was told before no longer holds.
        restarted: bool,
        /// Whether there is more to be read at once.
        more: bool,
        /// The steps.
        metrics: Vec<Metrics>,
        /// Lines that could not be read, and why; they are left out.
        broken: Vec<String>,
    },
    /// A run has another name.
    Renamed {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// A run is in the trash.
    Trashed {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// A run is back from the trash.
    Restored {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// The trash of a folder is empty.
    TrashEmptied {
        /// The folder.
        folder: PathBuf,
        /// Runs that were deleted.
        runs: usize,
    },
    /// The models that a page keeps, and the room for more.
    Models {
        /// Also those of which only a part is here.
        models: Vec<KeptModel>,
        /// The room.
        room: Room,
    },
    /// A model is on its way.
    Fetching {
        /// Its name.
        name: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes in all, if the server tells.
        of: Option<u64>,
        /// Bytes a second.
        rate: f64,
        /// What goes on besides.
        note: String,
    },
    /// A model is here.
    Fetched {
        /// Its name.
        name: String,
        /// The path to open it by.
        path: PathBuf,
        /// Bytes.
        bytes: u64,
        /// Its SHA-256, in hexadecimal.
        sha256: String,
    },
    /// Runs side by side.
    Compared(Box<CompareReport>),
    /// What runs have recorded is written.
    Exported {
        /// The file.
        out: PathBuf,
        /// Runs in it.
        runs: usize,
    },
}

impl Event {
    /// The event as a line, where every front end says the same; none of those that each shows in its own way.
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Train(event) => event.line(),
            Self::Tuning { done, of, what } => Some(format!("tuning kernels for this device: {what} ({} of {of})", done + 1)),
            Self::Note { text } => Some(text.clone()),
            _ => None,
        }
    }
}
