//! Files that a command needs before it runs.

use crate::assets::{ALL, STUDENT_FILE, TEACHER_FILE};
use crate::runner::TrainConfig;
use std::path::PathBuf;

/// Assets and models that must be available before a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::runner) struct Needs {
    /// Assets of the program that it may use; a web page fetches them first.
    pub(in crate::runner) assets: &'static [&'static str],
    /// Models that it opens; names of Hugging Face repositories are downloaded first.
    pub(in crate::runner) models: Vec<String>,
    /// Paths that it opens as models, including runs.
    pub(in crate::runner) opened: Vec<PathBuf>,
}

/// The embedded models.
pub(super) const MODELS: [&str; 2] = [STUDENT_FILE, TEACHER_FILE];

impl Needs {
    /// Returns the needs of a training: all assets, and the models that the settings name.
    pub(super) fn training(config: Option<&TrainConfig>) -> Self {
        let named = config.into_iter().flat_map(|config| [config.teacher.path(), config.init.path()]).flatten();
        let opened: Vec<PathBuf> = named.cloned().collect();
        Self { assets: &ALL, models: opened.iter().map(|path| path.display().to_string()).collect(), opened }
    }

    /// Returns all assets, without models.
    pub(super) fn all_assets() -> Self {
        Self { assets: &ALL, ..Self::default() }
    }

    /// Returns the needs of a model, which may be embedded.
    pub(super) fn model(name: &str) -> Self {
        Self { assets: &MODELS, models: vec![name.into()], opened: vec![name.into()] }
    }
}
