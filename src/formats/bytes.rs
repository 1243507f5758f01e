//! The bytes of a file, read by range.

use super::element_type::ElementType;
use super::{Checksum, FormatError, content};
use crate::platform::RandomAccessFile;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes read at once where a file cannot be mapped: a multiple of 8.
pub(super) const PIECE: u64 = 8 << 20;

/// The bytes of a file, or in memory.
pub(super) enum FileBytes {
    File(RandomAccessFile),
    Embedded(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl FileBytes {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, FormatError> {
        RandomAccessFile::open(path).map(FileBytes::File).map_err(|error| FormatError::unreadable(path, error))
    }

    /// The number of bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            FileBytes::File(file) => file.bytes(),
            FileBytes::Embedded(bytes) => bytes.len() as u64,
            FileBytes::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// Reads a range, which must exist.
    pub(super) fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let indices = range.start as usize..range.end as usize;
        match self {
            FileBytes::File(file) => file.part(range),
            FileBytes::Embedded(bytes) => Ok(Cow::Borrowed(&bytes[indices])),
            FileBytes::Owned(bytes) => Ok(Cow::Borrowed(&bytes[indices])),
        }
    }

    /// Reads the first bytes, enough to detect the kind of content.
    pub(super) fn start(&self) -> io::Result<Cow<'_, [u8]>> {
        self.part(0..self.length().min(content::START))
    }

    /// Reads elements of a float tensor that begins at byte `start`, as f32; an error describes the tensor.
    pub(super) fn floats(&self, number: ElementType, start: u64, elements: Range<usize>) -> Result<Vec<f32>, String> {
        number.expect_float()?;
        let mut values = Vec::with_capacity(elements.len());
        let at = |element: usize| start + (number.bytes() * element) as u64;
        let end = at(elements.end);
        for first in (at(elements.start)..end).step_by(PIECE as usize) {
            let bytes = self.part(first..end.min(first + PIECE)).map_err(|error| format!("cannot be read: {error}"))?;
            number.widen(&bytes, &mut values);
        }
        Ok(values)
    }

    /// The checksum of the bytes, continued from `before` (0 at the start).
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
