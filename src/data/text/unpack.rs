//! Streaming decompression: plain, gzip or zstd, by a file's first bytes. Memory and output are bounded by the size of
//! the file.

use crate::platform;
use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// Bytes that are read from a file at once.
pub(crate) const PIECE: usize = 256 << 10;
/// The largest zstd window: that of `zstd --long`.
const MAX_WINDOW: u64 = 128 << 20;
/// The window allowed for any file; larger files may use this many times their own size.
const SMALL_WINDOW: u64 = 8 << 20;
const WINDOW_SHARE: u64 = 64;
/// A file may unpack to this many times its size, or to `SMALL` bytes: text never compresses that well.
const MAX_RATIO: u64 = 500;
const SMALL: u64 = 64 << 20;

/// A file on disk, or embedded text, before decompression.
struct PackedReader {
    path: PathBuf,
    /// Bytes of the file.
    bytes: u64,
    /// The offset in the file of the buffer's end.
    at: u64,
    buffer: Cow<'static, [u8]>,
    used: usize,
}

impl PackedReader {
    fn consumed(&self) -> u64 {
        self.at - (self.buffer.len() - self.used) as u64
    }
}

impl BufRead for PackedReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() && self.at < self.bytes {
            let (piece, now) = platform::read_part(&self.path, self.at, PIECE as u64)?;
            if now != self.bytes || piece.is_empty() {
                return Err(io::Error::other("another program changed it while it was read"));
            }
            self.at += piece.len() as u64;
            (self.buffer, self.used) = (Cow::Owned(piece), 0);
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used += amount;
    }
}

impl Read for PackedReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(out.len());
        out[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

/// Concatenated gzip members; zero padding between and after them is skipped, as tapes and sectors leave it.
struct Gzip {
    member: Option<GzDecoder<PackedReader>>,
    /// The file between members and after the last one.
    rest: Option<PackedReader>,
}

/// Other data follows the gzip data.
#[derive(Debug, thiserror::Error)]
#[error("cannot read past its end: the bytes after it are not zeros")]
struct TrailingData;

impl Gzip {
    fn new(packed: PackedReader) -> Self {
        Self { member: Some(GzDecoder::new(packed)), rest: None }
    }

    fn packed(&self) -> &PackedReader {
        self.member.as_ref().map(GzDecoder::get_ref).or(self.rest.as_ref()).expect("the file is in one of the two")
    }

    /// Opens the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        self.rest = self.member.take().map(GzDecoder::into_inner);
        let follows = self.rest.as_mut().map_or(Ok(false), member_follows)?;
        if follows {
            self.member = self.rest.take().map(GzDecoder::new);
        }
        Ok(())
    }
}

/// Skips zero bytes; returns true if a member follows.
fn member_follows(packed: &mut PackedReader) -> io::Result<bool> {
    loop {
        let available = packed.fill_buf()?;
        if available.is_empty() {
            return Ok(false);
        }
        match available.iter().position(|byte| *byte != 0) {
            Some(zeros) => {
                let member = available[zeros] == 0x1f;
                packed.consume(zeros);
                return if member { Ok(true) } else { Err(io::Error::other(TrailingData)) };
            }
            None => {
                let zeros = available.len();
                packed.consume(zeros);
            }
        }
    }
}

impl Read for Gzip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let (Some(member), false) = (&mut self.member, out.is_empty()) {
            match member.read(out)? {
                0 => self.next_member()?,
                amount => return Ok(amount),
            }
        }
        Ok(0)
    }
}

/// Concatenated zstd frames; skippable frames are ignored.
struct Zstd {
    packed: PackedReader,
    decoder: FrameDecoder,
    /// True inside a frame.
    in_frame: bool,
}

impl Zstd {
    fn new(packed: PackedReader) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW.min(SMALL_WINDOW.max(packed.bytes.saturating_mul(WINDOW_SHARE))));
        Self { packed, decoder, in_frame: false }
    }

    /// Opens the next data frame; returns false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.packed).take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { requested: bytes, .. })
                | Err(FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { got: bytes })) => {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{bytes}")));
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl Read for Zstd {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            if !self.in_frame && !self.next_frame()? {
                break;
            }
            self.in_frame = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let decoded = self.decoder.decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|error| io::Error::other(error.to_string()))?;
            }
            let amount = self.decoder.read(out)?;
            if amount > 0 {
                return Ok(amount);
            }
            let written = self.decoder.get_checksum_from_data();
            if written.is_some() && written != self.decoder.get_calculated_checksum() {
                return Err(io::Error::other("its checksum is not that of its contents"));
            }
            self.in_frame = false;
        }
        Ok(0)
    }
}

enum Decoder {
    Plain(PackedReader),
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

/// A file's contents, decompressed as they are read.
pub(super) struct Unpacked {
    decoder: Decoder,
    /// Bytes returned.
    returned: u64,
}

impl Unpacked {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (start, bytes) = platform::read_part(path, 0, PIECE as u64)?;
        let packed = PackedReader { path: path.to_path_buf(), bytes, at: start.len() as u64, buffer: Cow::Owned(start), used: 0 };
        let decoder = match packed.buffer[..] {
            [0x1f, 0x8b, ..] => Decoder::Gzip(Box::new(Gzip::new(packed))),
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Decoder::Zstd(Box::new(Zstd::new(packed))),
            _ => Decoder::Plain(packed),
        };
        Ok(Self { decoder, returned: 0 })
    }

    /// Embedded text.
    pub(super) fn embedded(text: &'static str) -> Self {
        let bytes = text.len() as u64;
        let packed = PackedReader { path: PathBuf::new(), bytes, at: bytes, buffer: Cow::Borrowed(text.as_bytes()), used: 0 };
        Self { decoder: Decoder::Plain(packed), returned: 0 }
    }

    fn packed(&self) -> &PackedReader {
        match &self.decoder {
            Decoder::Plain(packed) => packed,
            Decoder::Gzip(decoder) => decoder.packed(),
            Decoder::Zstd(decoder) => &decoder.packed,
        }
    }

    /// Bytes of the file consumed so far.
    pub(super) fn consumed(&self) -> u64 {
        self.packed().consumed()
    }

    /// Fills `out` as far as the contents go; returns the number of bytes.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, String> {
        let mut filled = 0;
        while filled < out.len() {
            let amount = match &mut self.decoder {
                Decoder::Plain(packed) => packed.read(&mut out[filled..]),
                Decoder::Gzip(decoder) => decoder.read(&mut out[filled..]),
                Decoder::Zstd(decoder) => decoder.read(&mut out[filled..]),
            };
            match amount {
                Ok(0) => break,
                Ok(amount) => filled += amount,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(&error)),
            }
        }
        self.returned += filled as u64;
        let limit = SMALL + self.consumed().saturating_mul(MAX_RATIO);
        if self.returned > limit {
            return Err(format!(
                "its first {} bytes unpack to more than {MAX_RATIO} times as many, unlike any text. If this is meant, unpack it yourself",
                self.consumed()
            ));
        }
        Ok(filled)
    }

    fn explain(&self, error: &io::Error) -> String {
        let (kind, packed) = match self.decoder {
            Decoder::Plain(_) => return format!("cannot be read: {error}"),
            Decoder::Gzip(_) => ("gzip", self.packed()),
            Decoder::Zstd(_) => ("zstd", self.packed()),
        };
        if error.kind() == io::ErrorKind::Unsupported {
            return format!("cannot be unpacked: its zstd window of {error} bytes is too large for a file of this size. Compress it without --long or --ultra");
        }
        if error.get_ref().is_some_and(|error| error.is::<TrailingData>()) {
            let at = packed.consumed();
            return format!("cannot be unpacked: data other than zeros follows its gzip data at byte {at}. Get the file again");
        }
        if packed.consumed() == packed.bytes {
            return format!("is cut off: its {kind} data does not end after its {} bytes. Get the file again", packed.bytes);
        }
        format!("is damaged: its {kind} data is invalid at byte {} ({error}). Get the file again", packed.consumed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks a file that consists of these parts.
    fn unpacked(name: &str, parts: &[&[u8]]) -> Result<String, String> {
        let dir = std::env::temp_dir().join(format!("signet-unpack-{name}-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let path = dir.join("file.gz");
        platform::write_atomic(&path, &parts.concat()).unwrap();
        let mut out = vec![0; 1 << 20];
        let filled = Unpacked::open(&path).unwrap().fill(&mut out);
        platform::remove_dir(&dir).unwrap();
        filled.map(|filled| String::from_utf8(out[..filled].to_vec()).unwrap())
    }

    #[test]
    fn zero_padding_after_and_between_gzip_members_is_skipped() {
        let (one, two) = (gzip("one "), gzip("two"));
        // More than one read of the file.
        let zeros = vec![0; PIECE + 5];
        for (n, parts) in [&[&one[..], &two][..], &[&one, &two, &[0]], &[&one, &zeros, &two, &zeros], &[&one, &two, &zeros, &zeros]].iter().enumerate() {
            assert_eq!(unpacked(&format!("zeros-{n}"), parts).as_deref(), Ok("one two"), "{n}");
        }
    }

    #[test]
    fn trailing_data_after_gzip_is_refused_with_its_offset() {
        let (one, two) = (gzip("one "), gzip("two"));
        for (n, trailing) in [&b"letters"[..], b"\0\0letters", b"\x01"].into_iter().enumerate() {
            let zeros = trailing.iter().take_while(|byte| **byte == 0).count();
            let problem = unpacked(&format!("other-{n}"), &[&one, &two, trailing]).unwrap_err();
            assert!(problem.contains(&format!("at byte {}.", one.len() + two.len() + zeros)), "{problem}");
        }
        assert!(unpacked("header", &[&one, b"\x1f\x8cletters and so on"]).unwrap_err().contains("damaged"));
        for cut in 1..one.len() {
            let problem = unpacked(&format!("cut-{cut}"), &[&two, &one[..cut]]).unwrap_err();
            assert!(problem.contains("is cut off"), "{cut}: {problem}");
        }
    }
}
