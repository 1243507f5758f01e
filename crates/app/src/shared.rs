//! The state that all tabs see.

use super::action::Action;
use super::notices::Notices;
use super::settings::Settings;
use super::surroundings::Surroundings;
use signet::runner::{DeviceInfo, Orders, Snapshot};
use std::path::PathBuf;

/// What all tabs see.
pub struct Shared {
    /// Remembered between starts.
    pub settings: Settings,
    /// Lines for the person.
    pub notices: Notices,
    /// What tabs asked of each other since the last frame.
    pub actions: Vec<Action>,
    /// Adapters of this machine, once they are known.
    pub devices: Vec<DeviceInfo>,
    /// Whether they are.
    pub looked: bool,
    /// What the app is in.
    pub surroundings: Surroundings,
    /// A model that a link asks for, until somebody has agreed or not.
    pub offered: Option<String>,
    /// The run that this app trains.
    pub training: Option<Training>,
    /// The last snapshot of it that was asked for.
    pub snapshot: Option<Taken>,
}

impl Shared {
    /// With what was remembered.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            notices: Notices::default(),
            actions: Vec::new(),
            devices: Vec::new(),
            looked: false,
            surroundings: Surroundings::default(),
            offered: None,
            training: None,
            snapshot: None,
        }
    }

    /// Asks something of another tab.
    pub fn ask(&mut self, action: Action) {
        self.actions.push(action);
    }
}

/// A run in training.
#[derive(Clone, Debug)]
pub struct Training {
    /// Its directory.
    pub run: PathBuf,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Tokens per second over the last steps; 0 before the first.
    pub tokens_per_s: f64,
    /// Whether it waits to go on.
    pub paused: bool,
    /// Speaks to it while it runs.
    pub orders: Orders,
}

impl Training {
    /// How far it is.
    pub fn state(&self) -> String {
        let of = format!("step {} of {}", self.step, self.steps);
        match (self.steps, self.paused, self.tokens_per_s) {
            (0, ..) => "preparing…".into(),
            (_, true, _) => format!("{of}, paused"),
            (_, _, rate) if rate > 0.0 => format!("{of}, {rate:.0} tokens/s"),
            _ => of,
        }
    }
}

/// A snapshot of a run's model.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Directory of the run.
    pub run: PathBuf,
    /// The model.
    pub snapshot: Snapshot,
    /// Seconds that the training stood still for it.
    pub seconds: f64,
}
