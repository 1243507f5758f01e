//! What is wrong with a file, in whatever format it is.

use std::path::{Path, PathBuf};

/// What is wrong with a file, or with a tensor in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and with which tensor.
    pub problem: String,
}

impl FormatError {
    /// A problem of this file.
    pub fn new(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self { path: path.to_path_buf(), problem: problem.to_string() }
    }
}
