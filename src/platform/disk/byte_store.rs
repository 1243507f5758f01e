//! The stores of a disk: numbered opaque files, or memory.

use std::cell::{Cell, RefCell};
use std::io;

/// An opaque file.
pub(crate) trait ByteStore {
    /// Reads from byte `at` on; returns fewer bytes than asked for only at the end.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` from byte `at` on.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Truncates the store, or extends it with zeros.
    fn resize(&self, bytes: u64) -> io::Result<()>;

    /// Its length.
    fn bytes(&self) -> io::Result<u64>;

    /// Waits until all writes are on disk.
    fn flush(&self) -> io::Result<()>;
}

/// Reads up to `most` bytes.
pub(crate) fn read_part(store: &dyn ByteStore, at: u64, most: u64) -> io::Result<Vec<u8>> {
    let length = most.min(store.bytes()?.saturating_sub(at));
    let length = usize::try_from(length).map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "more bytes than fit in memory"))?;
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match store.read(at + done as u64, &mut bytes[done..])? {
            0 => break,
            more => done += more,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// A store with its number in the index. It is not reused while a clone exists.
pub(crate) struct StoreSlot {
    pub(crate) number: u32,
    pub(crate) store: Box<dyn ByteStore>,
    /// True if it is empty.
    pub(super) is_empty: Cell<bool>,
    /// True if it was large: the browser reserves that space until it is closed.
    pub(super) was_large: Cell<bool>,
}

impl StoreSlot {
    pub(super) fn new(number: u32, store: Box<dyn ByteStore>) -> Self {
        Self { number, store, is_empty: Cell::new(false), was_large: Cell::new(false) }
    }
}

/// A store in memory.
#[derive(Default)]
pub(crate) struct Memory(RefCell<Vec<u8>>);

impl ByteStore for Memory {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.borrow();
        let from = bytes.get(at as usize..).unwrap_or_default();
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write(&self, at: u64, from: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.borrow_mut();
        let end = at as usize + from.len();
        let more = end.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "the page has no more memory"))?;
        if more > 0 {
            bytes.resize(end, 0);
        }
        bytes[at as usize..end].copy_from_slice(from);
        Ok(())
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        let mut bytes = self.0.borrow_mut();
        let length = length as usize;
        let more = length.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "the page has no more memory"))?;
        bytes.resize(length, 0);
        if length == 0 {
            bytes.shrink_to_fit();
        }
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.borrow().len() as u64)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A store that no longer exists.
pub(super) struct RemovedStore;

impl RemovedStore {
    fn error<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::NotFound, "the browser has removed the data of this file"))
    }
}

impl ByteStore for RemovedStore {
    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Self::error()
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Self::error()
    }

    fn resize(&self, _: u64) -> io::Result<()> {
        Self::error()
    }

    fn bytes(&self) -> io::Result<u64> {
        Self::error()
    }

    fn flush(&self) -> io::Result<()> {
        Self::error()
    }
}
