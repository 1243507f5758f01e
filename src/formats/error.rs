//! What is wrong with a file, in whatever format it is.

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a file, or with a tensor in it.
#[derive(Debug)]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and with which tensor.
    pub problem: String,
    /// Set if nothing of the file can be read.
    unreadable: bool,
}

impl FormatError {
    /// A problem of this file.
    pub fn new(path: &Path, problem: impl fmt::Display) -> Self {
        Self { path: path.to_path_buf(), problem: problem.to_string(), unreadable: false }
    }

    /// The reason why a file cannot be read at all, and what to do: "this is a directory. …".
    pub fn unreadable(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_path_buf(), problem: reason.to_string(), unreadable: true }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.unreadable { write!(f, "cannot read {path}: {}", self.problem) } else { write!(f, "{path}: {}", self.problem) }
    }
}

impl std::error::Error for FormatError {}
