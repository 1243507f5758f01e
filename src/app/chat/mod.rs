//! Chat: talk to a model, also to the one in training.

use super::shared::Shared;
use crate::runner::{Reply, Tuning, Wake, Worker};
use eframe::egui::Ui;

/// The tab.
pub(super) struct ChatTab {
    worker: Worker,
}

impl ChatTab {
    /// A tab at the start.
    pub(super) fn new(wake: &Wake) -> Self {
        Self { worker: Worker::spawn("chat", Tuning::default(), wake.clone()) }
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
        ui.heading("Chat");
    }

    /// Chooses a model.
    pub(super) fn choose(&mut self, _model: String, _shared: &mut Shared) {}
}
