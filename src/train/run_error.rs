//! Errors of a run's directory, with advice.

use crate::platform;
use std::io;
use std::path::{Path, PathBuf};

/// An error of a run's directory.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be read or written.
    #[error("{}: {error}{}", path.display(), platform::space_advice_suffix(error))]
    Io {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// It is locked by another process.
    #[error("{}: the run is being trained by another process. Wait for it, or give this run another --name", .0.display())]
    InUse(PathBuf),
    /// A new run was requested, but it exists.
    #[error("{}: a run of this name exists. Resume it with --resume, or choose another --name", .0.display())]
    Exists(PathBuf),
    /// There is nothing to resume.
    #[error("{}: there is no run to resume here", .0.display())]
    Missing(PathBuf),
    /// An invalid name of a run.
    #[error("cannot use {name:?} as the name of a run: it {problem}")]
    Name {
        /// The name.
        name: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// It was moved or deleted in training, and another run is in its place.
    #[error("cannot write to {}: the run was moved or deleted during training, and another run has its name. If it was moved, resume it there", .0.display())]
    Replaced(PathBuf),
    /// All automatic names are in use.
    #[error("cannot find a free name for a run in {}. Choose one with --name", .0.display())]
    NoName(PathBuf),
    /// It does not exist any more.
    #[error("{}: there is no such run; it was moved, renamed or deleted", .0.display())]
    Gone(PathBuf),
    /// A file in it cannot be parsed or is damaged.
    #[error("{}: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The problem, and what to do.
        problem: String,
    },
    /// Its settings differ from those that it was trained with.
    #[error(
        "{}: the settings differ from those that the run was trained with: {differs}. Restore them with `{}`, or start a new run with another --name",
        path.display(),
        repair_command(path)
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The settings, with both values.
        differs: String,
    },
    /// A resume with different settings.
    #[error("{}: the run was started with other settings: {differs}. Leave them out to resume it, or start a new run with another --name", path.display())]
    Differs {
        /// The run.
        path: PathBuf,
        /// The settings, with both values.
        differs: String,
    },
}

/// Returns the command that restores the files of a run from its checkpoints.
pub(super) fn repair_command(file: &Path) -> String {
    platform::command_on(&["check", "--repair"], file.parent().unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_repairs_a_run_names_it() {
        let error = RunError::Changed { path: PathBuf::from("runs/r").join("run.toml"), differs: "lr was 1, is 2".into() };
        assert!(error.to_string().contains("Restore them with `signet check --repair runs/r`"), "{error}");
    }
}
