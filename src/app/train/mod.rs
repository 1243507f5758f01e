//! Train: a form, and beside it the run that comes of it.

mod controls;
mod curves;
mod live;
mod numbers;

use super::Tab;
use super::shared::{Action, Shared};
use crate::runner::{Command, Order, Reply, TrainConfig, TrainRequest, Tuning, Wake, Worker, free_run};
use controls::{Controls, Press};
use curves::Map;
use eframe::egui::{self, ScrollArea, Ui};
use live::{Live, Phase};
use std::path::PathBuf;

/// What Start starts.
pub(super) struct Wanted {
    pub(super) config: TrainConfig,
    /// Of the run; empty for the first that is free.
    pub(super) name: String,
    /// `auto`, `cpu`, or an adapter.
    pub(super) device: String,
}

/// The tab.
pub(super) struct TrainTab {
    worker: Worker,
    wanted: Wanted,
    live: Live,
    controls: Controls,
    map: Map,
}

impl TrainTab {
    /// A tab at the start.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("train", Tuning::default(), wake.clone()),
            wanted: Wanted { config: TrainConfig::default(), name: String::new(), device: "auto".into() },
            live: Live::default(),
            controls: Controls::default(),
            map: Map::default(),
        }
    }

    /// Takes what its worker said.
    pub(super) fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.take(reply, shared);
        }
    }

    /// Applies one reply.
    pub(super) fn take(&mut self, reply: Reply, shared: &mut Shared) {
        self.live.take(reply, shared);
        shared.training = self.live.training(self.worker.orders());
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ScrollArea::vertical().id_salt("training").auto_shrink([false, false]).show(ui, |ui| {
            self.form(ui);
            let resumable = self.live.begun || shared.settings.last_run.is_some();
            if let Some(press) = self.controls.ui(ui, &mut self.live, resumable) {
                self.act(press, shared);
            }
            numbers::show(ui, &self.live);
            ui.separator();
            curves::show(ui, &self.live, &mut self.map, &mut shared.settings.look);
            ui.separator();
            numbers::words(ui, &self.live);
        });
    }

    fn form(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            for (name, text) in [("Name", &mut self.wanted.name), ("Device", &mut self.wanted.device)] {
                let label = ui.label(name);
                ui.add(egui::TextEdit::singleline(text).desired_width(120.0)).labelled_by(label.id);
            }
            ui.weak(format!("model {}, {} steps", self.wanted.config.model, self.wanted.config.steps));
        });
    }

    fn act(&mut self, press: Press, shared: &mut Shared) {
        match press {
            Press::Start => self.start(shared),
            Press::StartOnCpu | Press::StartWithHalfTheBatch => {
                if press == Press::StartOnCpu {
                    self.wanted.device = "cpu".into();
                } else {
                    self.wanted.config.batch = (self.wanted.config.batch / 2).max(1);
                }
                self.start(shared);
            }
            Press::Resume | Press::ResumeOnCpu => {
                if press == Press::ResumeOnCpu {
                    self.wanted.device = "cpu".into();
                }
                if let Some(run) = self.live.run.clone().filter(|_| self.live.begun).or_else(|| shared.settings.last_run.clone()) {
                    self.go_on(run, shared);
                }
            }
            Press::ShowRuns => shared.ask(Action::Open(Tab::Runs)),
            Press::Stop => self.stop(),
            Press::Pause => self.order(Order::Pause),
            Press::Go => self.order(Order::Go),
            Press::StepOnce => self.order(Order::StepOnce),
            Press::Save => self.order(Order::Save),
            Press::Sample => self.order(Order::Sample),
            Press::Rate(lr) => self.order(Order::Rate { lr }),
            Press::Prompt(text) => self.order(Order::Prompt { text }),
        }
    }

    fn order(&self, order: Order) {
        self.worker.orders().give(order);
    }

    /// Begins a run with what is wanted.
    fn start(&mut self, shared: &mut Shared) {
        let name = self.wanted.name.trim();
        if name.contains(['/', '\\']) || name.starts_with('.') {
            self.live.phase = Phase::Failed(format!("{name:?} is no plain name for a run: leave out / and \\, and a dot at its beginning"));
            return;
        }
        let run = if name.is_empty() { free_run(&shared.settings.runs) } else { Some(shared.settings.runs.join(name)) };
        match run {
            Some(run) => self.launch(run, Some(self.wanted.config.clone()), shared),
            None => self.live.phase = Phase::Failed("no free name is left in the folder of runs: give the run a name".into()),
        }
    }

    /// Begins a run, or goes on with it where there are no settings.
    fn launch(&mut self, run: PathBuf, config: Option<TrainConfig>, shared: &mut Shared) {
        if self.worker.busy() {
            shared.notices.warn("A run is being trained here already. Stop it first");
            return;
        }
        let resume = config.is_none();
        self.live.start(run.clone(), resume);
        shared.settings.last_run = Some(run.clone());
        shared.training = self.live.training(self.worker.orders());
        self.worker.send(Command::Train(Box::new(TrainRequest { run, config, resume, device: self.wanted.device.trim().into(), memory: None })));
    }

    /// Fills the form.
    pub(super) fn use_settings(&mut self, config: TrainConfig, name: String, _shared: &mut Shared) {
        (self.wanted.config, self.wanted.name) = (config, name);
    }

    /// Goes on with a run.
    pub(super) fn go_on(&mut self, run: PathBuf, shared: &mut Shared) {
        self.launch(run, None, shared);
    }

    /// Asks the run at hand to save and stop.
    pub(super) fn stop(&mut self) {
        if self.live.phase.runs() {
            self.live.phase = Phase::Saving;
        }
        self.worker.stop();
    }
}
