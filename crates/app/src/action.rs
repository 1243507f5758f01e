//! Requests of one tab to another.

use super::Tab;
use signet::runner::TrainConfig;
use std::path::PathBuf;

/// A request of a tab, which another does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Shows a tab.
    Open(Tab),
    /// Fills the form for a new run.
    UseSettings {
        /// Its settings.
        config: Box<TrainConfig>,
        /// Its name.
        name: String,
    },
    /// Goes on with a run.
    Continue(PathBuf),
    /// Talks to a model.
    Chat(String),
    /// Shows a model's weights.
    Weights(String),
}
