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
mod export;
mod export_model;
mod generate;
mod hub;
mod inputs;
mod inspect;
mod kind;
mod known;
mod landscape;
mod model;
mod models;
mod numbers;
mod pack;
mod plan;
mod protocol;
mod recover;
mod resume;
mod run_inputs;
mod runs;
mod save;
mod settings;
mod shapes;
mod sources;
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
    Average, Axis, Changed, Column, Curve, DIVERGENCE_CHOICES, Divergence, Grid, GuardAction, GuardConfig, Init, Loss, Losses, Metrics, NONE, Order, Orders,
    Outcome, PLOTS, Pace, PathKind, Place, Plot, PlotLine, Precision, QUANTITIES, QUANTITY_COUNT, Quantity, Recomputation, SETTINGS, Scale, Schedule, Setting,
    SettingError, SettingGroup, SettingKind, SettingValue, Snapshot, Source, Term, TrainConfig, TrainEvent, Unit, check_name, quantity, setting,
};
pub use compare::CompareColumn;
pub use protocol::{
    ChatRequest, Command, CompareReport, CompareRequest, ComparedGroup, ComparedRun, ConformRequest, DataReport, DataRequest, DeviceInfo, EvalRequest, Event,
    ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest, LayerInfo, ModelExport, ModelNumbers, PlanModelRequest, PlanReport, PlanTrainRequest,
    PlaneView, RunInfo, RunLength, SweepRequest, SweepRun, TaskRequest, TeachRequest, TokenizerRequest, TrainRequest,
};
pub use resume::{RUNS, resume_command, with_resume};
pub use settings::{settings, settings_over};
pub use stop::Stop;
pub use train::free_run;
pub use tuning::Tuning;
pub use worker::{Hear, Heard, Host, Link, Reply, Say, Spawn, Start, Wake, Worker, bug, connect, restart};

pub use crate::platform::dom;
pub use crate::platform::{
    Clock, IN_PAGE, KeptModel, PASSES_ON, Room, beside, command_on, exit, fail_at_file_size_limit, hand_over, has_display, home_dir, is_file, pause, spawn,
    wait, write_atomic,
};

use crate::platform;
use crate::train::Ending;
use anyhow::Context;

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
        let needs = command.needs();
        for name in needs.assets {
            if let Some(bytes) = platform::fetch_asset(name).await? {
                emit(Event::Note { text: format!("Fetched {name}: {:.1} MB", bytes as f64 / 1e6) });
            }
        }
        for name in &needs.models {
            hub::fetch(&platform::Hub::default(), name, &self.stop, emit)?;
        }
        self.work(command, emit).await.map_err(|error| damage::with_older_model(error, needs.opened))
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
