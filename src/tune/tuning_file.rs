//! The cache file of autotuning. It can be deleted at any time.

use crate::device::Gpu;
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The contents of the file. A file of another adapter, driver or version is ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TuningFile {
    /// Format version.
    format: u32,
    adapter: String,
    driver: String,
    signet: String,
    /// Selected variants, with keys for operation and shape: see [`crate::graph::Variants::key`].
    pub(super) chosen: BTreeMap<String, TunedEntry>,
    /// Rejected variants and the reasons, with the same keys.
    pub(super) denied: BTreeMap<String, BTreeMap<String, String>>,
}

/// The selection for an operation and shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TunedEntry {
    /// The variant.
    pub(super) variant: String,
    /// Seconds of each candidate.
    pub(super) seconds: BTreeMap<String, f64>,
}

const FORMAT: u32 = 1;

impl TuningFile {
    /// Makes an empty table for this adapter, driver and version.
    pub(super) fn new(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_string();
        Self { format: FORMAT, adapter: gpu.name().into(), driver, signet: env!("CARGO_PKG_VERSION").into(), ..Self::default() }
    }

    /// The path of the file in a folder.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let plain = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect::<String>();
        folder.join(format!("tuning-{}-{}-{}.json", plain(&self.adapter), plain(&self.driver), plain(&self.signet)))
    }

    /// Reads the file, if it exists. An unusable file is an error, and will be overwritten.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), String> {
        if !platform::exists(path) {
            return Ok(());
        }
        let broken = |problem: String| format!("{}: {problem}; tuning again", path.display());
        let text = platform::read_text(path).map_err(|error| broken(error.to_string()))?;
        let found: TuningFile = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let about = |table: &TuningFile| (table.format, table.adapter.clone(), table.driver.clone(), table.signet.clone());
        if about(&found) != about(self) {
            return Err(broken(format!("the file is for {} with driver {}, Signet {}", found.adapter, found.driver, found.signet)));
        }
        *self = found;
        Ok(())
    }

    /// Writes the file atomically.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).expect("plain data");
        let made = path.parent().map_or(Ok(()), platform::make_dir);
        made.and_then(|()| platform::write_atomic(path, text.as_bytes()))
            .map_err(|error| format!("{}: cannot be written: {error}. The tuning results are not saved", path.display()))
    }
}
