//! Checksums of a file by block, so that a read verifies only the blocks that it touches.

use crate::formats::{Digest, Digester};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a block; the last may be shorter.
const BLOCK: u64 = 64 << 10;

/// A writer that computes the checksum of each block.
pub(super) struct BlockWriter<W> {
    to: W,
    digester: Digester,
    /// Bytes in the current block.
    filled: u64,
    digests: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, digester: Digester::default(), filled: 0, digests: Vec::new() }
    }

    /// Returns the inner writer and the checksums, in the format of [`Blocks::new`].
    pub(super) fn finish(mut self) -> (W, Vec<u8>) {
        self.end_block();
        (self.to, self.digests)
    }

    fn end_block(&mut self) {
        if self.filled > 0 {
            let Digest(digest) = std::mem::take(&mut self.digester).digest();
            self.digests.extend(digest.to_le_bytes());
            self.filled = 0;
        }
    }
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        let mut rest = &bytes[..written];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min((BLOCK - self.filled) as usize));
            self.digester.update(part);
            self.filled += part.len() as u64;
            if self.filled == BLOCK {
                self.end_block();
            }
            rest = after;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Checksums of a file's blocks, and a bit for each block that was verified.
pub(super) struct Blocks {
    /// Bytes of the file.
    length: u64,
    digests: Vec<u64>,
    /// One bit per block.
    verified: Vec<AtomicU64>,
}

impl Blocks {
    /// Bytes of the checksums of a file of `length` bytes.
    pub(super) fn bytes(length: u64) -> u64 {
        8 * length.div_ceil(BLOCK)
    }

    /// Loads the checksums of a file of `length` bytes, as [`BlockWriter`] returns them.
    pub(super) fn new(length: u64, digests: &[u8]) -> Self {
        let digests: Vec<u64> = digests.as_chunks().0.iter().map(|digest| u64::from_le_bytes(*digest)).collect();
        let verified = (0..digests.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { length, digests, verified }
    }

    /// Verifies the blocks that overlap `range` and were not verified before. `read` reads a range of the file.
    pub(super) fn verify<'a>(&self, range: Range<u64>, read: impl Fn(Range<u64>) -> io::Result<Cow<'a, [u8]>>) -> io::Result<()> {
        for block in range.start / BLOCK..range.end.min(self.length).div_ceil(BLOCK) {
            let (word, bit) = (&self.verified[(block / 64) as usize], 1 << (block % 64));
            if word.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let bytes = read(block * BLOCK..self.length.min((block + 1) * BLOCK))?;
            if Digest::of(&bytes) != Digest(self.digests[block as usize]) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the checksum of the block at byte {} does not match", block * BLOCK)));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn written(bytes: &[u8]) -> Blocks {
        let mut writer = BlockWriter::new(Vec::new());
        bytes.chunks(10_001).for_each(|part| writer.write_all(part).unwrap());
        let (out, digests) = writer.finish();
        assert!(out == bytes && digests.len() as u64 == Blocks::bytes(bytes.len() as u64));
        Blocks::new(bytes.len() as u64, &digests)
    }

    #[test]
    fn a_block_is_verified_once_and_only_where_it_is_read() {
        let mut bytes: Vec<u8> = (0..200_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let blocks = written(&bytes);
        bytes[150_000] ^= 1;
        let reads = RefCell::new(Vec::new());
        let read = |range: Range<u64>| {
            reads.borrow_mut().push(range.start / BLOCK);
            Ok(Cow::Borrowed(&bytes[range.start as usize..range.end as usize]))
        };
        blocks.verify(0..10, read).unwrap();
        blocks.verify(65_000..66_000, read).unwrap();
        blocks.verify(70_000..131_072, read).unwrap();
        blocks.verify(199_999..200_000, read).unwrap();
        assert!(blocks.verify(131_072..131_073, read).unwrap_err().to_string().contains("131072"));
        assert_eq!(*reads.borrow(), [0, 1, 3, 2]);
        blocks.verify(5..5, read).unwrap();
    }

    #[test]
    fn a_file_may_be_empty() {
        written(&[]).verify(0..0, |_| unreachable!()).unwrap();
    }
}
