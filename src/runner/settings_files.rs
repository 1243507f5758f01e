//! Reads settings from TOML: a run's `run.toml`, and files saved by users.

use super::protocol::TrainRequest;
use super::text_reader;
use crate::formats::toml_file;
use crate::platform;
use crate::train::{TrainConfig, check_same, checkpoint, checkpoints, run_settings};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Returns the run that a `run.toml` belongs to, if it does.
fn run_of(path: &Path) -> Option<&Path> {
    let is_run = |run: &&Path| path.file_name().is_some_and(|name| name == "run.toml") && platform::is_dir(&run.join("checkpoints"));
    path.parent().filter(is_run)
}

/// Reads settings from a TOML file. Missing settings have their defaults; an error names the file and the line. The
/// `run.toml` of a run must match the run's checkpoints, and its missing settings have the values the run was trained with.
pub fn settings(path: &Path) -> Result<TrainConfig> {
    if let Some(run) = run_of(path) {
        return run_settings(run).context("settings");
    }
    let text = toml_file(path).context("settings")?;
    toml::from_str(&text).with_context(|| format!("settings {}", path.display()))
}

/// Reads settings as [`settings`] does, but missing ones have their values in `base`.
pub fn settings_over(base: &TrainConfig, path: &Path) -> Result<TrainConfig> {
    // Parsed alone first, so that an error names the line.
    let alone = settings(path)?;
    if run_of(path).is_some() {
        return Ok(alone);
    }
    let describe = || format!("settings {}", path.display());
    let text = platform::read_text(path).with_context(describe)?;
    let mut table = toml::Table::try_from(base)?;
    for (name, value) in text.parse::<toml::Table>().with_context(describe)? {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => below.extend(above),
            (_, value) => drop(table.insert(name, value)),
        }
    }
    table.try_into().with_context(describe)
}

impl TrainRequest {
    /// Returns the settings without opening the run. If it is resumed, the given settings must match the run's.
    pub(super) fn settings(&self) -> Result<TrainConfig> {
        if !self.resume {
            return Ok(self.config.clone().unwrap_or_default());
        }
        let then = run_settings(&self.run)?;
        if let Some(now) = &self.config {
            check_same(&self.run, &then, &text_reader::expand_data(now.clone())?)?;
        }
        Ok(then)
    }

    /// Returns the checkpoint that the run resumes from; none if it starts at step 0.
    pub(super) fn saved(&self) -> Result<Option<PathBuf>> {
        let step = if self.resume { self.from_step.or(checkpoints(&self.run)?.pop()) } else { None };
        Ok(step.map(|step| checkpoint(&self.run, step)))
    }
}
