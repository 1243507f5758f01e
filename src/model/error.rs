//! Errors of models as files.

use crate::data::TokenizerError;
use crate::formats::FormatError;
use crate::graph::MachineError;
use std::io;
use std::path::Path;

/// Why a model could not be opened or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of it.
    #[error(transparent)]
    File(#[from] FormatError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The machine it is loaded on.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// The error of writing a model to `out`.
pub(super) fn write_error(out: &Path, error: io::Error) -> ModelError {
    match error.downcast::<ModelError>() {
        Ok(source) => source,
        Err(error) => FormatError::new(out, format!("cannot be written: {error}")).into(),
    }
}
