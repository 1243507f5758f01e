//! The commands of a face: a variant of [`Command`] each, what it needs before its work begins, and its work, which is in a
//! file of its own. Neither match has a rest, so that a new command cannot forget either.

mod needs;

mod bench;
mod chat;
mod check;
mod compare;
mod conform;
mod data;
mod devices;
mod eval;
mod export;
mod export_model;
mod generate;
mod input;
mod inspect;
mod landscape;
mod models;
mod pack;
mod plan;
mod runs;
mod save;
mod settings;
mod sweep;
mod teach;
mod tokenizer;
mod train;
mod weights;

use super::plan_cache::PlanCache;
use super::{
    ChatRequest, CompareRequest, ConformRequest, DataRequest, DecodeBench, EvalRequest, Event, ExportModelRequest, GenerateRequest, InputKind,
    LandscapeRequest, Message, Orders, Place, PlanModelRequest, PlanTrainRequest, PlaneView, Report, Request, Snapshot, Stop, SweepRequest, TeachRequest,
    TokenizerRequest, TrainBench, TrainConfig, TrainRequest, Tuning,
};
use anyhow::{Context, Result};
pub use compare::CompareColumn;
use needs::{MODELS, Needs};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
pub use train::free_run;

/// A command of a face.
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
        /// The end of what is known: `Place::default()`, then that of the last [`Event::RunMetrics`].
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

/// State that lasts from one command to the next.
#[derive(Default)]
pub(super) struct State {
    pub(super) stop: Stop,
    pub(super) orders: Orders,
    pub(super) tuning: Tuning,
    chat: Option<chat::Session>,
    weights: Option<weights::Weights>,
    plan_cache: PlanCache,
}

impl State {
    /// That of a runner that `stop` can stop.
    pub(super) fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    fn chat(&mut self) -> Result<&mut chat::Session> {
        self.chat.as_mut().context("no conversation was begun: choose a model first")
    }

    fn weights(&mut self) -> Result<&mut weights::Weights> {
        self.weights.as_mut().context("no model was opened to look at")
    }
}

impl Command {
    /// Its needs.
    pub(in crate::runner) fn needs(&self) -> Needs {
        match self {
            Command::Train(request) => train::needs(request),
            Command::Teach(request) => Needs::training(Some(&request.config)),
            Command::Sweep(_) | Command::PlanTrain(_) | Command::Data(_) | Command::Conform(_) => Needs::program(),
            Command::OpenChat(request) => chat::needs(request),
            Command::Generate(request) => Needs::model(&request.model),
            Command::Evaluate(request) => Needs::model(&request.model),
            Command::Landscape(request) => Needs::model(&request.model),
            Command::ExportModel(request) => Needs::model(&request.model),
            Command::Pack { model, .. } | Command::Inspect { model } | Command::OpenWeights { model } => Needs::model(model),
            // A preset is no model, and a plan fetches none.
            Command::PlanModel(_) | Command::ShowPlane { .. } => Needs { assets: &MODELS, ..Needs::default() },
            Command::Export { runs, .. } => Needs { opened: runs.clone(), ..Needs::default() },
            Command::CheckInput { .. }
            | Command::SaveSettings { .. }
            | Command::OpenSettings { .. }
            | Command::Say { .. }
            | Command::SetChat { .. }
            | Command::RefreshChat { .. }
            | Command::ResetChat
            | Command::Check { .. }
            | Command::TrainTokenizer(_)
            | Command::ShowScales { .. }
            | Command::Devices
            | Command::SaveReport { .. }
            | Command::SaveText { .. }
            | Command::BenchTrain { .. }
            | Command::BenchMatmul { .. }
            | Command::BenchDispatch { .. }
            | Command::BenchDecode { .. }
            | Command::ListRuns { .. }
            | Command::FollowRun { .. }
            | Command::DescribeRun { .. }
            | Command::RenameRun { .. }
            | Command::TrashRun { .. }
            | Command::RestoreRun { .. }
            | Command::EmptyTrash { .. }
            | Command::ListModels
            | Command::FetchModel { .. }
            | Command::DeleteModel { .. }
            | Command::Compare(_) => Needs::default(),
        }
    }

    /// Does it; `emit` gets what happens meanwhile.
    pub(super) async fn work(self, state: &mut State, emit: &mut dyn FnMut(Event)) -> Result<()> {
        match self {
            Command::Train(request) => {
                let asked = train::Asked { stop: &state.stop, orders: &state.orders };
                train::train(*request, state.tuning, asked, emit).await
            }
            Command::Sweep(request) => {
                let asked = train::Asked { stop: &state.stop, orders: &state.orders };
                let result = sweep::sweep(*request, state.tuning, asked, &mut state.plan_cache, emit).await;
                state.orders.clear();
                result
            }
            Command::Teach(request) => teach::teach(*request, &state.stop, emit).await,
            Command::Data(request) => data::report(*request, &state.stop, emit),
            Command::PlanTrain(request) => plan::plan_train(*request, &mut state.plan_cache, emit).await,
            Command::CheckInput { path, kind } => {
                input::check(&path, kind, emit);
                Ok(())
            }
            Command::SaveSettings { config, path } => settings::save(&config, &path, emit),
            Command::OpenSettings { path } => settings::open(&path, emit),
            Command::PlanModel(request) => plan::plan_model(request, &mut state.plan_cache, emit).await,
            Command::Generate(request) => generate::generate(*request, state.tuning, &state.stop, emit).await,
            Command::OpenChat(request) => {
                // A model that cannot be opened leaves the conversation before as it is.
                let session = chat::Session::new(*request, state.tuning, &state.stop)?;
                // The model before goes first, so that there is memory for this one.
                state.chat = None;
                state.chat.insert(session).load(emit).await
            }
            Command::Say { text } => state.chat()?.say(&text, emit).await,
            Command::SetChat { messages, request } => state.chat()?.set(messages, request),
            Command::RefreshChat { snapshot } => state.chat()?.refresh(snapshot, emit).await,
            Command::ResetChat => {
                state.chat()?.reset();
                Ok(())
            }
            Command::Evaluate(request) => eval::measure(*request, state.tuning, &state.stop, emit).await,
            Command::Check { path, repair } => check::check(&path, repair, &state.stop, emit),
            Command::Inspect { model } => inspect::inspect(&model, &state.stop, emit),
            Command::Landscape(request) => landscape::draw(*request, &state.stop, emit).await,
            Command::ExportModel(request) => export_model::export(&request, &state.stop, emit),
            Command::Pack { model, out } => pack::pack(&model, &out, emit),
            Command::TrainTokenizer(request) => tokenizer::train(&request, emit),
            Command::OpenWeights { model } => {
                state.weights = Some(weights::Weights::open(&model, emit)?);
                Ok(())
            }
            Command::ShowPlane { layer, since, view } => state.weights()?.show(&layer, since.as_deref(), view, emit),
            Command::ShowScales { layer } => state.weights()?.scales(&layer, emit),
            Command::Devices => devices::list(emit).await,
            Command::Conform(request) => conform::conform(request, &state.stop, emit).await,
            Command::SaveText { text, path } => save::text(&path, &text, emit),
            Command::SaveReport { report, path } => save::report(&path, &report, emit),
            Command::BenchTrain { bench, device } => bench::bench_train(bench, &device, state.tuning, &state.stop, emit).await,
            Command::BenchMatmul { device } => bench::bench_matmul(&device, &state.stop, emit).await,
            Command::BenchDispatch { device } => bench::bench_dispatch(&device, &state.stop, emit).await,
            Command::BenchDecode { bench, device } => bench::bench_decode(bench, &device, state.tuning, &state.stop, emit).await,
            Command::ListRuns { folder } => runs::list(&folder, emit),
            Command::DescribeRun { path } => runs::describe(path, emit),
            Command::FollowRun { path, from, pieces } => runs::follow(&path, from, pieces, &state.stop, emit),
            Command::RenameRun { path, name } => runs::rename(&path, &name, emit),
            Command::TrashRun { path } => runs::trash(&path, emit),
            Command::RestoreRun { from, to } => runs::restore(&from, &to, emit),
            Command::EmptyTrash { folder } => runs::empty_trash(&folder, emit),
            Command::ListModels => models::list(emit).await,
            Command::FetchModel { url, sha256 } => models::fetch(&url, sha256.as_deref(), &state.stop, emit).await,
            Command::DeleteModel { name } => models::delete(&name, emit).await,
            Command::Compare(request) => compare::compare(&request, &state.stop, emit),
            Command::Export { runs, out, replace } => export::export(&runs, &out, replace, &state.stop, emit),
        }
    }
}

#[cfg(test)]
mod tests;
