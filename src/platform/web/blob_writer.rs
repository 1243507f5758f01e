//! A download for the user: written in pieces to the browser's memory, then handed to the page, which offers it.

use super::failure::error;
use crate::platform::Output;
use js_sys::{Array, Uint8Array};
use std::io::{self, Write};
use web_sys::Blob;

/// The directory of downloads.
pub(super) const DOWNLOADS: &str = "/downloads";
/// Bytes per piece.
const PIECE: usize = 1 << 20;

/// A download being written.
#[derive(Default)]
pub(super) struct BlobWriter {
    pieces: Array,
    buffer: Vec<u8>,
}

impl BlobWriter {
    fn write_buffer(&mut self) -> io::Result<()> {
        let bytes = Array::of1(&Uint8Array::from(&self.buffer[..]));
        let piece = Blob::new_with_u8_array_sequence(&bytes).map_err(error)?;
        self.pieces.push(&piece.into());
        self.buffer.clear();
        Ok(())
    }

    /// Hands it to the page.
    pub(super) fn offer(mut self, name: &str) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.write_buffer()?;
        }
        let blob = Blob::new_with_blob_sequence(&self.pieces).map_err(error)?;
        super::link::offer_download(name, &blob);
        Ok(())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE {
            self.write_buffer()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for BlobWriter {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_buffer()?;
        let whole = Blob::new_with_blob_sequence(&self.pieces).map_err(error)?;
        let (start, end) = (at as f64, (at + bytes.len() as u64) as f64);
        let before = whole.slice_with_f64_and_f64(0.0, start).map_err(error)?;
        let behind = whole.slice_with_f64_and_f64(end, whole.size()).map_err(error)?;
        self.pieces = Array::of1(&before.into());
        self.buffer.extend_from_slice(bytes);
        self.write_buffer()?;
        self.pieces.push(&behind.into());
        Ok(())
    }
}
