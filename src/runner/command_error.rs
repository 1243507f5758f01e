//! The error of a command, as front ends receive it from a worker.

use super::commands::FileExists;
use super::resume::run_error;
use crate::train::RunError;
use anyhow::Error;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// The kind of an error, for front ends that offer a way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandErrorKind {
    /// The file to write exists, and replacing it was not requested.
    FileExists,
    /// The run is being trained by another process.
    RunInUse,
    /// Any other error.
    Other,
}

/// The error of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// Its kind.
    pub kind: CommandErrorKind,
    /// Its text, with its causes.
    pub text: String,
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        let kind = match run_error(&error) {
            Some(RunError::InUse(_)) => CommandErrorKind::RunInUse,
            _ if error.is::<FileExists>() => CommandErrorKind::FileExists,
            _ => CommandErrorKind::Other,
        };
        Self { kind, text: format!("{error:#}") }
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        Self { kind: CommandErrorKind::Other, text }
    }
}

impl From<&str> for CommandError {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TrainError;

    #[test]
    fn the_kind_follows_from_the_cause_of_an_error() {
        let kind = |error: Error| CommandError::from(error.context("while exporting")).kind;
        assert_eq!(kind(FileExists("out.svg".into()).into()), CommandErrorKind::FileExists);
        assert_eq!(kind(RunError::InUse("run".into()).into()), CommandErrorKind::RunInUse);
        assert_eq!(kind(TrainError::Run(RunError::InUse("run".into())).into()), CommandErrorKind::RunInUse);
        assert_eq!(kind(RunError::Missing("run".into()).into()), CommandErrorKind::Other);
        let error = CommandError::from(Error::from(FileExists("out.svg".into())).context("while exporting"));
        assert_eq!(error.to_string(), "while exporting: cannot write out.svg: the file exists. Replace it, or choose another name");
    }
}
