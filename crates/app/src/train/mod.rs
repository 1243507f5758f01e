//! The Train tab: the form of a new run, and the current run beside it.

// The form of a new run.
mod inputs;
mod plan;

mod draft;

mod field;
mod preset;
mod start;
mod texts;

mod form;

// The current run.
mod earlier;
mod last;
mod live;

mod controls;
mod curves;
mod numbers;

use super::Tab;
use super::action::Action;
use super::plots::History;
use super::shared::Shared;
use crate::tab_view::TabView;
use crate::widgets::section;
use controls::{ControlAction, Controls};
use curves::Map;
use earlier::Earlier;
use eframe::egui::{Key, KeyboardShortcut, Modifiers, Panel, ScrollArea, Ui};
use form::FormPanel;
use last::LastRun;
use live::{Live, Phase};
use signet::runner::{Changed, Command, Event, Order, Reply, TrainRequest, Tuning, Wake, Worker};
use std::path::PathBuf;

/// Minimum width for form and run side by side, in points; narrower windows show one of them.
const BESIDE: f32 = 760.0;

/// The Train tab.
pub(super) struct TrainTab {
    worker: Worker,
    form: FormPanel,
    /// True if a narrow window shows the run.
    at_run: bool,
    live: Live,
    /// The run that Resume would continue.
    last: LastRun,
    /// Loads steps of earlier sessions before a resume.
    earlier: Option<Earlier>,
    controls: Controls,
    map: Map,
}

impl TabView for TrainTab {
    fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.handle(reply, shared);
        }
        self.form.draft.poll(shared);
        // Leaving the tab cancels a press of Start that waits for the plan.
        if shared.settings.tab != Tab::Train {
            self.form.draft.starting = false;
        }
        self.last.poll(shared);
    }

    fn handle(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(Event::Planned(_) | Event::SettingRefused { .. } | Event::Input { .. } | Event::Settings { .. } | Event::SettingsSaved { .. }) => {
                self.form.draft.handle(reply, shared);
            }
            Reply::Event(Event::RunMetrics { metrics, until, more, broken, .. }) => {
                metrics.iter().for_each(|metrics| self.live.recorded(metrics));
                broken.into_iter().for_each(|line| self.live.note(line));
                if let Some(earlier) = &mut self.earlier {
                    earlier.advance(until, more);
                }
            }
            Reply::Ended { error } if self.earlier.is_some() => {
                let failed = error.is_some();
                error.into_iter().for_each(|error| self.live.note(format!("cannot read earlier steps: {error}")));
                self.continue_loading(failed, shared);
            }
            reply => {
                let ended = matches!(reply, Reply::Ended { .. } | Reply::Event(Event::TrainEnded { .. }));
                self.live.handle(reply, shared);
                // A run without a step cannot be resumed.
                if self.live.begun && shared.settings.last_run != self.live.run {
                    shared.settings.last_run.clone_from(&self.live.run);
                }
                if ended {
                    self.last.refresh();
                }
                shared.training = self.live.training(self.worker.orders());
                if let (Phase::Failed(_), Some(was_paused)) = (&self.live.phase, self.live.resume_pending.take()) {
                    self.resume_after_failure(was_paused, shared);
                }
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let begin = if ui.available_width() >= BESIDE {
            let panel = Panel::left("form").default_size(400.0).size_range(280.0..=560.0);
            let begin = panel.show(ui, |ui| self.form.ui(ui, shared)).inner;
            ScrollArea::vertical().id_salt("training").auto_shrink(false).show(ui, |ui| self.run(ui, shared));
            begin
        } else {
            ui.horizontal(|ui| {
                ui.selectable_value(&mut self.at_run, false, "Form");
                ui.selectable_value(&mut self.at_run, true, "Run");
            });
            if self.at_run {
                self.form.draft.starting = false;
                ScrollArea::vertical().id_salt("training").auto_shrink(false).show(ui, |ui| self.run(ui, shared));
                None
            } else {
                self.form.ui(ui, shared)
            }
        };
        if let Some(request) = begin {
            self.launch(request, shared);
        }
    }

    fn act(&mut self, action: Action, shared: &mut Shared) -> Option<Action> {
        match action {
            Action::UseSettings { config, name } => self.form.draft.use_settings(&config, name, shared),
            Action::Continue(run) => self.resume_run(run, shared),
            others => return Some(others),
        }
        None
    }

    /// Ctrl+Enter starts a run or continues a paused one; Ctrl+Shift+Enter resumes the last run.
    fn keys(&mut self, ui: &Ui, shared: &mut Shared) {
        let pressed = |modifiers| ui.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(modifiers, Key::Enter)));
        if pressed(Modifiers::COMMAND | Modifiers::SHIFT) {
            self.resume(shared);
        } else if pressed(Modifiers::COMMAND) {
            self.primary(shared);
        }
    }
}

impl TrainTab {
    /// Creates the tab.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("train", Tuning::default(), wake.clone()),
            form: FormPanel::new(wake),
            at_run: false,
            live: Live::default(),
            last: LastRun::new(wake),
            earlier: None,
            controls: Controls::default(),
            map: Map::default(),
        }
    }

    /// Resumes the current run from its last checkpoint after its worker failed.
    fn resume_after_failure(&mut self, was_paused: bool, shared: &mut Shared) {
        let Some(run) = self.live.run.clone().filter(|_| self.live.begun) else { return };
        let step = self.live.step;
        shared.notices.warn("The engine failed and was restarted. The run resumes from its last checkpoint; the log has the error");
        self.resume_run(run, shared);
        self.live.resumed_at = Some(step);
        if was_paused {
            self.order(Order::Pause);
        }
    }

    /// Draws the current run.
    fn run(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if !self.live.phase.runs() {
            self.last.drawn(ui.input(|input| input.time));
        }
        let obstacle = self.last.obstacle();
        if let Some(press) = self.controls.ui(ui, &mut self.live, obstacle.as_deref()) {
            self.act(press, shared);
        }
        numbers::show(ui, &self.live, self.last.summary());
        ui.separator();
        section(ui, "curves", |ui| curves::show(ui, &mut self.live, &mut self.map, &mut shared.settings.look));
        ui.separator();
        section(ui, "words", |ui| numbers::samples_and_log(ui, &self.live));
    }

    fn act(&mut self, press: ControlAction, shared: &mut Shared) {
        match press {
            ControlAction::ChooseCpu => {
                shared.settings.form.device = "cpu".into();
                self.live.phase = Phase::Idle;
            }
            ControlAction::Resume | ControlAction::ResumeOnCpu => {
                if press == ControlAction::ResumeOnCpu {
                    shared.settings.form.device = "cpu".into();
                }
                if let Some(run) = shared.settings.last_run.clone() {
                    self.resume_run(run, shared);
                }
            }
            ControlAction::ShowRuns => shared.ask(Action::Open(Tab::Runs)),
            ControlAction::Stop => self.stop(),
            ControlAction::Pause => self.order(Order::Pause),
            ControlAction::Continue => self.order(Order::Continue),
            ControlAction::StepOnce => self.order(Order::StepOnce),
            ControlAction::Save => self.order(Order::Save),
            ControlAction::Sample => self.order(Order::Sample),
            ControlAction::LearningRate(lr) => self.order(Order::Change { what: Changed::new("lr", lr) }),
            ControlAction::Prompt(text) => self.order(Order::Change { what: Changed::new("sample_prompt", text) }),
        }
    }

    fn order(&self, order: Order) {
        self.worker.orders().send(order);
    }

    /// Starts or resumes a run.
    fn launch(&mut self, request: TrainRequest, shared: &mut Shared) {
        if self.worker.busy() {
            shared.notices.warn("Cannot start the run: another run is training in this window. Stop it first");
            return;
        }
        self.at_run = true;
        self.live.start(request.run.clone(), request.resume);
        shared.training = self.live.training(self.worker.orders());
        if request.resume {
            // Reload the history from disk: another process may have trained the run meanwhile.
            self.live.history = History::default();
            self.earlier = Some(Earlier::new(request));
            self.continue_loading(false, shared);
        } else {
            self.worker.send(Command::Train(Box::new(request)));
        }
    }

    /// Reads the next earlier steps of a run, or starts training once all are read.
    fn continue_loading(&mut self, failed: bool, shared: &mut Shared) {
        let Some(earlier) = self.earlier.take() else { return };
        if self.live.phase == Phase::Saving {
            self.live.phase = Phase::Stopped;
            shared.training = None;
            return;
        }
        let (command, rest) = earlier.next(failed);
        self.earlier = rest;
        self.worker.send(command);
    }

    /// True if the current run failed.
    pub(super) fn failed(&self) -> bool {
        matches!(self.live.phase, Phase::Failed(_))
    }

    /// Resumes a run.
    pub(super) fn resume_run(&mut self, run: PathBuf, shared: &mut Shared) {
        let device = shared.settings.form.device.clone();
        self.launch(TrainRequest { run, numbered: false, config: None, resume: true, from_step: None, device, memory: None }, shared);
    }

    /// Continues a paused run, or starts the one in the form (Ctrl+Enter).
    pub(super) fn primary(&mut self, shared: &mut Shared) {
        match self.live.phase {
            Phase::Paused => self.order(Order::Continue),
            ref phase if phase.runs() => {}
            _ => {
                // Show the form, which explains why it cannot start.
                self.at_run = false;
                start::press(&mut self.form.draft, shared);
            }
        }
    }

    /// Resumes the last run (Ctrl+Shift+Enter).
    pub(super) fn resume(&mut self, shared: &mut Shared) {
        match shared.settings.last_run.clone() {
            _ if self.live.phase.runs() => {}
            Some(run) if self.last.obstacle().is_none() => self.resume_run(run, shared),
            _ => shared.notices.warn(self.last.obstacle().unwrap_or_default()),
        }
    }

    /// Asks the current run to save and stop.
    pub(super) fn stop(&mut self) {
        if self.live.phase.runs() {
            self.live.phase = Phase::Saving;
        }
        self.worker.stop();
    }
}
