//! Runs commands: a [`Command`] in, [`Event`]s out. Every front end (command line, app, web page) uses this module and
//! none below it.
//!
//! Its submodules in layers; each uses only the layers above it:
//!
//! 1. events and arguments of commands (`protocol`), stop requests (`stop`), the command line that resumes a run (`resume`);
//! 2. kinds of paths (`kind`), models from Hugging Face (`hub_models`), devices, memory plans, and opening a model (`model`);
//! 3. inputs that a run's settings name: opening them (`sources`, `corpus`), caching them between plans (`plan_cache`), and
//!    checking that they fit together (`shapes`, `run_inputs`);
//! 4. the `commands`, one file each, their errors (`command_error`), and the `worker`, which runs a runner on another thread
//!    or in a web worker.

mod amounts;
mod protocol;
mod resume;
mod stop;

mod devices;
mod hub_models;
mod kind;
mod run_plan;
mod sizes;
mod tuning;

mod damage;
mod model_loader;

mod sources;
mod text_reader;

mod plan_cache;
mod settings_files;

mod shapes;

mod run_inputs;

mod commands;

mod command_error;

mod worker;

pub use crate::bench::{DecodeBench, DecodeReport, DecodeSide, DispatchCounts, KernelRow, MatmulReport, Rates, Spread, TrainBench, TrainBenchReport};
pub use crate::conform::{CaseResult, Report};
pub use crate::eval::{EvalReport, MeanEstimate, PerplexityReport, PublishedResult, TaskReport};
pub use crate::infer::{GenerateReport, Message, ModelComparison, Request, Sampling, Stopped, TokenKl};
pub use crate::model::{Floats, Inspection, LayerReport, MatrixStorage, MemoryPlan, ModelConfig, Moments, PRESETS, PackReport, TEACHERS};
pub use crate::train::{
    Average, Axis, Changed, Column, Curve, DIVERGENCE_CHOICES, Divergence, GuardAction, GuardConfig, Init, LandscapeGrid, Loss, Losses, Metrics,
    MetricsPosition, ModelSource, NONE, Order, Orders, Outcome, PLOTS, PathKind, Plot, PlotLine, Precision, QUANTITIES, QUANTITY_COUNT, Quantity,
    Recomputation, SETTINGS, Scale, Schedule, Setting, SettingError, SettingGroup, SettingKind, SettingValue, Snapshot, Speed, Term, TrainConfig, TrainEvent,
    Unit, check_name, quantity, setting,
};
pub use amounts::{format_bytes, format_count};
pub use command_error::{CommandError, CommandErrorKind};
pub use commands::{Command, CompareColumn, free_run};
pub use protocol::{
    ChatRequest, CompareReport, CompareRequest, ComparedGroup, ComparedRun, ConformRequest, DataReport, DataRequest, DeviceInfo, EvalRequest, Event,
    ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest, LayerInfo, ModelExport, ModelNumbers, PlanModelRequest, PlanReport, PlanTrainRequest,
    PlaneView, RunInfo, RunLength, SweepRequest, SweepRun, TaskRequest, TeachRequest, TokenizerRequest, TrainRequest,
};
pub use resume::{RUNS, resume_command, with_resume};
pub use settings_files::{settings, settings_over};
pub use stop::Stop;
pub use tuning::Tuning;
pub use worker::{EngineEvent, EngineLink, Host, OnEngineEvent, PostMessage, Reply, Spawn, StartEngine, Wake, Worker, connect, internal_error, restart};

pub use crate::platform::dom;
pub use crate::platform::{
    ChildEnd, ChildOutput, Clock, IN_PAGE, Lock, RUNS_CHILD, StorageQuota, StoredModel, beside, block_for, command_on, exit, fail_at_file_size_limit,
    has_display, home_dir, is_file, list, make_dir, read, replace_process, run_with_limit, spawn, wait, write_atomic,
};

use crate::platform;

/// Runs commands, one at a time.
pub struct Runner {
    state: commands::RunnerState,
}

impl Runner {
    /// Creates a runner whose commands `stop` can stop.
    pub fn new(stop: Stop) -> Self {
        Self { state: commands::RunnerState::new(stop) }
    }

    /// Sets when kernels are tuned.
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.state.tuning = tuning;
        self
    }

    /// Sets the orders that reach a training while it runs.
    pub fn with_orders(mut self, orders: Orders) -> Self {
        self.state.orders = orders;
        self
    }

    /// Returns the orders that reach a training while it runs. Orders that are pending when it ends are dropped.
    pub fn orders(&self) -> &Orders {
        &self.state.orders
    }

    /// Returns the handle that stops commands.
    pub fn stop(&self) -> &Stop {
        &self.state.stop
    }

    /// Runs a command to its end and passes its events to `emit`. Blocks.
    pub fn run(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        platform::wait(self.perform(command, emit))
    }

    /// Runs a command as [`Runner::run`] does, without blocking.
    pub async fn perform(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        let needs = command.needs();
        for name in needs.assets {
            if let Some(bytes) = platform::fetch_asset(name).await? {
                emit(Event::Note { text: format!("downloaded {name}: {:.1} MB", bytes as f64 / 1e6) });
            }
        }
        for name in &needs.models {
            hub_models::fetch(&platform::Hub::default(), name, &self.state.stop, emit)?;
        }
        command.run(&mut self.state, emit).await.map_err(|error| damage::with_older_model(error, needs.opened))
    }
}
