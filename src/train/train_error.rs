//! Why a training stopped before its end.

use super::checkpoint::CheckpointError;
use super::run_error::RunError;
use super::settings::SettingError;
use super::step::StepError;
use crate::data::{CacheError, DataError, TokenizerError};
use crate::infer::EngineError;
use crate::model::ModelError;
use std::path::PathBuf;

/// Why training stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting.
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
    /// Spikes that rollbacks did not cure.
    #[error("{0}")]
    Diverged(String),
    /// First weights that a run needs again, since it goes back to its beginning.
    #[error(
        "cannot load the first weights from {}, which the run needs to begin again: {problem}. Put the model back there and resume the run",
        path.display()
    )]
    FirstWeights {
        /// The model, as `init` has it.
        path: PathBuf,
        /// Why it cannot be opened.
        problem: String,
    },
}
