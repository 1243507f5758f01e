//! Requests from one tab to another.

use super::Tab;
use signet::runner::TrainConfig;
use std::path::PathBuf;

/// A request from one tab, carried out by another.
#[derive(Clone, Debug)]
pub enum Action {
    /// Show a tab.
    Open(Tab),
    /// Fill the form for a new run.
    UseSettings {
        /// The settings.
        config: Box<TrainConfig>,
        /// The run's name.
        name: String,
    },
    /// Resume a run.
    Continue(PathBuf),
    /// Chat with a model.
    Chat(String),
    /// Show a model's weights.
    Weights(String),
}
