//! Copies of a run's own files in each checkpoint, to detect damage and to repair it.

use super::changes::Changes;
use crate::formats::{Digest, Digester};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The run's own files at the time when a checkpoint was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The text of `run.toml`.
    pub settings: String,
    /// The text of `variants.json`; empty if there was none.
    pub variants: String,
    /// The text of `changes.jsonl`; empty if there was none.
    pub changes: String,
    /// `metrics.jsonl` up to the checkpoint's step.
    pub metrics: RecordedLines,
}

impl RunRecord {
    /// The text of `changes.jsonl`.
    pub fn changes(&self) -> Changes {
        Changes::read(&self.changes).unwrap_or_default()
    }

    /// The text of one of the run's files.
    pub fn text(&self, name: &str) -> &str {
        match name {
            "run.toml" => &self.settings,
            "variants.json" => &self.variants,
            _ => &self.changes,
        }
    }
}

/// Length and checksum of the beginning of a file of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLines {
    /// Bytes.
    pub bytes: u64,
    /// Their checksum.
    pub checksum: Digest,
}

/// Bytes per read of a file.
const CHUNK_BYTES: u64 = 4 << 20;

/// A file that grows by lines, with its length and checksum so far.
#[derive(Debug, Default)]
pub(super) struct GrowingFile {
    bytes: u64,
    digester: Digester,
}

impl GrowingFile {
    /// Reads the first `max_bytes` bytes of a file, or all; a missing file is empty.
    pub(super) fn read(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let mut lines = Self::default();
        while lines.bytes < max_bytes {
            let (piece, _) = match platform::read_part(path, lines.bytes, CHUNK_BYTES.min(max_bytes - lines.bytes)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                piece => piece?,
            };
            if piece.is_empty() {
                break;
            }
            lines.add(&piece);
        }
        Ok(lines)
    }

    /// Appends bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digester.update(bytes);
    }

    /// Returns length and checksum so far.
    pub(super) fn lines(&self) -> RecordedLines {
        RecordedLines { bytes: self.bytes, checksum: self.digester.digest() }
    }
}

impl RecordedLines {
    /// Returns true if a file begins with these lines.
    pub fn is_prefix_of(&self, path: &Path) -> io::Result<bool> {
        Ok(GrowingFile::read(path, self.bytes)?.lines() == *self)
    }
}
