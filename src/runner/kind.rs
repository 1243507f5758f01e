//! Detects the kind of a path: a run, a checkpoint, a model, a cache. `crate::model` detects the formats of models.

use crate::data::is_store;
use crate::model::is_model_directory;
use crate::platform;
use std::path::Path;

/// The kind of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArtifactKind {
    /// A run's directory.
    Run,
    /// A checkpoint of one.
    Checkpoint,
    /// A directory of cached token ids.
    Store,
    /// The directory of a teacher cache.
    TeacherCache,
    /// A model directory, or any file.
    Model,
}

/// Returns the kind of a path; none for a directory of no known kind.
pub(super) fn kind_of(path: &Path) -> Option<ArtifactKind> {
    let has = |name: &str| platform::exists(&path.join(name));
    match () {
        () if platform::is_file(path) => Some(ArtifactKind::Model),
        () if is_run(path) => Some(ArtifactKind::Run),
        () if has("state.json") || has("optimizer.safetensors") => Some(ArtifactKind::Checkpoint),
        () if has("teacher.safetensors") => Some(ArtifactKind::TeacherCache),
        () if is_store(path) => Some(ArtifactKind::Store),
        () if is_model_directory(path) => Some(ArtifactKind::Model),
        () => None,
    }
}

/// Returns true for a run's directory: it has a run.toml, or `checkpoints` and no model (a model directory may also have a
/// folder of that name).
pub(super) fn is_run(path: &Path) -> bool {
    has_settings(path) || platform::is_dir(&path.join("checkpoints")) && !is_model_directory(path)
}

/// Returns true for a directory with a run.toml.
pub(super) fn has_settings(path: &Path) -> bool {
    platform::is_file(&path.join("run.toml"))
}

/// Returns true for a run's directory, even if files are missing.
pub(super) fn is_damaged_run(path: &Path) -> bool {
    ["run.toml", "metrics.jsonl", "checkpoints"].iter().any(|part| platform::exists(&path.join(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_what_lies_in_it() {
        let dir = std::env::temp_dir().join(format!("signet-kind-{}", std::process::id()));
        for (files, kind) in [
            (&["run.toml"][..], Some(ArtifactKind::Run)),
            (&["checkpoints/step-1/state.json"], Some(ArtifactKind::Run)),
            (&["config.json", "checkpoints/readme"], Some(ArtifactKind::Model)),
            (&["config.json", "run.toml"], Some(ArtifactKind::Run)),
            (&["config.json", "state.json"], Some(ArtifactKind::Checkpoint)),
            (&["optimizer.safetensors"], Some(ArtifactKind::Checkpoint)),
            (&["teacher.safetensors"], Some(ArtifactKind::TeacherCache)),
            (&["ids", "documents", "about.json"], Some(ArtifactKind::Store)),
            (&["ids", "about.json"], None),
            (&["metrics.jsonl"], None),
        ] {
            for file in files {
                platform::make_dir(dir.join(file).parent().unwrap()).unwrap();
                platform::write_atomic(&dir.join(file), b"").unwrap();
            }
            let found = (kind_of(&dir), kind_of(&dir.join(files[0])));
            let rest = is_damaged_run(&dir);
            platform::remove_dir(&dir).unwrap();
            assert_eq!(found, (kind, Some(ArtifactKind::Model)), "{files:?}");
            assert_eq!(rest, files.iter().any(|file| file.starts_with("checkpoints") || ["run.toml", "metrics.jsonl"].contains(file)), "{files:?}");
        }
        assert_eq!(kind_of(&dir), None);
    }
}
