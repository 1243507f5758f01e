//! The steps of a run's earlier sessions, read before it goes on: some pieces at a time, so that a long
//! run neither fills memory nor holds up drawing.

use signet::runner::{Command, Place, TrainRequest};

/// Pieces read at a time, of some thousands of steps each.
const PIECES: usize = 4;

/// What is being read, and what comes after it.
pub(super) struct Earlier {
    request: TrainRequest,
    from: Place,
    more: bool,
}

impl Earlier {
    /// Of a run that is to go on as `request` says.
    pub(super) fn new(request: TrainRequest) -> Self {
        Self { request, from: Place::default(), more: true }
    }

    /// A piece came, which ends here.
    pub(super) fn came(&mut self, until: Place, more: bool) {
        (self.from, self.more) = (until, more);
    }

    /// What the worker is to do next: read on, or train; and what is then still to come.
    pub(super) fn next(self, failed: bool) -> (Command, Option<Self>) {
        if self.more && !failed {
            let command = Command::FollowRun { path: self.request.run.clone(), from: self.from, pieces: PIECES };
            // Nothing comes of a file that is not there.
            (command, Some(Self { more: false, ..self }))
        } else {
            (Command::Train(Box::new(self.request)), None)
        }
    }
}
