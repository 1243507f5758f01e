//! Verification of the files of a run and of its checkpoints by their checksums, and repair of its own files.

use super::changes::Changes;
use super::checkpoint::Checkpoint;
use super::follow::{MetricsPosition, read_metrics_chunk};
use super::record::RunRecord;
use super::run_dir::{RunDir, check_settings, checkpoint, checkpoints};
use super::run_error::{RunError, repair_command};
use super::run_toml;
use crate::formats::safetensors::Dtype;
use crate::formats::{FormatError, TensorSource};
use crate::graph::Variants;
use crate::platform;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The result of verifying a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Its checksum matches.
    Whole,
    /// It can be read, but has no checksum, since an earlier version wrote it.
    NoChecksum,
    /// A newer version wrote it, in a format that this one cannot verify.
    Newer {
        /// The format, and what to do.
        problem: String,
    },
    /// Its checksum does not match, or it cannot be read.
    Damaged {
        /// The problem, and what to do.
        problem: String,
    },
}

/// The phrase for a newer format in the errors of all readers. A wrong checksum is reported before.
const NEWER: &str = "made by a newer Signet";

impl Outcome {
    /// Converts the result of a check that fails with a message.
    pub fn of(checked: Result<(), impl Display>) -> Self {
        match checked.map_err(|problem| problem.to_string()) {
            Ok(()) => Self::Whole,
            Err(problem) if problem.contains(NEWER) => Self::Newer { problem },
            Err(problem) => Self::Damaged { problem },
        }
    }

    /// Returns true if it is damaged.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Returns the outcome for a file with a checksum (`sums`) or without.
    fn with(self, sums: bool) -> Self {
        if sums || self != Self::Whole { self } else { Self::NoChecksum }
    }
}

/// The progress of a verification.
#[derive(Clone, Debug)]
pub enum Verifying {
    /// A file is being read.
    Reading {
        /// Number of tensors read.
        done: usize,
        /// Number of all tensors.
        of: usize,
    },
    /// A file was verified.
    File {
        /// The file.
        path: PathBuf,
        /// The outcome.
        outcome: Outcome,
    },
}

/// A callback for the progress of a verification; returns false to stop it.
pub type VerifyProgress<'a> = dyn FnMut(Verifying) -> bool + 'a;

/// Verifies the files of the checkpoint in `path`, one after the other.
pub fn verify_checkpoint(path: &Path, progress: &mut VerifyProgress<'_>) {
    let read = Checkpoint::read(path);
    let sums = read.as_ref().is_ok_and(|read| read.sums.is_some());
    if !progress(Verifying::File { path: path.join("state.json"), outcome: Outcome::of(read.as_ref().map(drop)).with(sums) }) {
        return;
    }
    let Ok(read) = read else { return };
    let mut names = vec!["model.safetensors".to_string(), "optimizer.safetensors".into(), "config.json".into()];
    names.extend(read.sums.iter().flat_map(|sums| sums.0.keys()).filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    for name in names {
        let verified = if name.ends_with(".safetensors") { tensors(&read, path, &name, progress) } else { bytes(&read, path, &name) };
        if !progress(Verifying::File { path: path.join(&name), outcome: Outcome::of(verified).with(sums) }) {
            return;
        }
    }
}

fn bytes(checkpoint: &Checkpoint, path: &Path, name: &str) -> Result<(), FormatError> {
    let file = path.join(name);
    let bytes = platform::read_up_to(&file, platform::TOKENIZER_LIMIT).map_err(|error| FormatError::new(&file, format!("cannot be read: {error}")))?;
    checkpoint.sums.as_ref().map_or(Ok(()), |sums| sums.verify(name, &bytes)).map_err(|problem| FormatError::new(&file, problem))
}

fn tensors(checkpoint: &Checkpoint, path: &Path, name: &str, progress: &mut VerifyProgress<'_>) -> Result<(), FormatError> {
    let file = checkpoint.tensors(path, name)?;
    let names = file.names();
    for (n, name) in names.iter().enumerate() {
        match file.dtype(name) {
            // Without a checksum, numbers that are not finite still reveal damage.
            Some(Dtype::F32) if !file.has_sums() => file.raw_floats(name).map(drop)?,
            _ => file.verify(name)?,
        }
        if !progress(Verifying::Reading { done: n + 1, of: names.len() }) {
            break;
        }
    }
    Ok(())
}

/// Returns the newest checkpoint of a run before step `before` whose files are all undamaged, or readable if they have no
/// checksums.
pub fn newest_intact(run: &Path, before: u64) -> Option<u64> {
    let is_whole = |&step: &u64| {
        let mut whole = true;
        verify_checkpoint(&checkpoint(run, step), &mut |verifying| {
            whole &= !matches!(verifying, Verifying::File { outcome: Outcome::Damaged { .. } | Outcome::Newer { .. }, .. });
            whole
        });
        whole
    };
    checkpoints(run).ok()?.into_iter().rev().filter(|&step| step < before).find(is_whole)
}

/// The run's own files of which checkpoints store copies.
const KEPT: [&str; 3] = ["run.toml", "variants.json", "changes.jsonl"];

/// Verifies the files of a run: its own, then those of its checkpoints. Files that training does not read (log, samples,
/// curves) are not verified.
pub fn verify_run(run: &Path, progress: &mut VerifyProgress<'_>) -> Result<(), RunError> {
    let steps = checkpoints(run)?;
    let newest = newest_record(run, &steps);
    for name in KEPT {
        let path = run.join(name);
        let needed = name == "run.toml" || newest.as_ref().is_some_and(|(_, record)| !record.text(name).is_empty());
        if (needed || platform::exists(&path)) && !progress(Verifying::File { path, outcome: own_file(run, name, newest.as_ref()) }) {
            return Ok(());
        }
    }
    if !progress(Verifying::File { path: run.join("metrics.jsonl"), outcome: metrics(run, newest.as_ref()) }) {
        return Ok(());
    }
    let mut go_on = true;
    for step in steps.into_iter().rev() {
        let path = checkpoint(run, step);
        verify_checkpoint(&path, &mut |verifying| {
            if matches!(&verifying, Verifying::File { outcome, .. } if outcome.is_damaged()) && is_pruned(run, &path) {
                return false;
            }
            go_on = progress(verifying);
            go_on
        });
        if !go_on {
            break;
        }
    }
    Ok(())
}

/// Returns true if a checkpoint was removed meanwhile: a run in training prunes checkpoints.
fn is_pruned(run: &Path, checkpoint: &Path) -> bool {
    if platform::is_dir(checkpoint) && RunDir::is_locked(run) {
        // Its files may be removed one after the other.
        platform::block_for(0.5);
    }
    !platform::is_dir(checkpoint)
}

/// Returns the newest checkpoint with copies of the run's own files: its step, and the copies.
fn newest_record(run: &Path, steps: &[u64]) -> Option<(u64, RunRecord)> {
    steps.iter().rev().find_map(|&step| Some((step, Checkpoint::read(&checkpoint(run, step)).ok()?.run?)))
}

/// Verifies one of the run's own files against the copy in a checkpoint.
fn own_file(run: &Path, name: &str, newest: Option<&(u64, RunRecord)>) -> Outcome {
    let path = run.join(name);
    let then = newest.map(|(_, record)| record.text(name));
    let repair = match then {
        Some(then) if !then.is_empty() => format!(". `{}` restores it from the newest checkpoint", repair_command(&path)),
        _ => String::new(),
    };
    let damaged = |problem: String| format!("{}: {problem}{repair}", path.display());
    let now = match platform::read_text(&path) {
        Ok(now) => now,
        Err(error) => return Outcome::Damaged { problem: damaged(format!("cannot be read: {error}")) },
    };
    let checked = match name {
        "run.toml" => {
            let settings = |then: &str| check_settings(&path, then, &now).map_err(|error| error.to_string());
            run_toml::verify(&now).and_then(|()| then.map_or(Ok(()), settings))
        }
        "variants.json" => {
            let read = |text: &str| serde_json::from_str::<Variants>(text).map_err(|error| error.to_string());
            read(&now).and_then(|now| same(then.is_none_or(|then| read(then) == Ok(now))))
        }
        _ => Changes::read(&now).and_then(|now| {
            let as_then = |(step, record): &(u64, RunRecord)| record.changes().until(*step) == now.until(*step) && record.changes().is_part_of(&now);
            same(newest.is_none_or(as_then))
        }),
    };
    Outcome::of(checked.map_err(damaged)).with(then.is_some() || run_toml::has_checksum(&now))
}

fn same(same: bool) -> Result<(), String> {
    if same { Ok(()) } else { Err("it differs from what the run was trained with".into()) }
}

/// Verifies `metrics.jsonl` of a run; returns the problem if it is damaged.
pub fn verify_metrics(run: &Path) -> Option<String> {
    let verified = || match metrics(run, newest_record(run, &checkpoints(run).unwrap_or_default()).as_ref()) {
        Outcome::Damaged { problem } => Some(problem),
        _ => None,
    };
    let problem = verified()?;
    // A run in training may have rolled back in between.
    if RunDir::is_locked(run) { verified() } else { Some(problem) }
}

/// Verifies `metrics.jsonl`: the checksum of the lines up to a checkpoint, and that every line is a step.
fn metrics(run: &Path, newest: Option<&(u64, RunRecord)>) -> Outcome {
    let path = run.join("metrics.jsonl");
    let harmless = "Training does not depend on it, curves do";
    if let Some((step, record)) = newest {
        match record.metrics.is_prefix_of(&path) {
            Ok(true) => {}
            Ok(false) => return Outcome::Damaged { problem: format!("{}: up to step {step} it is not what was recorded. {harmless}", path.display()) },
            Err(error) => return Outcome::Damaged { problem: format!("{}: cannot be read: {error}", path.display()) },
        }
    }
    let (mut position, mut next) = (MetricsPosition::default(), 1);
    loop {
        let chunk = match read_metrics_chunk(run, position) {
            Ok(chunk) => chunk,
            Err(error) => return Outcome::Damaged { problem: error.to_string() },
        };
        let gap = chunk.metrics.iter().find(|metrics| std::mem::replace(&mut next, metrics.step.saturating_add(1)) != metrics.step);
        let gap = gap.map(|metrics| format!("{}: step {} does not follow the line before", path.display(), metrics.step));
        if let Some(problem) = chunk.broken.first().cloned().or(gap) {
            return Outcome::Damaged { problem: format!("{problem}. {harmless}") };
        }
        position = chunk.until;
        if !chunk.more {
            return Outcome::Whole.with(newest.is_some());
        }
    }
}

/// Restores damaged files of the run's own from the newest checkpoint; returns their paths. The damaged ones are kept with
/// `.damaged` appended to their names.
pub fn repair(run: &Path) -> Result<Vec<PathBuf>, RunError> {
    let _lock = RunDir::lock(run)?;
    let Some(newest) = newest_record(run, &checkpoints(run)?) else { return Ok(Vec::new()) };
    let mut repaired = Vec::new();
    for name in KEPT {
        let (path, then) = (run.join(name), newest.1.text(name));
        if then.is_empty() || !own_file(run, name, Some(&newest)).is_damaged() {
            continue;
        }
        let failed = |error| RunError::Io { path: path.clone(), error };
        if let Ok(now) = platform::read(&path) {
            platform::write_atomic(&run.join(format!("{name}.damaged")), &now).map_err(failed)?;
        }
        platform::write_atomic(&path, then.as_bytes()).map_err(failed)?;
        repaired.push(path);
    }
    Ok(repaired)
}
