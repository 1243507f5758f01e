//! Owns all work: a [`Command`] in, [`Event`]s out. Every front end (command line, app, page)
//! speaks to this and to nothing below it.

mod device;
mod train;

pub use train::TrainRequest;

use crate::platform;
use crate::train::{Ending, TrainEvent};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a front end may ask for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Train a model.
    Train(Box<TrainRequest>),
}

/// What a front end is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Training goes on.
    Train(TrainEvent),
    /// Training ended; whether all steps were done.
    TrainEnded {
        /// False if it was asked to stop.
        finished: bool,
    },
    /// A line for the person.
    Note {
        /// The line.
        text: String,
    },
}

/// Asks running work to stop; shared with signal handlers and other threads.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Asks once: save, then stop.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// Does work, one command at a time.
pub struct Runner {
    stop: Stop,
}

impl Runner {
    /// A runner that `stop` can stop.
    pub fn new(stop: Stop) -> Self {
        Self { stop }
    }

    /// Does what is asked; `emit` gets what happens meanwhile.
    pub fn run(&mut self, command: Command, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
        match command {
            Command::Train(request) => {
                let ending = platform::wait(train::train(*request, &self.stop, emit))?;
                emit(Event::TrainEnded { finished: ending == Ending::Finished });
            }
        }
        Ok(())
    }
}
