//! Files that the form names or that were dropped on it: each is checked by the form's worker.

use crate::shared::Shared;
use signet::runner::InputKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is known of the texts in the form.
#[derive(Default)]
pub(super) struct Inputs {
    /// A line about each, or the reason why it cannot be used; none while it is being checked.
    texts: BTreeMap<PathBuf, Option<Result<String, String>>>,
}

impl Inputs {
    /// Returns the texts that are still to be checked, and takes them for being checked from now on.
    pub(super) fn unknown(&mut self, data: &[PathBuf]) -> Vec<PathBuf> {
        self.texts.retain(|path, _| data.contains(path));
        let new: Vec<PathBuf> = data.iter().filter(|path| !self.texts.contains_key(*path)).cloned().collect();
        self.texts.extend(new.iter().map(|path| (path.clone(), None)));
        new
    }

    /// Takes what came of looking at a path. What was dropped and can be used is given back.
    pub(super) fn take(&mut self, path: &Path, kind: InputKind, problem: Option<String>, what: String, shared: &mut Shared) -> Option<InputKind> {
        if let Some(text) = self.texts.get_mut(path)
            && text.is_none()
        {
            *text = Some(problem.map_or(Ok(what), Err));
            return None;
        }
        match problem {
            Some(problem) => shared.notices.warn(format!("It was not taken: {problem}")),
            None => return Some(kind),
        }
        None
    }

    /// A line about a text, or the reason why it cannot be used; none while it is being checked.
    pub(super) fn checked(&self, path: &Path) -> Option<&Result<String, String>> {
        self.texts.get(path)?.as_ref()
    }

    /// The reason why a text cannot be used.
    pub(super) fn problem(&self, path: &Path) -> Option<&String> {
        self.checked(path)?.as_ref().err()
    }
}
