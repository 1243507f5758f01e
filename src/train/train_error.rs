//! Errors of training.

use super::checkpoint::CheckpointError;
use super::run_error::RunError;
use super::settings::SettingError;
use super::step::StepError;
use crate::data::{CacheError, DataError, TokenizerError};
use crate::infer::EngineError;
use crate::model::ModelError;
use std::path::PathBuf;

/// An error that ended training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// An invalid setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The run's directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] crate::graph::MachineError),
    /// The text.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The teacher cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A sample.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Spikes that remained after the largest number of rollbacks.
    #[error("{0}")]
    Diverged(String),
    /// The first weights are needed for a rollback to the beginning, and cannot be loaded.
    #[error(
        "cannot load the first weights from {}, which the run needs to restart: {problem}. Put the model back there and resume the run",
        path.display()
    )]
    FirstWeights {
        /// The model, as in `init`.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
}
