//! Reads a file's header sequentially. Stated lengths are checked against the file's size before use.

use super::super::FormatError;
use super::super::bytes::{FileBytes, PIECE};
use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;

/// A sequential reader; `what` in its methods describes the item for errors.
pub(super) struct HeaderReader<'a> {
    path: &'a Path,
    bytes: &'a FileBytes,
    at: u64,
    /// Buffered bytes, and the offset of the first.
    piece: Cow<'a, [u8]>,
    first: u64,
}

impl<'a> HeaderReader<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a FileBytes) -> Self {
        Self { path, bytes, at: 0, piece: Cow::Borrowed(&[]), first: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes left to the end.
    pub(super) fn remaining(&self) -> u64 {
        self.bytes.length() - self.at
    }

    pub(super) fn problem(&self, problem: impl Display) -> FormatError {
        FormatError::new(self.path, problem)
    }

    /// Reads the next `count` bytes.
    pub(super) fn read_bytes(&mut self, count: u64, what: &dyn Display) -> Result<&[u8], FormatError> {
        if count > self.remaining() {
            let (at, remaining) = (self.at, self.remaining());
            return Err(self.problem(format!("{what} takes {count} bytes at byte {at}, but the file has only {remaining} more: it is damaged or incomplete")));
        }
        let end = self.at + count;
        if self.at < self.first || end > self.first + self.piece.len() as u64 {
            let ahead = end.max(self.bytes.length().min(self.at + PIECE));
            self.piece = self.bytes.part(self.at..ahead).map_err(|error| self.problem(format!("cannot be read: {error}")))?;
            self.first = self.at;
        }
        let start = (self.at - self.first) as usize;
        self.at = end;
        Ok(&self.piece[start..start + count as usize])
    }

    fn array<const N: usize>(&mut self, what: &dyn Display) -> Result<[u8; N], FormatError> {
        Ok(self.read_bytes(N as u64, what)?.try_into().expect("N bytes were read"))
    }

    pub(super) fn u32(&mut self, what: &dyn Display) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &dyn Display) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Reads the number of items that follow, which take at least `min_bytes` bytes each.
    pub(super) fn count(&mut self, min_bytes: u64, what: &dyn Display) -> Result<u64, FormatError> {
        let count = self.u64(what)?;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.remaining() => Ok(count),
            _ => Err(self.problem(format!("{what} is {count}, but only {} bytes follow: the file is damaged or incomplete", self.remaining()))),
        }
    }

    /// Reads a length-prefixed text.
    pub(super) fn text(&mut self, what: &dyn Display) -> Result<String, FormatError> {
        let length = self.count(1, &format_args!("the length of {what}"))?;
        let bytes = self.read_bytes(length, what)?.to_vec();
        String::from_utf8(bytes).map_err(|error| self.problem(format!("{what} is not UTF-8 text ({error})")))
    }
}
