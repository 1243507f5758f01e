//! Checks the order in which files are synced to disk. A power cut loses unsynced data, which a kill does not show.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files and directories that are not synced yet, and violations of the order so far.
#[derive(Default)]
pub(super) struct Durability {
    /// Files written since their last sync.
    written: BTreeSet<PathBuf>,
    /// Directories with a rename into them since their last sync.
    renamed: BTreeSet<PathBuf>,
    /// Directories with a new subdirectory since their last sync.
    made: BTreeSet<PathBuf>,
    problems: Vec<String>,
}

impl Durability {
    /// Records a system call: its name and the path that it changes.
    pub(super) fn call(&mut self, name: &str, path: &Path) {
        match name {
            "write" | "ftruncate" => {
                self.written.insert(path.into());
            }
            "fsync" => {
                self.written.remove(path);
                self.renamed.remove(path);
                self.made.remove(path);
            }
            "mkdir" | "mkdirat" => {
                self.made.extend(path.parent().filter(|_| !is_temporary(path)).map(PathBuf::from));
            }
            "rename" | "renameat" => self.rename(path),
            _ => {}
        }
    }

    /// Records a rename. Metrics must be synced before a checkpoint that implies them gets its name, and a directory
    /// before the next rename into it. Temporary directories need not survive a power cut.
    fn rename(&mut self, to: &Path) {
        let Some(dir) = to.parent() else { return };
        let metrics = dir.with_file_name("metrics.jsonl");
        if dir.ends_with("checkpoints") && self.written.contains(&metrics) {
            self.problems.push(format!("{} is named before {} is synced", to.display(), metrics.display()));
        }
        if !is_temporary(dir) && !self.renamed.insert(dir.into()) {
            self.problems.push(format!("the directory of {} is not synced since another rename into it", to.display()));
        }
    }

    /// Returns all violations, including directories that were never synced.
    pub(super) fn problems(self) -> Vec<String> {
        let left = self.renamed.into_iter().map(|dir| format!("the directory {:?} is not synced after a rename into it", dir.display()));
        let made = self.made.into_iter().map(|dir| format!("the directory {:?} is not synced after another was made in it", dir.display()));
        self.problems.into_iter().chain(left).chain(made).collect()
    }
}

/// Returns true if a path is a temporary directory or inside one.
fn is_temporary(path: &Path) -> bool {
    path.iter().any(|part| part.to_string_lossy().starts_with(".signet-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(calls: &[(&str, &str)]) -> Vec<String> {
        let mut durability = Durability::default();
        calls.iter().for_each(|(name, path)| durability.call(name, Path::new(path)));
        durability.problems()
    }

    #[test]
    fn a_rename_before_the_sync_is_detected() {
        let (metrics, folder, checkpoint) = ("runs/r/metrics.jsonl", "runs/r/checkpoints", "runs/r/checkpoints/step-00000002");
        let right = [("write", metrics), ("fsync", metrics), ("rename", checkpoint), ("fsync", folder)];
        assert!(problems(&right).is_empty());
        assert!(problems(&[&right[..], &[("rename", "runs/r/checkpoints/.signet-0/old/step")]].concat()).is_empty());
        let early = problems(&[right[0], right[2], right[3], right[1]]);
        assert!(matches!(&early[..], [problem] if problem.contains("step-00000002 is named before runs/r/metrics.jsonl")), "{early:?}");
        assert_eq!(problems(&right[..3]).len(), 1);
        assert_eq!(problems(&[&right[..3], &right[2..]].concat()).len(), 1);
        let made = problems(&[("mkdir", "runs"), ("mkdir", "runs/r"), ("mkdir", "runs/.signet-0"), ("fsync", "")]);
        assert!(matches!(&made[..], [problem] if problem.contains("\"runs\" is not synced after another")), "{made:?}");
    }
}
