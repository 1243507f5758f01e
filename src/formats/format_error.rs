//! The error of a malformed file, whatever its format.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error in a file, or in a tensor of it.
#[derive(Debug)]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// The problem, and the tensor that has it.
    pub reason: String,
    /// True if the file cannot be read at all.
    unreadable: bool,
}

impl FormatError {
    /// An error in a file.
    pub fn new(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_path_buf(), reason: reason.to_string(), unreadable: false }
    }

    /// The reason why a file cannot be read at all, and advice: "this is a directory. …".
    pub fn unreadable(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_path_buf(), reason: reason.to_string(), unreadable: true }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.unreadable { write!(f, "cannot read {path}: {}", self.reason) } else { write!(f, "{path}: {}", self.reason) }
    }
}

impl std::error::Error for FormatError {}
