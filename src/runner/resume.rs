//! The command that resumes a run.

use crate::platform;
use crate::train::{RunError, TrainError};
use anyhow::{Error, anyhow};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Default folder of runs.
pub const RUNS: &str = "runs";

/// Returns the command line that resumes a run, with all options that it needs, quoted for a shell.
/// `device` and `memory` are the requested device and the bytes of memory to assume.
pub fn resume_command(run: &Path, device: &str, memory: Option<u64>) -> String {
    let mut options: Vec<(&str, OsString)> = vec![("--name", run.file_name().unwrap_or_default().into())];
    options.extend(match run.parent() {
        Some(runs) if runs == Path::new(RUNS) => None,
        Some(runs) if runs.as_os_str().is_empty() => Some(("--runs", ".".into())),
        runs => runs.map(|runs| ("--runs", runs.into())),
    });
    options.extend((device != "auto").then(|| ("--device", device.into())));
    options.extend(memory.map(|memory| ("--memory", memory.to_string().into())));
    command(&["train", "--resume"], &options)
}

/// Returns a quoted command line of this program: words, then options with their values.
pub(super) fn command(words: &[&str], options: &[(&str, OsString)]) -> String {
    let mut line = vec![platform::program()];
    line.extend(words.iter().map(OsString::from));
    for (name, value) in options {
        if value.as_encoded_bytes().starts_with(b"-") {
            // A separate value that begins with a dash would be parsed as an option.
            line.push([OsStr::new(name), OsStr::new("="), value].into_iter().collect());
        } else {
            line.extend([name.into(), value.clone()]);
        }
    }
    platform::command_line(line.iter().map(OsString::as_os_str))
}

/// An error that already says how to continue, so that [`with_resume`] adds nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct AdvisedError(pub(super) String);

/// Returns the error of the run's directory that caused an error of a training, if any.
pub(super) fn run_error(error: &Error) -> Option<&RunError> {
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::Run(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// Adds the command that resumes the run to an error of a training, if resuming can help. `begun` is true if the run
/// trained before it failed.
pub fn with_resume(error: Error, begun: bool, command: &str) -> Error {
    let exists = matches!(run_error(&error), Some(RunError::Exists(_)));
    // The path has no run or another run, or another process is training it.
    let elsewhere = matches!(run_error(&error), Some(RunError::Replaced(_) | RunError::Gone(_) | RunError::InUse(_)));
    // A resumed run would diverge at the same step.
    let diverged = matches!(error.downcast_ref(), Some(TrainError::Diverged(_)));
    let resumable = begun && !diverged && !elsewhere && !error.is::<AdvisedError>();
    if exists || resumable { anyhow!("{error:#}\nResume it with: {command}") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn options_of(run: &str, device: &str, memory: Option<u64>) -> String {
        let line = resume_command(Path::new(run), device, memory);
        line.split_once(" train ").expect("the command").1.into()
    }

    #[test]
    fn the_resume_command_is_added_only_where_it_helps() {
        let elsewhere: [fn(PathBuf) -> RunError; 3] = [RunError::Replaced, RunError::Gone, RunError::InUse];
        for error in elsewhere {
            for error in [Error::from(error("run".into())), Error::from(TrainError::from(error("run".into())))] {
                let text = with_resume(error, true, "COMMAND").to_string();
                assert!(!text.contains("Resume it"), "{text}");
            }
        }
        let advised = with_resume(Error::from(AdvisedError("use another checkpoint".into())).context("training"), true, "COMMAND");
        assert_eq!(format!("{advised:#}"), "training: use another checkpoint");
        let error = RunError::Io { path: "run".into(), error: std::io::ErrorKind::StorageFull.into() };
        assert!(with_resume(TrainError::from(error).into(), true, "COMMAND").to_string().ends_with("Resume it with: COMMAND"));
    }

    #[test]
    fn the_command_has_every_option_that_the_resume_needs() {
        assert_eq!(options_of("runs/run-1", "auto", None), "--resume --name run-1");
        assert_eq!(options_of("run-1", "auto", None), "--resume --name run-1 --runs .");
        assert_eq!(options_of("/data/all/run-1", "cpu", None), "--resume --name run-1 --runs /data/all --device cpu");
        assert_eq!(options_of("runs/-x", "auto", Some(8_000_000_000)), "--resume --name=-x --memory 8000000000");
        let bare = options_of("my runs/night run", "RTX 4090", None).replace(['\'', '"'], "");
        assert_eq!(bare, "--resume --name night run --runs my runs --device RTX 4090");
    }
}
