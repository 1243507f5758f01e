//! The commands of front ends: a variant of [`Command`] each, with the files that it needs and its implementation, in a file of
//! its own. Neither match has a wildcard, so that a new command must add both.

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
    LandscapeRequest, Message, MetricsPosition, Orders, PlanModelRequest, PlanTrainRequest, PlaneView, Report, Request, Snapshot, Stop, SweepRequest,
    TeachRequest, TokenizerRequest, TrainBench, TrainConfig, TrainRequest, Tuning,
};
use anyhow::{Context, Result};
pub use compare::CompareColumn;
pub(super) use export::FileExists;
use needs::{MODELS, Needs};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
pub use train::free_run;

/// A command of a front end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Train a model.
    Train(Box<TrainRequest>),
    /// Train the runs of a sweep.
    Sweep(Box<SweepRequest>),
    /// Cache a teacher's top-k probabilities for a text.
    Teach(Box<TeachRequest>),
    /// Report statistics of a text, tokenizing it if it is not cached.
    Data(Box<DataRequest>),
    /// Plan the memory of a training.
    PlanTrain(Box<PlanTrainRequest>),
    /// Validate an input file or directory.
    CheckInput {
        /// Its path.
        path: PathBuf,
        /// Its expected kind.
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
    /// Plan the memory of a model for inference.
    PlanModel(PlanModelRequest),
    /// Generate text from a prompt.
    Generate(Box<GenerateRequest>),
    /// Start a conversation, replacing the current one.
    OpenChat(Box<ChatRequest>),
    /// Send a user message to the conversation.
    #[serde(rename = "say")]
    SendMessage {
        /// The message.
        text: String,
    },
    /// Replace the messages of the conversation, up to the next user message, and the generation settings.
    SetChat {
        /// The messages, the system message first.
        messages: Vec<Message>,
        /// Sampling and length of replies.
        request: Request,
    },
    /// Continue the conversation with newer weights of the model in training.
    RefreshChat {
        /// The weights.
        snapshot: Snapshot,
    },
    /// Clear the conversation.
    ResetChat,
    /// Evaluate a model: perplexity on a text, tasks, or both.
    Evaluate(Box<EvalRequest>),
    /// Verify the files of a run, a model or a cache.
    Check {
        /// Its path.
        path: PathBuf,
        /// True to first restore damaged files of a run from its newest checkpoint.
        repair: bool,
    },
    /// Report statistics of a model's layers.
    Inspect {
        /// `embedded`, a packed file, a model directory, or a run's directory.
        model: String,
    },
    /// Draw the loss landscape around a checkpoint.
    Landscape(Box<LandscapeRequest>),
    /// Export a model for other programs.
    ExportModel(ExportModelRequest),
    /// Write a model as a packed file.
    Pack {
        /// `embedded`, a model directory, or a run's directory.
        model: String,
        /// The file.
        out: PathBuf,
    },
    /// Train a tokenizer.
    TrainTokenizer(TokenizerRequest),
    /// Open a model to view its binarized weights, replacing the current one.
    OpenWeights {
        /// `embedded`, a packed file, a model directory, a run's directory (then its last checkpoint), or a checkpoint's.
        model: String,
    },
    /// Show a view of a layer's signs and their flips.
    ShowPlane {
        /// The layer's full name.
        layer: String,
        /// The checkpoint, or another model of the same shape, since which flips are counted; none to count none.
        since: Option<PathBuf>,
        /// The part to show, and the number of pixels.
        view: PlaneView,
    },
    /// Report α and β of a layer.
    ShowScales {
        /// The layer's full name.
        layer: String,
    },
    /// List the GPU adapters of this machine.
    Devices,
    /// Check all operations on a device against a float64 reference.
    Conform(ConformRequest),
    /// Save a conformance report to `PATH.md` and `PATH.json`, with a number added if these exist.
    SaveReport {
        /// The report.
        report: Box<Report>,
        /// The path without extension.
        path: PathBuf,
    },
    /// Save a text, with a number added to the name if the file exists.
    SaveText {
        /// The text.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// Benchmark training steps.
    BenchTrain {
        /// Parameters of the benchmark.
        bench: TrainBench,
        /// The device: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Benchmark matrix products.
    BenchMatmul {
        /// The device: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Benchmark a dependent dispatch.
    BenchDispatch {
        /// The device: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Benchmark decoding.
    BenchDecode {
        /// Parameters of the benchmark.
        bench: DecodeBench,
        /// The device: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// List the runs in a folder.
    ListRuns {
        /// The folder.
        folder: PathBuf,
    },
    /// Read the metrics of a run, also during training.
    FollowRun {
        /// Its directory.
        path: PathBuf,
        /// Position to read from: `MetricsPosition::default()`, then `until` of the last [`Event::RunMetrics`].
        from: MetricsPosition,
        /// Maximum number of chunks to emit, of some thousands of steps each, so that the receiver can keep up; 0 for all.
        pieces: usize,
    },
    /// Report the summary of a run.
    DescribeRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Rename a run that is not being trained.
    RenameRun {
        /// Its directory.
        path: PathBuf,
        /// The new name.
        name: String,
    },
    /// Move a run that is not being trained to the trash of its folder.
    TrashRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Restore a run from the trash.
    RestoreRun {
        /// Its path in the trash.
        from: PathBuf,
        /// Its new path.
        to: PathBuf,
    },
    /// Delete the runs in the trash of a folder.
    EmptyTrash {
        /// The folder.
        folder: PathBuf,
    },
    /// List the models in the storage of the web page.
    ListModels,
    /// Download a model to the storage of the web page, or resume its download.
    FetchModel {
        /// Its URL.
        url: String,
        /// Its expected SHA-256, if known.
        sha256: Option<String>,
    },
    /// Delete a model from the storage of the web page.
    DeleteModel {
        /// Its name.
        name: String,
    },
    /// Compare runs.
    Compare(CompareRequest),
    /// Export runs to one file.
    Export {
        /// Their directories.
        runs: Vec<PathBuf>,
        /// The file, whose extension selects the format: `.svg` or `.png` for curves, `.csv` for the metrics of each step,
        /// `.zip` for all files, `.signet` for the packed model of one run.
        out: PathBuf,
        /// True to replace an existing file.
        replace: bool,
    },
}

/// State that persists between commands.
#[derive(Default)]
pub(super) struct RunnerState {
    pub(super) stop: Stop,
    pub(super) orders: Orders,
    pub(super) tuning: Tuning,
    chat: Option<chat::Session>,
    weights: Option<weights::OpenedModel>,
    plan_cache: PlanCache,
}

impl RunnerState {
    /// Creates the state of a runner that `stop` can stop.
    pub(super) fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    fn chat(&mut self) -> Result<&mut chat::Session> {
        self.chat.as_mut().context("no conversation is open. Select a model first")
    }

    fn weights(&mut self) -> Result<&mut weights::OpenedModel> {
        self.weights.as_mut().context("no model is open. Open one first")
    }
}

impl Command {
    /// Returns the files that the command needs.
    pub(in crate::runner) fn needs(&self) -> Needs {
        match self {
            Command::Train(request) => train::needs(request),
            Command::Teach(request) => Needs::training(Some(&request.config)),
            Command::Sweep(_) | Command::PlanTrain(_) | Command::Data(_) | Command::Conform(_) => Needs::all_assets(),
            Command::OpenChat(request) => chat::needs(request),
            Command::Generate(request) => Needs::model(&request.model),
            Command::Evaluate(request) => Needs::model(&request.model),
            Command::Landscape(request) => Needs::model(&request.model),
            Command::ExportModel(request) => Needs::model(&request.model),
            Command::Pack { model, .. } | Command::Inspect { model } | Command::OpenWeights { model } => Needs::model(model),
            // A plan may name a preset, and downloads no model.
            Command::PlanModel(_) | Command::ShowPlane { .. } => Needs { assets: &MODELS, ..Needs::default() },
            Command::Export { runs, .. } => Needs { opened: runs.clone(), ..Needs::default() },
            Command::CheckInput { .. }
            | Command::SaveSettings { .. }
            | Command::OpenSettings { .. }
            | Command::SendMessage { .. }
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

    /// Runs the command and passes its events to `emit`.
    pub(super) async fn run(self, state: &mut RunnerState, emit: &mut dyn FnMut(Event)) -> Result<()> {
        match self {
            Command::Train(request) => {
                let control = train::TrainControl { stop: &state.stop, orders: &state.orders };
                train::train(*request, state.tuning, control, emit).await
            }
            Command::Sweep(request) => {
                let control = train::TrainControl { stop: &state.stop, orders: &state.orders };
                let result = sweep::sweep(*request, state.tuning, control, &mut state.plan_cache, emit).await;
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
                // If the model cannot be opened, the current conversation stays.
                let session = chat::Session::new(*request, state.tuning, &state.stop)?;
                // Frees the memory of the current model before the new one is loaded.
                state.chat = None;
                state.chat.insert(session).load(emit).await
            }
            Command::SendMessage { text } => state.chat()?.send(&text, emit).await,
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
                state.weights = Some(weights::OpenedModel::open(&model, emit)?);
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
