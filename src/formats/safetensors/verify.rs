//! Checksums of a safetensors file: each tensor is verified where it is first read.

use super::super::sums::{CHANGED, HEADER_KEY, TENSORS_KEY};
use super::super::{Digest, Digester, FormatError, TensorSums, header_digest};
use super::{PIECE, TensorFile};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Checksums that tensors must have.
pub(super) struct Expected {
    tensors: BTreeMap<String, Digest>,
    /// Those that were found to have theirs.
    verified: Mutex<BTreeSet<String>>,
    /// Advice if a checksum differs.
    advice: &'static str,
}

impl TensorFile {
    /// The same file, whose tensors must have the checksums in its own metadata, if there are any.
    pub(super) fn with_own_sums(self) -> Result<Self, FormatError> {
        const ADVICE: &str = "If it was copied or downloaded, do so again; if it was packed here, pack it again";
        let damaged = |what: &str| self.problem(format!("{what} is damaged, or was changed: its checksum is another. {ADVICE}"));
        let tensors: Option<BTreeMap<String, Digest>> = self.metadata(TENSORS_KEY).map(serde_json::from_str).transpose().map_err(|_| damaged("its header"))?;
        let header: Option<Digest> = self.metadata(HEADER_KEY).map(str::parse).transpose().map_err(|_| damaged("its header"))?;
        match (header, tensors) {
            (None, None) => Ok(self),
            (Some(header), _) if header != self.header_digest() => Err(damaged("its header")),
            (Some(_), None) => Ok(self),
            (Some(_), Some(tensors)) => self.expecting(tensors, ADVICE),
            // The key of the header's was lost.
            (None, Some(_)) => Err(damaged("its header")),
        }
    }

    /// The same file, whose tensors must have these checksums, kept in `state.json` beside it.
    pub fn with_sums(self, sums: &TensorSums) -> Result<Self, FormatError> {
        if sums.header != self.header_digest() {
            return Err(self.problem(CHANGED.into()));
        }
        self.expecting(sums.tensors.clone(), "`signet check` tells which checkpoints of a run are whole")
    }

    fn expecting(mut self, tensors: BTreeMap<String, Digest>, advice: &'static str) -> Result<Self, FormatError> {
        let missing = self.header.offset_keys().into_iter().find(|name| !tensors.contains_key(name));
        if let Some(name) = missing {
            return Err(self.problem(format!("has no checksum of tensor {name}. {advice}")));
        }
        self.expected = Some(Expected { tensors, verified: Mutex::default(), advice });
        Ok(self)
    }

    fn header_digest(&self) -> Digest {
        let names = self.header.offset_keys();
        let tensors = names.iter().filter_map(|name| self.header.info(name).map(|info| (name.as_str(), info.dtype, &info.shape[..])));
        let metadata = self.header.metadata().iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
        header_digest(tensors, metadata)
    }

    /// Returns true if its header has a checksum, which was found right.
    pub fn has_header_sum(&self) -> bool {
        self.metadata(HEADER_KEY).is_some()
    }

    /// Refuses a tensor whose bytes are not those that were written. Each is read for this only once.
    pub fn verify(&self, name: &str) -> Result<(), FormatError> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let verified = || expected.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().contains(name) {
            return Ok(());
        }
        let (start, end) = self.found(name)?.data_offsets;
        let (start, end) = (self.data + start as u64, self.data + end as u64);
        let mut digester = Digester::default();
        for first in (start..end).step_by(PIECE as usize) {
            let part = self.bytes.part(first..end.min(first + PIECE));
            digester.update(&part.map_err(|error| self.problem(format!("tensor {name} cannot be read: {error}")))?);
        }
        if expected.tensors.get(name) != Some(&digester.digest()) {
            return Err(self.problem(format!("tensor {name} is damaged: its checksum is another. {}", expected.advice)));
        }
        verified().insert(name.into());
        Ok(())
    }
}
