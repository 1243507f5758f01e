//! Where a file's bytes are, and some of them at a time.

use super::{Checksum, FormatError};
use crate::platform::Mapped;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// So many bytes of a file are looked at at once, where it cannot be mapped: a multiple of 8.
pub(super) const PIECE: u64 = 8 << 20;

/// A file's bytes.
pub(super) enum Bytes {
    Mapped(Mapped),
    Embedded(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    /// Maps a file.
    pub(super) fn open(path: &Path) -> Result<Self, FormatError> {
        Mapped::open(path).map(Bytes::Mapped).map_err(|error| FormatError::new(path, format!("cannot be opened: {error}")))
    }

    /// How many there are.
    pub(super) fn length(&self) -> u64 {
        match self {
            Bytes::Mapped(map) => map.bytes(),
            Bytes::Embedded(bytes) => bytes.len() as u64,
            Bytes::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// Some of them, which must be there.
    pub(super) fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let within = range.start as usize..range.end as usize;
        match self {
            Bytes::Mapped(map) => map.part(range),
            Bytes::Embedded(bytes) => Ok(Cow::Borrowed(&bytes[within])),
            Bytes::Owned(bytes) => Ok(Cow::Borrowed(&bytes[within])),
        }
    }

    /// Their checksum after that of what came `before` (0 at the start).
    pub(super) fn checksum(&self, before: u64) -> io::Result<u64> {
        let length = self.length();
        let whole = length / 8 * 8;
        let mut sum = Checksum::new(before, length);
        for start in (0..whole).step_by(PIECE as usize) {
            sum = sum.with(&self.part(start..whole.min(start + PIECE))?);
        }
        Ok(sum.finish(&self.part(whole..length)?))
    }
}
