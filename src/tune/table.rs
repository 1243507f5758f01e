//! The file that remembers what was chosen on an adapter. It can be deleted at any time.

use crate::device::Gpu;
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The format, and what it says about whose choices these are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// Format of this file.
    format: u32,
    adapter: String,
    driver: String,
    signet: String,
    /// By operation and shape: see [`crate::graph::Variants::key`].
    pub(super) chosen: BTreeMap<String, Entry>,
    /// By operation and shape: the variants that are wrong here, and why.
    pub(super) denied: BTreeMap<String, BTreeMap<String, String>>,
}

/// What was chosen for an operation and shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The variant.
    pub(super) variant: String,
    /// Seconds that each candidate took.
    pub(super) seconds: BTreeMap<String, f64>,
}

const FORMAT: u32 = 1;

impl Table {
    /// An empty table of this adapter, driver and Signet.
    pub(super) fn new(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_string();
        Self { format: FORMAT, adapter: gpu.name().into(), driver, signet: env!("CARGO_PKG_VERSION").into(), ..Self::default() }
    }

    /// The file's path in a folder.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let plain = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect::<String>();
        folder.join(format!("tuning-{}-{}-{}.json", plain(&self.adapter), plain(&self.driver), plain(&self.signet)))
    }

    /// What the file has for the same adapter, driver and Signet; nothing if there is none. A file
    /// that cannot be used is an error in words, and is written anew.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), String> {
        if !platform::exists(path) {
            return Ok(());
        }
        let broken = |problem: String| format!("{}: {problem}; tuning again", path.display());
        let text = platform::read_text(path).map_err(|error| broken(error.to_string()))?;
        let found: Table = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let about = |table: &Table| (table.format, table.adapter.clone(), table.driver.clone(), table.signet.clone());
        if about(&found) != about(self) {
            return Err(broken(format!("it is about {} with driver {}, Signet {}", found.adapter, found.driver, found.signet)));
        }
        *self = found;
        Ok(())
    }

    /// Writes the file whole, or leaves it as it was.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).expect("plain data");
        let made = path.parent().map_or(Ok(()), platform::make_dir);
        made.and_then(|()| platform::write_atomic(path, text.as_bytes())).map_err(|error| format!("{}: {error}; what was tuned is not kept", path.display()))
    }
}
