//! Loads the metrics of a run's earlier sessions before it resumes, in chunks, so that a long run neither fills
//! memory nor delays drawing.

use signet::runner::{Command, MetricsPosition, TrainRequest};

/// Chunks in one request, of some thousands of steps each.
const PIECES: usize = 4;

/// The read position, and the request to send after reading.
pub(super) struct Earlier {
    request: TrainRequest,
    from: MetricsPosition,
    more: bool,
}

impl Earlier {
    /// Starts reading for the run that `request` resumes.
    pub(super) fn new(request: TrainRequest) -> Self {
        Self { request, from: MetricsPosition::default(), more: true }
    }

    /// Records that a chunk up to `until` was read.
    pub(super) fn advance(&mut self, until: MetricsPosition, more: bool) {
        (self.from, self.more) = (until, more);
    }

    /// Returns the next command, to read on or to train, and the state after it.
    pub(super) fn next(self, failed: bool) -> (Command, Option<Self>) {
        if self.more && !failed {
            let command = Command::FollowRun { path: self.request.run.clone(), from: self.from, pieces: PIECES };
            // A missing metrics file sends no chunk, so `more` stays false.
            (command, Some(Self { more: false, ..self }))
        } else {
            (Command::Train(Box::new(self.request)), None)
        }
    }
}
