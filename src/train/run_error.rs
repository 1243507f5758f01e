//! Errors of a run's directory, with what to do about them.

use crate::platform;
use std::io;
use std::path::{Path, PathBuf};

/// An error of a run's directory.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be read or written.
    #[error("{}: {error}{}", path.display(), platform::room_advice(error))]
    Io {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Another process trains it.
    #[error("{}: the run is being trained by another process. Wait for it, or give this run another --name", .0.display())]
    InUse(PathBuf),
    /// It exists, and a new run was asked for.
    #[error("{}: there is a run of this name already. Resume it with --resume, or choose another --name", .0.display())]
    Exists(PathBuf),
    /// There is nothing to resume.
    #[error("{}: there is no run to resume here", .0.display())]
    Missing(PathBuf),
    /// A name that no run can have.
    #[error("{name:?} is no name for a run: {problem}")]
    Name {
        /// The name.
        name: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// It was moved or deleted while it was trained, and another one is in its place.
    #[error("cannot write to {}: the run was moved or deleted while it trained, and another run has its name now. What was saved is where it was moved to; resume it there", .0.display())]
    Replaced(PathBuf),
    /// All names that runs get by themselves are taken.
    #[error("{}: there is no free name for a run. Choose one with --name", .0.display())]
    NoName(PathBuf),
    /// It is no longer there.
    #[error("{}: there is no such run; it was moved, renamed or deleted", .0.display())]
    Gone(PathBuf),
    /// A file in it that cannot be understood.
    #[error("{}: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The problem, and what to do.
        problem: String,
    },
    /// Its settings are not those that it was trained with.
    #[error(
        "{}: the settings are not those that the run was trained with: {differs}. Put them back with `{}`, or start a new run with other settings under another --name",
        path.display(),
        repair_command(path)
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Which settings, and their values then and now.
        differs: String,
    },
    /// A resume that asks for something else.
    #[error("{}: the run was started with other settings: {differs}. Leave them out to resume it as it was, or start a new run with another --name", path.display())]
    Differs {
        /// The run.
        path: PathBuf,
        /// Which settings, and their values then and now.
        differs: String,
    },
}

/// The command that puts back a file of a run, and others that its checkpoints keep.
pub(super) fn repair_command(file: &Path) -> String {
    platform::command_on(&["check", "--repair"], file.parent().unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_repairs_a_run_names_it() {
        let error = RunError::Changed { path: PathBuf::from("runs/r").join("run.toml"), differs: "lr was 1, is 2".into() };
        assert!(error.to_string().contains("Put them back with `signet check --repair runs/r`"), "{error}");
    }
}
