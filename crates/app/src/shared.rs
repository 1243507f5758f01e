//! The state shared by all tabs.

use super::action::Action;
use super::environment::Environment;
use super::notices::Notices;
use super::settings::Settings;
use signet::runner::{DeviceInfo, Orders, Snapshot};
use std::path::PathBuf;

/// The state shared by all tabs.
pub struct Shared {
    /// Settings, stored between starts.
    pub settings: Settings,
    /// Notices for the user.
    pub notices: Notices,
    /// Requests of tabs to each other since the last frame.
    pub actions: Vec<Action>,
    /// Adapters of this machine; empty until they are listed.
    pub devices: Vec<DeviceInfo>,
    /// True once the adapters are listed.
    pub devices_listed: bool,
    /// The platform: a window or a browser.
    pub environment: Environment,
    /// URL of a model that a link asks for, until the user decides.
    pub offered: Option<String>,
    /// The run that this app trains.
    pub training: Option<Training>,
    /// The last requested snapshot of its model.
    pub snapshot: Option<RunSnapshot>,
}

impl Shared {
    /// Creates the state with stored settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            notices: Notices::default(),
            actions: Vec::new(),
            devices: Vec::new(),
            devices_listed: false,
            environment: Environment::default(),
            offered: None,
            training: None,
            snapshot: None,
        }
    }

    /// Sends a request to another tab.
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
    /// Total steps.
    pub steps: u64,
    /// Tokens per second over the last steps; 0 before the first.
    pub tokens_per_s: f64,
    /// True if it is paused.
    pub paused: bool,
    /// Sends orders to it while it runs.
    pub orders: Orders,
}

impl Training {
    /// Describes its progress.
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
pub struct RunSnapshot {
    /// Directory of the run.
    pub run: PathBuf,
    /// The model.
    pub snapshot: Snapshot,
    /// Seconds that the training was blocked for it.
    pub seconds: f64,
}
