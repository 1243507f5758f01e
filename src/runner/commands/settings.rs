//! Saves and opens settings files.

use crate::platform;
use crate::runner::{Event, TrainConfig, settings};
use anyhow::{Context, Result};
use std::path::Path;

/// The header of a saved file.
const HEADER: &str = "# Settings of a Signet run. `signet train --config FILE` trains with them, and the app opens them.\n\n";

/// Writes settings atomically, for [`settings`] to read.
pub(super) fn save(config: &TrainConfig, path: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let written = toml::to_string(config).map_err(anyhow::Error::from);
    let text = written.with_context(|| format!("cannot encode settings {} as TOML", path.display()))?;
    platform::write_atomic(path, (HEADER.to_owned() + &text).as_bytes()).with_context(|| format!("cannot write settings {}", path.display()))?;
    emit(Event::SettingsSaved { path: path.to_path_buf() });
    Ok(())
}

/// Reads settings and emits them.
pub(super) fn open(path: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let config = Box::new(settings(path)?);
    emit(Event::Settings { path: path.to_path_buf(), config });
    Ok(())
}
