//! Files and directories being written: they get a name when complete, and leave nothing if dropped.

use super::{Disk, StoreSlot};
use crate::platform::Output;
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// A file being written.
pub(crate) struct Draft {
    slot: Rc<StoreSlot>,
    /// Bytes in the store.
    bytes: u64,
    buffer: Vec<u8>,
}

/// Bytes written to a store at once.
const BUFFER: usize = 256 << 10;

impl Draft {
    pub(super) fn new(slot: Rc<StoreSlot>) -> Self {
        Self { slot, bytes: 0, buffer: Vec::new() }
    }

    /// Extends the file with zeros to a length.
    pub(crate) fn extend(&mut self, bytes: u64) -> io::Result<()> {
        self.write_buffer()?;
        self.bytes = self.bytes.max(bytes);
        self.slot.store.resize(self.bytes)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.slot.store.write(self.bytes, &self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Waits until the data is on disk; returns the store, or `None` if the file is empty.
    pub(super) fn finish(mut self) -> io::Result<Option<Rc<StoreSlot>>> {
        if !self.buffer.is_empty() {
            self.write_buffer()?;
        }
        if self.bytes == 0 {
            return Ok(None);
        }
        self.slot.store.flush()?;
        Ok(Some(self.slot))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER && !self.buffer.is_empty() {
            self.write_buffer()?;
        }
        if bytes.len() >= BUFFER {
            self.slot.store.write(self.bytes, bytes)?;
            self.bytes += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.write_buffer() }
    }
}

impl Output for Draft {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.flush()?;
        self.slot.store.write(at, bytes)
    }
}

/// The finished parts of a directory, with their stores unless they are empty.
type DraftParts = Vec<(String, Option<Rc<StoreSlot>>)>;

/// A directory being written, part by part.
pub(crate) struct DiskCommit {
    path: String,
    parts: Rc<RefCell<DraftParts>>,
}

impl DiskCommit {
    /// Begins to write the directory `path`.
    pub(crate) fn begin(path: String) -> Self {
        Self { path, parts: Rc::default() }
    }

    /// Begins a file in the directory.
    pub(crate) fn part(&mut self, disk: &mut Disk, name: &str) -> io::Result<DiskCommitPart> {
        if name.is_empty() || name.contains('/') || self.parts.borrow().iter().any(|(known, _)| known == name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} cannot be the name of a part of a directory")));
        }
        Ok(DiskCommitPart { name: name.into(), draft: disk.draft()?, parts: self.parts.clone() })
    }

    /// Publishes the directory; fails if the path exists.
    pub(crate) fn finish_new(self, disk: &mut Disk) -> io::Result<()> {
        if disk.metadata(&self.path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this name already exists"));
        }
        self.finish(disk)
    }

    /// Publishes the directory with its finished parts, in place of an existing one.
    pub(crate) fn finish(self, disk: &mut Disk) -> io::Result<()> {
        disk.put_all(&self.path, self.parts.take())
    }
}

/// A file of a commit.
pub(crate) struct DiskCommitPart {
    name: String,
    draft: Draft,
    parts: Rc<RefCell<DraftParts>>,
}

impl DiskCommitPart {
    /// Waits until the file is on disk.
    pub(crate) fn end(self) -> io::Result<()> {
        let slot = self.draft.finish()?;
        self.parts.borrow_mut().push((self.name, slot));
        Ok(())
    }
}

impl Write for DiskCommitPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.draft.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}
