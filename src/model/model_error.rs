//! Errors of opening, loading and writing models.

use crate::data::TokenizerError;
use crate::formats::FormatError;
use crate::graph::MachineError;
use std::io;
use std::path::Path;

/// An error of opening or loading a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// In one of its files.
    #[error(transparent)]
    File(#[from] FormatError),
    /// In its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// From the machine that it is loaded on.
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
