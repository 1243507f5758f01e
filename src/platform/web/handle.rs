//! A file of the origin private file system, open for reading and writing in place.

use super::failure::error;
use crate::platform::disk::ByteStore;
use std::io;
use web_sys::{FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

/// Closed on drop.
pub(super) struct Handle(pub(super) FileSystemSyncAccessHandle);

/// Bytes per call: browsers have limits above this.
const CALL: usize = 16 << 20;

fn at(byte: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(byte as f64);
    options
}

impl ByteStore for Handle {
    fn read(&self, from: u64, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(CALL);
        let read = self.0.read_with_u8_array_and_options(&mut into[..length], &at(from)).map_err(error)?;
        Ok(read as usize)
    }

    fn write(&self, to: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let part = &bytes[done..bytes.len().min(done + CALL)];
            let written = self.0.write_with_u8_array_and_options(part, &at(to + done as u64)).map_err(error)? as usize;
            if written == 0 {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk with the browser's storage is full"));
            }
            done += written;
        }
        Ok(())
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate_with_f64(bytes as f64).map_err(error)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.get_size().map(|bytes| bytes as u64).map_err(error)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush().map_err(error)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}
