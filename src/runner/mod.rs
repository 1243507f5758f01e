//! Owns all work: a [`Command`] in, [`Event`]s out. Every front end (command line, app, page)
//! speaks to this and to nothing below it.

mod advice;
mod bench;
mod chat;
mod check;
mod compare;
mod corpus;
mod damage;
mod devices;
mod eval;
mod event;
mod export;
mod export_model;
mod generate;
mod hub;
mod inputs;
mod inspect;
mod known;
mod landscape;
mod model;
mod models;
mod numbers;
mod pack;
mod plan;
mod recover;
mod resume;
mod runs;
mod save;
mod settings;
mod stop;
mod sweep;
mod teach;
mod train;
mod tuning;
mod weights;
mod worker;

pub use crate::bench::{DecodeBench, DecodeReport, DecodeSide, DispatchCounts, KernelRow, MatmulReport, Rates, Spread, TrainBench, TrainBenchReport};
pub use crate::conform::{CaseResult, Report};
pub use crate::eval::{EvalReport, PerplexityReport, Published, Share, TaskReport};
pub use crate::infer::{Comparison, GenerateReport, Message, Request, Sampling, Stopped, TokenKl};
pub use crate::model::{Floats, Inspection, LayerReport, LlamaConfig, MatrixStorage, MemoryPlan, Moments, PRESETS, PackReport, TEACHERS};
pub use crate::train::{
    Average, Axis, Changed, Divergence, Grid, GuardAction, GuardConfig, Init, Loss, Losses, Metrics, Order, Orders, Outcome, Pace, Place, Precision,
    Recomputation, Schedule, SettingError, Snapshot, Source, TrainConfig, TrainEvent, check_name,
};
pub use chat::ChatRequest;
pub use compare::{CompareReport, CompareRequest, ComparedGroup, ComparedRun};
pub use corpus::{DataReport, DataRequest};
pub use devices::{ConformRequest, DeviceInfo};
pub use eval::{EvalRequest, TaskRequest};
pub use event::Event;
pub use export_model::{ExportModelRequest, ModelExport};
pub use generate::GenerateRequest;
pub use inputs::InputKind;
pub use landscape::LandscapeRequest;
pub use numbers::{ModelNumbers, RunLength};
pub use pack::TokenizerRequest;
pub use plan::{PlanModelRequest, PlanReport, PlanTrainRequest};
pub use resume::{RUNS, resume_command, with_resume};
pub use runs::RunInfo;
pub use settings::{settings, settings_over};
pub use stop::Stop;
pub use sweep::{SweepRequest, SweepRun};
pub use teach::TeachRequest;
pub use train::{TrainRequest, free_run};
pub use tuning::Tuning;
pub use weights::{LayerInfo, PlaneView};
pub use worker::{Hear, Heard, Host, Link, Reply, Say, Spawn, Start, Wake, Worker, bug, connect, restart};

pub use crate::platform::dom;
pub use crate::platform::{
    Clock, IN_PAGE, KeptModel, Room, command_on, exit, fail_at_file_size_limit, has_display, home_dir, pause, spawn, wait, write_atomic,
};

use crate::platform;
use crate::train::Ending;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a front end may ask for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Train a model.
    Train(Box<TrainRequest>),
    /// Train a grid of runs.
    Sweep(Box<SweepRequest>),
    /// Keep what a teacher says of a text.
    Teach(Box<TeachRequest>),
    /// Tell what is in a text, and tokenize it if it was not.
    Data(Box<DataRequest>),
    /// Say what memory a training would take.
    PlanTrain(Box<PlanTrainRequest>),
    /// Say whether a file or directory is what it is taken for.
    CheckInput {
        /// Where it is.
        path: PathBuf,
        /// What it is taken for.
        kind: InputKind,
    },
    /// Write settings as TOML, as `train --config` reads them.
    SaveSettings {
        /// The settings.
        config: Box<TrainConfig>,
        /// The file.
        path: PathBuf,
    },
    /// Read settings from TOML.
    OpenSettings {
        /// The file.
        path: PathBuf,
    },
    /// Say what memory a model takes that continues text.
    PlanModel(PlanModelRequest),
    /// Continue a text.
    Generate(Box<GenerateRequest>),
    /// Begin a conversation; the one before is forgotten.
    OpenChat(Box<ChatRequest>),
    /// Say something in the conversation.
    Say {
        /// What the user says.
        text: String,
    },
    /// Put other messages in the place of what was said, up to where the user speaks next, and other
    /// settings in the place of those that replies are made with.
    SetChat {
        /// What was said, the system's first.
        messages: Vec<Message>,
        /// How replies are made.
        request: Request,
    },
    /// Go on with the model in training as it is by now.
    RefreshChat {
        /// What it is.
        snapshot: Snapshot,
    },
    /// Forget what was said.
    ResetChat,
    /// Measure a model: perplexity on a text, tasks, or both.
    Evaluate(Box<EvalRequest>),
    /// Verify the files of a run, a model or a cache.
    Check {
        /// Where it is.
        path: PathBuf,
        /// True if files of a run that its checkpoints keep are put back first where they are damaged.
        repair: bool,
    },
    /// Say what the layers of a model are made of.
    Inspect {
        /// `embedded`, a packed file, a model directory, or a run's directory.
        model: String,
    },
    /// Draw the loss around a checkpoint.
    Landscape(Box<LandscapeRequest>),
    /// Write a model for other programs.
    ExportModel(ExportModelRequest),
    /// Write a student as a packed file.
    Pack {
        /// `embedded`, a model directory, or a run's directory.
        model: String,
        /// The file.
        out: PathBuf,
    },
    /// Train a tokenizer.
    TrainTokenizer(TokenizerRequest),
    /// Open a model to look at its binarized weights; the one before is forgotten.
    OpenWeights {
        /// `embedded`, a packed file, a model directory, a run's directory (then its last checkpoint), or a checkpoint's.
        model: String,
    },
    /// Show part of a layer's signs, and what flipped.
    ShowPlane {
        /// The layer's full name.
        layer: String,
        /// What flips are counted since: a checkpoint, or another model of the same shape.
        since: Option<PathBuf>,
        /// Which part, in how many pixels.
        view: PlaneView,
    },
    /// Tell α and β of a layer.
    ShowScales {
        /// The layer's full name.
        layer: String,
    },
    /// List the adapters of this machine.
    Devices,
    /// Hold every operation on a device against the oracle.
    Conform(ConformRequest),
    /// Write a device's report to `PATH.md` and `PATH.json`; what is there stays, and a number is added.
    SaveReport {
        /// The report.
        report: Box<Report>,
        /// Without an ending.
        path: PathBuf,
    },
    /// Write a text; what is there stays, and a number is added.
    SaveText {
        /// The text.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// Time training steps.
    BenchTrain {
        /// What is timed.
        bench: TrainBench,
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Time matrix products.
    BenchMatmul {
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Measure the cost of a dependent dispatch.
    BenchDispatch {
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Time decoding.
    BenchDecode {
        /// What is timed.
        bench: DecodeBench,
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// List the runs in a folder.
    ListRuns {
        /// The folder.
        folder: PathBuf,
    },
    /// Read what a run has recorded, also while it is trained.
    FollowRun {
        /// Its directory.
        path: PathBuf,
        /// What is known already: `Place::default()`, then where the last [`Event::RunMetrics`] ended.
        from: Place,
        /// Pieces to give at most, of some thousands of steps each, so that whoever asked is not
        /// overrun; 0 for all there are.
        pieces: usize,
    },
    /// Say what is known of a run.
    DescribeRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Give a run that nobody trains another name.
    RenameRun {
        /// Its directory.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Move a run that nobody trains into the trash of its folder.
    TrashRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Bring a run back from the trash.
    RestoreRun {
        /// Where it is in the trash.
        from: PathBuf,
        /// Where it was.
        to: PathBuf,
    },
    /// Delete what is in the trash of a folder.
    EmptyTrash {
        /// The folder.
        folder: PathBuf,
    },
    /// List the models that a page keeps.
    ListModels,
    /// Fetch a model from the network, or go on with it, in a page.
    FetchModel {
        /// Its address.
        url: String,
        /// The SHA-256 that it must have, if that is known.
        sha256: Option<String>,
    },
    /// Delete a model that a page keeps.
    DeleteModel {
        /// Its name.
        name: String,
    },
    /// Put runs side by side.
    Compare(CompareRequest),
    /// Write what runs have recorded as one file.
    Export {
        /// Their directories.
        runs: Vec<PathBuf>,
        /// The file; its ending says what is written: `.svg` or `.png` for curves, `.csv` for every step, `.zip`
        /// for all files, `.signet` for the packed model of one run.
        out: PathBuf,
        /// Whether a file that is there already is replaced.
        replace: bool,
    },
}

impl Command {
    /// Parts of the program that it may need: a page fetches them first.
    fn assets(&self) -> &'static [&'static str] {
        use crate::assets::{ALL, STUDENT_FILE, TEACHER_FILE};
        match self {
            Command::Train(_) | Command::Sweep(_) | Command::PlanTrain(_) | Command::Teach(_) | Command::Data(_) | Command::Conform(_) => &ALL,
            Command::OpenChat(request) if request.teacher.is_none() => &[STUDENT_FILE],
            Command::OpenChat(_)
            | Command::Generate(_)
            | Command::PlanModel(_)
            | Command::Evaluate(_)
            | Command::Pack { .. }
            | Command::ExportModel(_)
            | Command::Landscape(_)
            | Command::Inspect { .. } => &[STUDENT_FILE, TEACHER_FILE],
            Command::OpenWeights { .. } | Command::ShowPlane { .. } => &[STUDENT_FILE, TEACHER_FILE],
            _ => &[],
        }
    }
}

/// Does work, one command at a time.
pub struct Runner {
    stop: Stop,
    orders: Orders,
    tuning: Tuning,
    chat: Option<chat::Session>,
    weights: Option<weights::Weights>,
    known: known::Known,
}

impl Runner {
    /// A runner that `stop` can stop.
    pub fn new(stop: Stop) -> Self {
        Self { stop, orders: Orders::default(), tuning: Tuning::default(), chat: None, known: known::Known::default(), weights: None }
    }

    /// The same, with variants chosen at other times.
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// The same, speaking to a training through `orders`.
    pub fn with_orders(self, orders: Orders) -> Self {
        Self { orders, ..self }
    }

    /// What speaks to a training while it runs. Those still waiting when it ends are forgotten.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What stops it.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Does what is asked; `emit` gets what happens meanwhile.
    pub fn run(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        platform::wait(self.perform(command, emit))
    }

    /// As [`Runner::run`], for those who do not stand still meanwhile.
    pub async fn perform(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        for name in command.assets() {
            if let Some(bytes) = platform::fetch_asset(name).await? {
                emit(Event::Note { text: format!("Fetched {name}: {:.1} MB", bytes as f64 / 1e6) });
            }
        }
        for name in command.models() {
            hub::fetch(&platform::Hub::default(), &name, &self.stop, emit)?;
        }
        let runs = command.runs();
        self.work(command, emit).await.map_err(|error| damage::with_older_model(error, &runs))
    }

    fn chat(&mut self) -> anyhow::Result<&mut chat::Session> {
        self.chat.as_mut().context("no conversation was begun: choose a model first")
    }

    async fn work(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        match command {
            Command::Train(request) => {
                let asked = train::Asked { stop: &self.stop, orders: &self.orders };
                let ending = recover::train(*request, self.tuning, asked, emit, recover::PATIENCE, devices::open).await;
                self.orders.clear();
                emit(Event::TrainEnded { finished: ending? == Ending::Finished });
                Ok(())
            }
            Command::Sweep(request) => {
                let asked = train::Asked { stop: &self.stop, orders: &self.orders };
                let result = sweep::sweep(*request, self.tuning, asked, &mut self.known, emit).await;
                self.orders.clear();
                result
            }
            Command::Teach(request) => {
                let finished = teach::make(*request, &self.stop, emit).await?;
                emit(Event::Taught { finished });
                Ok(())
            }
            Command::Data(request) => corpus::report(*request, &self.stop, emit),
            Command::PlanTrain(request) => plan::plan_train(*request, &mut self.known, emit).await,
            Command::CheckInput { path, kind } => {
                inputs::check(&path, kind, emit);
                Ok(())
            }
            Command::SaveSettings { config, path } => settings::save(&config, &path, emit),
            Command::OpenSettings { path } => settings::open(&path, emit),
            Command::PlanModel(request) => plan::plan_model(request, &mut self.known, emit).await,
            Command::Generate(request) => generate::generate(*request, self.tuning, &self.stop, emit).await,
            Command::OpenChat(request) => {
                // What is no model leaves the conversation before as it is.
                let session = chat::Session::new(*request, self.tuning, &self.stop)?;
                // The model before goes first, so that there is memory for this one.
                self.chat = None;
                self.chat.insert(session).load(emit).await
            }
            Command::Say { text } => self.chat()?.say(&text, emit).await,
            Command::SetChat { messages, request } => self.chat()?.set(messages, request),
            Command::RefreshChat { snapshot } => self.chat()?.refresh(snapshot, emit).await,
            Command::ResetChat => {
                self.chat()?.reset();
                Ok(())
            }
            Command::Evaluate(request) => eval::measure(*request, self.tuning, &self.stop, emit).await,
            Command::Check { path, repair } => check::check(&path, repair, &self.stop, emit),
            Command::Inspect { model } => inspect::inspect(&model, &self.stop, emit),
            Command::Landscape(request) => landscape::draw(*request, &self.stop, emit).await,
            Command::ExportModel(request) => export_model::export(&request, &self.stop, emit),
            Command::Pack { model, out } => pack::pack(&model, &out, emit),
            Command::TrainTokenizer(request) => pack::train_tokenizer(&request, emit),
            Command::OpenWeights { model } => {
                self.weights = Some(weights::Weights::open(&model, emit)?);
                Ok(())
            }
            Command::ShowPlane { layer, since, view } => self.weights()?.show(&layer, since.as_deref(), view, emit),
            Command::ShowScales { layer } => self.weights()?.scales(&layer, emit),
            Command::Devices => {
                emit(Event::Devices { adapters: devices::list().await? });
                Ok(())
            }
            Command::Conform(request) => devices::conform(request, &self.stop, emit).await,
            Command::SaveText { text, path } => save::text(&path, &text, emit),
            Command::SaveReport { report, path } => save::report(&path, &report, emit),
            Command::BenchTrain { bench, device } => bench::bench_train(bench, &device, self.tuning, &self.stop, emit).await,
            Command::BenchMatmul { device } => bench::bench_matmul(&device, &self.stop, emit).await,
            Command::BenchDispatch { device } => bench::bench_dispatch(&device, &self.stop, emit).await,
            Command::BenchDecode { bench, device } => bench::bench_decode(bench, &device, self.tuning, &self.stop, emit).await,
            Command::ListRuns { folder } => runs::list(&folder, emit),
            Command::DescribeRun { path } => runs::describe(path, emit),
            Command::FollowRun { path, from, pieces } => runs::follow(&path, from, pieces, &self.stop, emit),
            Command::RenameRun { path, name } => runs::rename(&path, &name, emit),
            Command::TrashRun { path } => runs::trash(&path, emit),
            Command::RestoreRun { from, to } => runs::restore(&from, &to, emit),
            Command::EmptyTrash { folder } => runs::empty_trash(&folder, emit),
            Command::ListModels => models::list(emit).await,
            Command::FetchModel { url, sha256 } => models::fetch(&url, sha256.as_deref(), &self.stop, emit).await,
            Command::DeleteModel { name } => models::delete(&name, emit).await,
            Command::Compare(request) => compare::compare(&request, &self.stop, emit),
            Command::Export { runs, out, replace } => export::export(&runs, &out, replace, &self.stop, emit),
        }
    }

    fn weights(&mut self) -> anyhow::Result<&mut weights::Weights> {
        self.weights.as_mut().context("no model was opened to look at")
    }
}
