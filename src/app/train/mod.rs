//! Train: a form, and what comes of it.

use super::shared::Shared;
use crate::runner::TrainConfig;
use crate::runner::{Reply, Tuning, Wake, Worker};
use eframe::egui::Ui;
use std::path::PathBuf;

/// The tab.
pub(super) struct TrainTab {
    worker: Worker,
}

impl TrainTab {
    /// A tab at the start.
    pub(super) fn new(wake: &Wake) -> Self {
        Self { worker: Worker::spawn("train", Tuning::default(), wake.clone()) }
    }

    /// Takes what its worker said.
    pub(super) fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.take(reply, shared);
        }
    }

    /// Applies one reply.
    pub(super) fn take(&mut self, reply: Reply, shared: &mut Shared) {
        if let Reply::Ended { error: Some(error) } = reply {
            shared.notices.warn(error);
        }
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, _shared: &mut Shared) {
        ui.heading("Train");
    }

    /// Fills the form.
    pub(super) fn use_settings(&mut self, _config: TrainConfig, _name: String, _shared: &mut Shared) {}

    /// Goes on with a run.
    pub(super) fn go_on(&mut self, _run: PathBuf, _shared: &mut Shared) {}

    /// Asks the run at hand to save and stop.
    pub(super) fn stop(&mut self) {
        self.worker.stop();
    }
}
