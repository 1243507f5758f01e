//! The directory of a run: configuration, metrics, log, samples, curves, checkpoints.
//!
//! ```text
//! runs/NAME/run.toml        settings of the run; those passed to a resume must match
//!           variants.json   variants of its operations on a GPU, by operation and shape
//!           changes.jsonl   settings changed while it ran, with the step from which they apply
//!           metrics.jsonl   one object per optimizer step, see `Metrics`
//!           log.txt         checkpoints, actions of the guard, stops and resumes
//!           samples.txt     samples during training
//!           curves.svg      loss, KL, flip-flop ratios, gradient norm, learning rate
//!           checkpoints/step-00000250/  model.safetensors, optimizer.safetensors, state.json, config.json, generation_config.json, tokenizer.json
//! ```

#[cfg(test)]
mod tests;

use super::changes::Changes;
use super::checkpoint::Checkpoint;
use super::follow::{MetricsPosition, read_metrics_chunk};
use super::gaps::{Gaps, up_to};
use super::metrics::Metrics;
use super::record::{GrowingFile, RunRecord};
use super::run_error::{RunError, repair_command};
use super::run_toml;
use super::samples;
use super::train_config::TrainConfig;
use crate::graph::Variants;
use crate::platform::{self, Lock, UNLIMITED, append, cut_lines, discard_dir, read_up_to, remove_dir, write_atomic};
use std::io;
use std::path::{Path, PathBuf};

/// Samples during training.
const SAMPLES: &str = "samples.txt";

/// Locked by the process that trains the run.
const LOCK: &str = ".lock";
/// Files that are replaced atomically, of which killed earlier versions left `.NAME.part`.
const REPLACED: [&str; 5] = ["run.toml", "variants.json", "changes.jsonl", "metrics.jsonl", "curves.svg"];

/// Longest name of a run, in bytes, so that its paths are valid on every system.
pub const MAX_NAME_LENGTH: usize = 120;

/// Checks that a name is valid for a directory on every system.
pub fn check_name(name: &str) -> Result<(), RunError> {
    let reserved = |name: &str| {
        let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
        let port = |kind: &str| stem.strip_prefix(kind).is_some_and(|n| n.len() == 1 && n.starts_with(|c: char| c.is_ascii_digit()));
        ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || port("COM") || port("LPT")
    };
    let forbidden = name.chars().find(|&c| c.is_control() || "/\\<>:\"|?*".contains(c));
    let problem = match forbidden {
        _ if name.trim().is_empty() => "must not be empty".into(),
        Some(forbidden) => format!("must not contain {forbidden:?}"),
        None if name.starts_with(['.', ' ']) => "must not begin with a dot or a space".into(),
        None if name.ends_with(['.', ' ']) => "must not end with a dot or a space".into(),
        None if name.len() > MAX_NAME_LENGTH => format!("has {} bytes; must have at most {MAX_NAME_LENGTH}", name.len()),
        None if reserved(name) => "is reserved by Windows. Choose another name".into(),
        None => return Ok(()),
    };
    Err(RunError::Name { name: name.into(), problem })
}

/// A run's directory, locked.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The contents of `run.toml` and `variants.json`.
    metadata: [(&'static str, String); 2],
    /// `metrics.jsonl` as it was written.
    recorded: GrowingFile,
    /// The copies of the run's files in its newest checkpoint when it was opened.
    record: Option<RunRecord>,
    lock: Lock,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, RunError> {
    result.map_err(|error| RunError::Io { path: path.to_path_buf(), error })
}

impl RunDir {
    /// Checks that there is no run at `path`; the error says whether an existing one is locked by another process.
    pub fn check_free(path: &Path) -> Result<(), RunError> {
        if !platform::exists(&path.join("run.toml")) {
            return missing_settings(path).map_or(Ok(()), Err);
        }
        drop(Self::lock(path)?);
        Err(RunError::Exists(path.to_path_buf()))
    }

    /// Creates the directory of a new run.
    pub fn create(path: &Path, config: &TrainConfig, variants: &Variants) -> Result<Self, RunError> {
        at(path, platform::make_dir(&path.join("checkpoints")))?;
        let lock = Self::lock(path)?;
        // From now on no other process can start a run here.
        if platform::exists(&path.join("run.toml")) {
            return Err(RunError::Exists(path.to_path_buf()));
        }
        if let Some(error) = missing_settings(path) {
            return Err(error);
        }
        let chosen = serde_json::to_string_pretty(variants).expect("variants are plain data");
        let metadata = [("variants.json", chosen), ("run.toml", run_toml::text(config))];
        let run = Self { path: path.to_path_buf(), metadata, recorded: GrowingFile::default(), record: None, lock };
        run.remove_leftovers();
        run.write_metadata()?;
        Ok(run)
    }

    /// Removes incomplete files and checkpoints of a killed process.
    fn remove_leftovers(&self) {
        let checkpoints = self.path.join("checkpoints");
        platform::remove_leftovers(&self.path);
        platform::remove_leftovers(&checkpoints);
        platform::remove_old_leftovers(&self.path, |name| REPLACED.contains(&name).then_some(()));
        platform::remove_old_leftovers(&checkpoints, |name| name.starts_with("step-").then_some(()));
    }

    /// Creates the directory of a new run under the first free name of [`numbered`], also if other processes do so
    /// at the same time.
    pub fn create_numbered(runs: &Path, config: &TrainConfig, variants: &Variants) -> Result<Self, RunError> {
        at(runs, platform::make_dir(runs))?;
        for path in numbered(runs) {
            if at(&path, platform::claim_dir(&path))? {
                // An empty directory would block the name. A run that another process has started there is kept.
                return Self::create(&path, config, variants).inspect_err(|error| {
                    if matches!(error, RunError::Io { .. }) && !platform::exists(&path.join("run.toml")) {
                        let _ = remove_dir(&path);
                    }
                });
            }
        }
        Err(RunError::NoName(runs.to_path_buf()))
    }

    /// Writes `variants.json`, then `run.toml`, which makes the directory a run.
    fn write_metadata(&self) -> Result<(), RunError> {
        self.metadata.iter().filter(|(_, text)| !text.is_empty()).try_for_each(|(name, text)| {
            let file = self.path.join(name);
            at(&file, write_atomic(&file, text.as_bytes()))
        })
    }

    /// Returns true if the directory is still in its place, with `run.toml` and the lock file.
    pub fn is_in_place(&self) -> bool {
        self.lock.is_in_place() && platform::exists(&self.path.join("run.toml"))
    }

    /// Returns the path of a file in it; an error if the directory is gone or another run is in its place.
    fn file(&self, name: &str) -> Result<PathBuf, RunError> {
        match self.lock.is_in_place() {
            true => Ok(self.path.join(name)),
            false if platform::exists(&self.path.join("run.toml")) => Err(RunError::Replaced(self.path.clone())),
            false => Err(RunError::Gone(self.path.clone())),
        }
    }

    /// Recreates a missing directory, `run.toml` or lock file, and keeps the metrics that are left; returns true if more than
    /// the lock file was missing. Fails if another run is there.
    pub fn recreate(&mut self) -> Result<bool, RunError> {
        let has = |name: &str| platform::exists(&self.path.join(name));
        if !self.lock.is_in_place() {
            if has(LOCK) && has("run.toml") {
                return Err(RunError::Replaced(self.path.clone()));
            }
            at(&self.path, platform::make_dir(&self.path))?;
            self.lock = Self::lock(&self.path)?;
        }
        let is_removed = !has("run.toml");
        if is_removed {
            let metrics = self.path.join("metrics.jsonl");
            self.recorded = at(&metrics, GrowingFile::read(&metrics, u64::MAX))?;
        } else if !self.has_settings() {
            return Err(RunError::Replaced(self.path.clone()));
        }
        at(&self.path, platform::make_dir(&self.path.join("checkpoints")))?;
        self.write_metadata()?;
        Ok(is_removed)
    }

    /// Returns true if the directory has this run's settings, in any layout.
    fn has_settings(&self) -> bool {
        let table = |text: &str| text.parse::<toml::Table>().ok();
        platform::read_text(&self.path.join("run.toml")).is_ok_and(|text| table(&text).is_some_and(|there| table(&self.metadata[1].1) == Some(there)))
    }

    /// Opens the directory of an existing run; returns its settings, which must match its checkpoints.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), RunError> {
        let (text, record, config) = read_settings(path)?;
        let variants = platform::read_text(&path.join("variants.json")).unwrap_or_default();
        // Layout and comments are not preserved.
        let text = record.as_ref().map_or(text, |record| record.settings.clone());
        let metadata = [("variants.json", variants), ("run.toml", text)];
        let run = Self { path: path.to_path_buf(), metadata, recorded: GrowingFile::default(), record, lock: Self::lock(path)? };
        run.remove_leftovers();
        Ok((run, config))
    }

    /// Returns the copies of the run's own files for a checkpoint.
    pub(super) fn run_record(&self, changes: &Changes) -> RunRecord {
        let [(_, variants), (_, settings)] = self.metadata.clone();
        RunRecord { settings, variants, changes: changes.text(), metrics: self.recorded.lines() }
    }

    /// Returns true if `variants.json` exists; it is missing only in runs of earlier versions.
    pub fn has_variants(&self) -> bool {
        platform::exists(&self.path.join("variants.json"))
    }

    /// Returns the variants it was started with; portable ones for runs of versions without a choice. It is an error if
    /// they are missing, but a checkpoint has a copy.
    pub fn variants(&self) -> Result<Variants, RunError> {
        let file = self.path.join("variants.json");
        let is_kept = self.record.as_ref().is_some_and(|record| !record.variants.is_empty());
        let advice = match is_kept {
            true => format!("`{}` restores it from the newest checkpoint", repair_command(&file)),
            false => "Delete the file to resume with portable variants; results are then not the same to the bit".into(),
        };
        let broken = |problem: String| RunError::Broken { problem: format!("{problem}. {advice}"), path: file.clone() };
        let text = match platform::read_text(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_kept => return Err(broken("it is missing".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Variants::default()),
            text => at(&file, text)?,
        };
        let variants = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let then = self.record.as_ref().and_then(|record| serde_json::from_str(&record.variants).ok());
        if then.is_none_or(|then: Variants| then == variants) { Ok(variants) } else { Err(broken("it differs from what the run was trained with".into())) }
    }

    /// Reads the changes of settings, which `check` must accept. Up to step `until` they must match those of the checkpoint of
    /// that step, `then`.
    pub fn changes(&self, then: Option<&Changes>, until: u64, check: impl Fn(&Changes) -> Result<(), String>) -> Result<Changes, RunError> {
        let path = self.path.join("changes.jsonl");
        let text = if platform::exists(&path) { at(&path, platform::read_text(&path))? } else { String::new() };
        let same = |changes: &Changes| match then {
            Some(then) if then.until(until) != changes.until(until) => Err(format!("up to step {until} it differs from the checkpoint")),
            _ => Ok(()),
        };
        let changes = Changes::read(&text).and_then(|changes| check(&changes).and_then(|()| same(&changes)).map(|()| changes));
        let advice = match then {
            Some(then) if *then != Changes::default() => format!("`{}` restores it from the newest checkpoint", repair_command(&path)),
            _ => "Delete the file to resume with the original settings".into(),
        };
        changes.map_err(|problem| RunError::Broken { problem: format!("{problem}. {advice}"), path })
    }

    /// Replaces `changes.jsonl`.
    pub fn write_changes(&self, changes: &Changes) -> Result<(), RunError> {
        let path = self.file("changes.jsonl")?;
        at(&path, write_atomic(&path, changes.text().as_bytes()))
    }

    /// Locks a run's directory.
    pub fn lock(path: &Path) -> Result<Lock, RunError> {
        at(path, Lock::try_acquire(&path.join(LOCK)))?.ok_or_else(|| RunError::InUse(path.to_path_buf()))
    }

    /// Returns true if the run is locked by a process that trains it.
    pub(super) fn is_locked(path: &Path) -> bool {
        Lock::is_held(&path.join(LOCK)).unwrap_or(false)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a step to `metrics.jsonl`.
    pub fn record(&mut self, metrics: &Metrics) -> Result<(), RunError> {
        let line = serde_json::to_string(metrics).expect("metrics are plain data") + "\n";
        let path = self.file("metrics.jsonl")?;
        at(&path, append(&path, line.as_bytes()))?;
        self.recorded.add(line.as_bytes());
        Ok(())
    }

    /// Removes the steps after `step` from `metrics.jsonl`, and their samples from `samples.txt`. Returns the faults of
    /// the remaining metrics.
    pub fn cut(&mut self, step: u64) -> Result<Gaps, RunError> {
        let path = self.file("metrics.jsonl")?;
        let mut gaps = Gaps::default();
        let keep = |lines: &[&[u8]]| {
            let (keep, found) = up_to(step, lines);
            gaps = found;
            keep
        };
        at(&path, cut_lines(&path, keep))?;
        self.recorded = at(&path, GrowingFile::read(&path, u64::MAX))?;
        let path = self.file(SAMPLES)?;
        if !platform::exists(&path) {
            return Ok(gaps);
        }
        let text = at(&path, read_up_to(&path, UNLIMITED))?;
        let kept = samples::cut(&text, step);
        if kept != text {
            at(&path, write_atomic(&path, &kept))?;
        }
        Ok(gaps)
    }

    /// Syncs the recorded files to disk: a checkpoint relies on them.
    pub fn sync(&self) -> Result<(), RunError> {
        self.file("metrics.jsonl")?;
        at(&self.path, platform::sync(&self.path, &["metrics.jsonl", SAMPLES, "log.txt"]))
    }

    /// Returns true if `metrics.jsonl` begins with the lines that a checkpoint recorded.
    pub(super) fn has_recorded(&self, record: &RunRecord) -> bool {
        self.recorded.lines() == record.metrics
    }

    /// Counts the recorded steps up to `step` that were skipped by the guard.
    pub fn skipped(&self, step: u64) -> Result<u64, RunError> {
        let (mut from, mut skipped) = (MetricsPosition::default(), 0);
        loop {
            let chunk = read_metrics_chunk(&self.path, from)?;
            skipped += chunk.metrics.iter().filter(|metrics| metrics.step <= step && !metrics.taken).count() as u64;
            if !chunk.more {
                return Ok(skipped);
            }
            from = chunk.until;
        }
    }

    /// Appends a line to `log.txt`.
    pub fn log(&self, line: &str) -> Result<(), RunError> {
        let path = self.file("log.txt")?;
        at(&path, append(&path, format!("{line}\n").as_bytes()))
    }

    /// Appends a sample to `samples.txt`.
    pub fn sample(&self, step: u64, text: &str) -> Result<(), RunError> {
        let path = self.file(SAMPLES)?;
        at(&path, append(&path, samples::entry(step, text).as_bytes()))
    }

    /// Replaces `curves.svg`.
    pub fn curves(&self, svg: &str) -> Result<(), RunError> {
        let path = self.file("curves.svg")?;
        at(&path, write_atomic(&path, svg.as_bytes()))
    }

    /// Returns the path of the checkpoint of a step.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        checkpoint(&self.path, step)
    }

    /// Returns the steps with checkpoints, ascending.
    pub fn checkpoints(&self) -> Result<Vec<u64>, RunError> {
        self.file("checkpoints")?;
        checkpoints(&self.path)
    }

    /// Renames all checkpoints after `step`, so that they are no longer found as checkpoints; returns the new names.
    pub fn set_aside(&self, step: u64) -> Result<Vec<String>, RunError> {
        let mut moved = Vec::new();
        for later in self.checkpoints()?.into_iter().filter(|&later| later > step) {
            let path = self.checkpoint(later);
            let name = |n: u32| if n == 1 { format!("{}.aside", directory(later)) } else { format!("{}.aside-{n}", directory(later)) };
            let name = (1..).map(name).find(|name| !platform::exists(&path.with_file_name(name))).expect("there are more names than directories");
            at(&path, platform::rename_dir(&path, &path.with_file_name(&name), None))?;
            moved.push(name);
        }
        Ok(moved)
    }

    /// Removes all checkpoints except the last `keep` and those of the steps in `spared`.
    pub fn prune(&self, keep: usize, spared: &[Option<u64>]) -> Result<(), RunError> {
        let steps = self.checkpoints()?;
        self.remove(steps.into_iter().rev().skip(keep).filter(|&step| !spared.contains(&Some(step)))).map(drop)
    }

    /// Removes the checkpoints of steps after `step`, the latest first. Returns their steps.
    pub fn remove_after(&self, step: u64) -> Result<Vec<u64>, RunError> {
        let steps = self.checkpoints()?;
        self.remove(steps.into_iter().rev().take_while(|&later| later > step))
    }

    fn remove(&self, steps: impl Iterator<Item = u64>) -> Result<Vec<u64>, RunError> {
        let removed = |step| {
            let path = self.checkpoint(step);
            at(&path, discard_dir(&path)).map(|()| step)
        };
        steps.map(removed).collect()
    }
}

/// Returns the automatic names of runs: `run-1`, `run-2`, …
pub fn numbered(runs: &Path) -> impl Iterator<Item = PathBuf> {
    (1..10_000).map(|n| runs.join(format!("run-{n}")))
}

/// Returns the path of the checkpoint of a step of a run.
pub fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints").join(directory(step))
}

/// Returns the steps with checkpoints of a run, ascending. Directories with other names are ignored.
pub fn checkpoints(run: &Path) -> Result<Vec<u64>, RunError> {
    let path = run.join("checkpoints");
    let mut steps = Vec::new();
    for name in at(&path, platform::list(&path))? {
        let step = name.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok());
        steps.extend(step.filter(|step| name == directory(*step) && platform::is_dir(&path.join(&name))));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Returns the name of a checkpoint's directory.
fn directory(step: u64) -> String {
    format!("step-{step:08}")
}

/// Checks that settings match those that a run was started with.
pub fn check_same(run: &Path, then: &TrainConfig, now: &TrainConfig) -> Result<(), RunError> {
    let differs = run_toml::changes(then, now);
    if differs.is_empty() { Ok(()) } else { Err(RunError::Differs { path: run.to_path_buf(), differs }) }
}

/// Reads the settings of a run, which must match its checkpoints.
pub fn run_settings(path: &Path) -> Result<TrainConfig, RunError> {
    read_settings(path).map(|(_, _, config)| config)
}

/// Reads `run.toml` and checks it against the copy in the newest checkpoint; returns its text, the copies and the settings.
fn read_settings(path: &Path) -> Result<(String, Option<RunRecord>, TrainConfig), RunError> {
    let file = path.join("run.toml");
    let text = platform::read_text(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing_settings(path).unwrap_or_else(|| RunError::Missing(path.to_path_buf())),
        _ => RunError::Io { path: file.clone(), error },
    })?;
    let broken = |problem: String| RunError::Broken { path: file.clone(), problem };
    let record = newest_record(path);
    match &record {
        Some(record) => check_settings(&file, &record.settings, &text)?,
        None => run_toml::verify(&text).map_err(|problem| broken(format!("{problem}. If you edited it on purpose, delete its first and its last line")))?,
    }
    let config = run_toml::read(&text).map_err(broken)?;
    Ok((text, record, config))
}

/// Returns the error of a run that has checkpoints but no `run.toml`, if this is one.
fn missing_settings(path: &Path) -> Option<RunError> {
    let file = path.join("run.toml");
    let steps = checkpoints(path).unwrap_or_default();
    if steps.is_empty() || platform::exists(&file) {
        return None;
    }
    let problem = match newest_record(path) {
        Some(_) => format!("it is missing, but the run has checkpoints with copies of it: `{}` restores it", repair_command(&file)),
        None => "it is missing, but the run has checkpoints. Put it back to resume the run, or choose another --name for a new run".into(),
    };
    Some(RunError::Broken { path: file, problem })
}

/// Returns the copies of the run's own files in its newest readable checkpoint.
pub fn newest_record(run: &Path) -> Option<RunRecord> {
    checkpoints(run).ok()?.into_iter().rev().find_map(|step| Checkpoint::read(&checkpoint(run, step)).ok()?.run)
}

/// Checks settings against the copy in a checkpoint. Layout and comments are ignored.
pub(super) fn check_settings(file: &Path, then: &str, now: &str) -> Result<(), RunError> {
    let broken = |problem: String| RunError::Broken {
        path: file.to_path_buf(),
        problem: format!("{problem}. The run's checkpoints have a copy: `{}` restores it", repair_command(file)),
    };
    if then == now {
        return Ok(());
    }
    let then: toml::Table = then.parse().map_err(|error| broken(format!("{error}")))?;
    let now: toml::Table = now.parse().map_err(|error| broken(format!("{error}")))?;
    if now.is_empty() {
        return Err(broken("it is empty".into()));
    }
    let differs = run_toml::differences(&then, &now);
    if differs.is_empty() { Ok(()) } else { Err(RunError::Changed { path: file.to_path_buf(), differs }) }
}
