//! Verifies the checksums of a safetensors file; each tensor on first read.

use super::super::sums::{CHANGED, HEADER_KEY, TENSORS_KEY};
use super::super::{Digest, Digester, FormatError, TensorSums, header_digest};
use super::{PIECE, TensorFile};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The expected checksums of tensors.
pub(super) struct Expected {
    tensors: BTreeMap<String, Digest>,
    /// The tensors verified so far.
    verified: Mutex<BTreeSet<String>>,
    /// Advice for a mismatch.
    advice: &'static str,
}

impl TensorFile {
    /// Expects the checksums in the file's own metadata, if there are any.
    pub(super) fn with_own_sums(self) -> Result<Self, FormatError> {
        const ADVICE: &str = "If it was copied or downloaded, do so again; if it was packed here, pack it again";
        let damaged = |what: &str| self.problem(format!("{what} is damaged or was edited: its checksum does not match. {ADVICE}"));
        let tensors: Option<BTreeMap<String, Digest>> = self.metadata(TENSORS_KEY).map(serde_json::from_str).transpose().map_err(|_| damaged("its header"))?;
        let header: Option<Digest> = self.metadata(HEADER_KEY).map(str::parse).transpose().map_err(|_| damaged("its header"))?;
        match (header, tensors) {
            (None, None) => Ok(self),
            (Some(header), _) if header != self.header_digest() => Err(damaged("its header")),
            (Some(_), None) => Ok(self),
            (Some(_), Some(tensors)) => self.expecting(tensors, ADVICE),
            // The header's checksum is missing.
            (None, Some(_)) => Err(damaged("its header")),
        }
    }

    /// Expects these checksums, from `state.json` next to the file.
    pub fn with_sums(self, sums: &TensorSums) -> Result<Self, FormatError> {
        if sums.header != self.header_digest() {
            return Err(self.problem(CHANGED.into()));
        }
        self.expecting(sums.tensors.clone(), "`signet check` lists the undamaged checkpoints of a run")
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

    /// Returns true if the header has a checksum, which was verified.
    pub fn has_header_sum(&self) -> bool {
        self.metadata(HEADER_KEY).is_some()
    }

    /// Fails if a tensor's bytes do not match its checksum. Each tensor is read once for this.
    pub fn verify(&self, name: &str) -> Result<(), FormatError> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let verified = || expected.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().contains(name) {
            return Ok(());
        }
        let (start, end) = self.info(name)?.data_offsets;
        let (start, end) = (self.data + start as u64, self.data + end as u64);
        let mut digester = Digester::default();
        for first in (start..end).step_by(PIECE as usize) {
            let part = self.bytes.part(first..end.min(first + PIECE));
            digester.update(&part.map_err(|error| self.problem(format!("tensor {name} cannot be read: {error}")))?);
        }
        if expected.tensors.get(name) != Some(&digester.digest()) {
            return Err(self.problem(format!("tensor {name} is damaged: its checksum does not match. {}", expected.advice)));
        }
        verified().insert(name.into());
        Ok(())
    }
}
