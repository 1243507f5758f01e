//! The needs of a command before its work begins.

use crate::assets::{ALL, STUDENT_FILE, TEACHER_FILE};
use crate::runner::TrainConfig;
use std::path::PathBuf;

/// Files and models that must be there before a command's work begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::runner) struct Needs {
    /// Parts of the program that it may use: a page fetches them first.
    pub(in crate::runner) assets: &'static [&'static str],
    /// Models that it opens: those that are names of Hugging Face are fetched first.
    pub(in crate::runner) models: Vec<String>,
    /// Paths that it opens as models, runs among them.
    pub(in crate::runner) opened: Vec<PathBuf>,
}

/// The models that are part of the program.
pub(super) const MODELS: [&str; 2] = [STUDENT_FILE, TEACHER_FILE];

impl Needs {
    /// Any part of the program, and the models that settings name.
    pub(super) fn training(config: Option<&TrainConfig>) -> Self {
        let named = config.into_iter().flat_map(|config| [config.teacher.path(), config.init.path()]).flatten();
        let opened: Vec<PathBuf> = named.cloned().collect();
        Self { assets: &ALL, models: opened.iter().map(|path| path.display().to_string()).collect(), opened }
    }

    /// Any part of the program, and nothing else.
    pub(super) fn program() -> Self {
        Self { assets: &ALL, ..Self::default() }
    }

    /// A model, which may be part of the program.
    pub(super) fn model(name: &str) -> Self {
        Self { assets: &MODELS, models: vec![name.into()], opened: vec![name.into()] }
    }
}
