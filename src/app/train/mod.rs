//! Train: a form, and what comes of it.

mod fields;
mod form;
mod inputs;
mod plan;
mod preset;
mod values;

pub use values::Form;

use super::shared::Shared;
use crate::runner::{Command, Event, Reply, TrainConfig, TrainRequest, Tuning, Wake, Worker};
use eframe::egui::{Panel, Ui};
use form::FormPanel;
use std::path::PathBuf;

/// Narrower windows have the form above the rest, not beside it.
const BESIDE: f32 = 760.0;

/// The tab.
pub(super) struct TrainTab {
    worker: Worker,
    form: FormPanel,
}

impl TrainTab {
    /// A tab at the start.
    pub(super) fn new(wake: &Wake) -> Self {
        Self { worker: Worker::spawn("train", Tuning::default(), wake.clone()), form: FormPanel::new(wake) }
    }

    /// Takes what its worker said.
    pub(super) fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.take(reply, shared);
        }
        self.form.poll(shared);
    }

    /// Applies one reply.
    pub(super) fn take(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(Event::Planned(_) | Event::SettingRefused { .. } | Event::Input { .. } | Event::Settings { .. } | Event::SettingsSaved { .. }) => {
                self.form.take(reply, shared);
            }
            Reply::Ended { error: Some(error) } => shared.notices.warn(error),
            Reply::Event(_) | Reply::Ended { error: None } => {}
        }
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let begin = if ui.available_width() >= BESIDE {
            let panel = Panel::left("form").default_size(400.0).size_range(280.0..=560.0);
            panel.show(ui, |ui| self.form.ui(ui, shared)).inner
        } else {
            self.form.ui(ui, shared)
        };
        if let Some(request) = begin {
            self.begin(request);
        }
    }

    /// Starts a run.
    fn begin(&mut self, request: TrainRequest) {
        self.worker.send(Command::Train(Box::new(request)));
    }

    /// Fills the form.
    pub(super) fn use_settings(&mut self, config: TrainConfig, name: String, shared: &mut Shared) {
        self.form.use_settings(&config, name, shared);
    }

    /// Goes on with a run.
    pub(super) fn go_on(&mut self, _run: PathBuf, _shared: &mut Shared) {}

    /// Asks the run at hand to save and stop.
    pub(super) fn stop(&mut self) {
        self.worker.stop();
    }
}
