//! Validation of files that the form names or that were dropped on it, by the form's worker.

use crate::shared::Shared;
use signet::runner::InputKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Results of checking the form's text files.
#[derive(Default)]
pub(super) struct Inputs {
    /// A line about each file, or its error; none while it is being checked.
    texts: BTreeMap<PathBuf, Option<Result<String, String>>>,
}

impl Inputs {
    /// Returns the files that are not yet checked, and marks them as being checked.
    pub(super) fn unknown(&mut self, data: &[PathBuf]) -> Vec<PathBuf> {
        self.texts.retain(|path, _| data.contains(path));
        let new: Vec<PathBuf> = data.iter().filter(|path| !self.texts.contains_key(*path)).cloned().collect();
        self.texts.extend(new.iter().map(|path| (path.clone(), None)));
        new
    }

    /// Sets the result of checking a path; returns the kind of a dropped file that can be used.
    pub(super) fn set_result(&mut self, path: &Path, kind: InputKind, problem: Option<String>, what: String, shared: &mut Shared) -> Option<InputKind> {
        if let Some(text) = self.texts.get_mut(path)
            && text.is_none()
        {
            *text = Some(problem.map_or(Ok(what), Err));
            return None;
        }
        match problem {
            Some(problem) => shared.notices.warn(format!("Cannot use the file: {problem}")),
            None => return Some(kind),
        }
        None
    }

    /// A line about a file, or its error; none while it is being checked.
    pub(super) fn checked(&self, path: &Path) -> Option<&Result<String, String>> {
        self.texts.get(path)?.as_ref()
    }

    /// The error of a file.
    pub(super) fn problem(&self, path: &Path) -> Option<&String> {
        self.checked(path)?.as_ref().err()
    }
}
