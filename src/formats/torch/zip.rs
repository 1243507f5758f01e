//! The directory of a zip archive, as far as PyTorch writes one. Stored entries are read in place; entries that another
//! program compressed are decompressed into memory, within a [`Budget`] that depends on the file's length. Supports
//! zip64. Memory is proportional to the directory.
//! Specification: PKWARE's APPNOTE 6.3.

use crate::formats::bytes::{FileBytes, PIECE};
use flate2::read::DeflateDecoder;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

/// The longest directory, in bytes: about half a million entries.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Bytes that all entries may decompress to: this many, and `MAX_RATIO` for each byte of the file.
const UNPACKED: u64 = 64 << 20;
const MAX_RATIO: u64 = 32;

/// Bytes of the end record, and of the longest comment after it.
const END: u64 = 22;
const COMMENT: u64 = 0xffff;

/// Compression methods.
const STORED: u64 = 0;
const DEFLATED: u64 = 8;

/// Entries by name.
pub(super) type ZipEntries = HashMap<String, ZipEntry>;

/// An entry of an archive.
pub(super) struct ZipEntry {
    /// Its bytes in the file.
    pub(super) range: Range<u64>,
    /// Its uncompressed length.
    pub(super) length: u64,
    /// True if it is compressed.
    pub(super) packed: bool,
}

/// The bytes that may still be decompressed.
pub(super) struct Budget(u64);

impl Budget {
    /// The budget of a file.
    pub(super) fn of(file: &FileBytes) -> Self {
        Self(UNPACKED.saturating_add(file.length().saturating_mul(MAX_RATIO)))
    }
}

impl ZipEntry {
    /// Reads the entry's contents.
    pub(super) fn read<'a>(&self, file: &'a FileBytes, budget: &mut Budget) -> Result<Cow<'a, [u8]>, String> {
        let bytes = file.part(self.range.clone()).map_err(|error| format!("cannot be read: {error}"))?;
        if !self.packed {
            return Ok(bytes);
        }
        let Some(left) = budget.0.checked_sub(self.length) else {
            return Err(format!("has a compressed entry of {} bytes, above the limit. Write it again with torch.save", self.length));
        };
        budget.0 = left;
        let mut unpacked = Vec::new();
        // One byte more than expected shows that there are too many.
        let read = DeflateDecoder::new(&bytes[..]).take(self.length + 1).read_to_end(&mut unpacked);
        match read {
            Ok(length) if length as u64 == self.length => Ok(Cow::Owned(unpacked)),
            _ => Err("has a compressed entry that is damaged. If it was copied or downloaded, do so again".into()),
        }
    }
}

/// Fields of a record, little-endian; the caller ensures its length.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn u16(&self, at: usize) -> u64 {
        u64::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn u32(&self, at: usize) -> u64 {
        self.u16(at) | self.u16(at + 2) << 16
    }

    fn u64(&self, at: usize) -> u64 {
        self.u32(at) | self.u32(at + 4) << 32
    }
}

/// Reads `length` bytes at `at`, if the file has them.
fn part(file: &FileBytes, at: u64, length: u64, what: &str) -> Result<Vec<u8>, String> {
    let end = at.checked_add(length).filter(|end| *end <= file.length());
    let end = end.ok_or_else(|| format!("{what} is at byte {at}, past the end of the file ({} bytes)", file.length()))?;
    Ok(file.part(at..end).map_err(|error| error.to_string())?.into_owned())
}

/// The same for a record, which must begin with `magic`.
fn record(file: &FileBytes, at: u64, length: u64, magic: &[u8; 4], what: &str) -> Result<Vec<u8>, String> {
    let bytes = part(file, at, length, what)?;
    if bytes.starts_with(magic) { Ok(bytes) } else { Err(format!("there is no {what} at byte {at}")) }
}

/// Reads all entries of an archive.
pub(super) fn entries(file: &FileBytes) -> Result<ZipEntries, String> {
    let (count, table, start) = directory(file)?;
    let mut rest = &table[..];
    let mut entries = ZipEntries::new();
    for _ in 0..count {
        let Some((head, after_head)) = rest.split_at_checked(46).filter(|(head, _)| head.starts_with(b"PK\x01\x02")) else {
            return Err(format!("its directory ends after {} of {count} entries", entries.len()));
        };
        let head = Record(head);
        let [name, extra, comment] = [28, 30, 32].map(|at| head.u16(at) as usize);
        if after_head.len() < name + extra + comment {
            return Err(format!("its directory ends within entry {}", entries.len()));
        }
        let (name, more) = after_head.split_at(name);
        let name = std::str::from_utf8(name).map_err(|_| format!("the name of entry {} is not UTF-8", entries.len()))?;
        let entry = locate(file, &head, name, &more[..extra], start)?;
        if entries.insert(name.to_string(), entry).is_some() {
            return Err(format!("it has two entries named {name}"));
        }
        rest = &more[extra + comment..];
    }
    check_overlaps(&entries)?;
    Ok(entries)
}

/// Fails if entries overlap: a small file could have any number of large ones.
fn check_overlaps(entries: &ZipEntries) -> Result<(), String> {
    let mut ranges: Vec<(&Range<u64>, &str)> = entries.iter().map(|(name, entry)| (&entry.range, name.as_str())).collect();
    ranges.retain(|(range, _)| !range.is_empty());
    ranges.sort_unstable_by_key(|(range, _)| range.start);
    match ranges.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        Some(pair) => Err(format!("its entries {} and {} overlap", pair[0].1, pair[1].1)),
        None => Ok(()),
    }
}

/// The number of entries, the directory, and its offset.
fn directory(file: &FileBytes) -> Result<(u64, Vec<u8>, u64), String> {
    let last = length_without_zeros(file)?;
    let from = last.saturating_sub(END + COMMENT);
    // The end record may itself end in zeros.
    let tail = part(file, from, (last + END).min(file.length()) - from, "its end")?;
    // A comment, or anything else, may follow the end record: the last one that is valid counts.
    let ends = (0..(tail.len() + 1).saturating_sub(END as usize)).rev().filter(|at| tail[*at..].starts_with(b"PK\x05\x06"));
    let mut problem = "it does not end as a zip archive does".to_string();
    for at in ends {
        match table(file, &Record(&tail[at..]), from + at as u64) {
            Ok(directory) => return Ok(directory),
            Err(why) => problem = why,
        }
    }
    Err(problem)
}

/// The length of a file without trailing zeros.
fn length_without_zeros(file: &FileBytes) -> Result<u64, String> {
    let mut end = file.length();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        let piece = file.part(start..end).map_err(|error| error.to_string())?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The same from the end record at byte `at`.
fn table(file: &FileBytes, end: &Record, at: u64) -> Result<(u64, Vec<u8>, u64), String> {
    let (mut count, mut length, mut start) = (end.u16(10), end.u32(12), end.u32(16));
    if count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff {
        let at = at.checked_sub(20).ok_or("it has no room for its zip64 locator")?;
        let locator = record(file, at, 20, b"PK\x06\x07", "zip64 locator")?;
        let end = record(file, Record(&locator).u64(8), 56, b"PK\x06\x06", "zip64 end")?;
        let end = Record(&end);
        (count, length, start) = (end.u64(32), end.u64(40), end.u64(48));
    }
    if length > MAX_DIRECTORY || count > length / 46 || start.checked_add(length).is_none_or(|end| end > at) {
        return Err(format!("its directory has {count} entries in {length} bytes from byte {start} on, which is impossible"));
    }
    Ok((count, part(file, start, length, "its table of contents")?, start))
}

/// Locates an entry's data: after its own header, before the directory at `limit`.
fn locate(file: &FileBytes, head: &Record, name: &str, extra: &[u8], limit: u64) -> Result<ZipEntry, String> {
    let method = head.u16(10);
    if head.u16(8) & 1 != 0 || ![STORED, DEFLATED].contains(&method) {
        return Err(format!("entry {name} is encrypted, or compressed by a method that PyTorch does not read"));
    }
    let (packed, size, at) = sizes(head, extra).ok_or_else(|| format!("entry {name} has no sizes"))?;
    let own = record(file, at, 30, b"PK\x03\x04", &format!("header of entry {name}"))?;
    let own = Record(&own);
    let start = at + 30 + own.u16(26) + own.u16(28);
    if method == STORED && packed != size || start.checked_add(packed).is_none_or(|end| end > limit) {
        return Err(format!("entry {name} has {packed} bytes from byte {start} on, but only {} are there", limit.saturating_sub(start)));
    }
    Ok(ZipEntry { range: start..start + packed, length: size, packed: method == DEFLATED })
}

/// Compressed size, size and offset; those that exceed 32 bits are in an extra field.
fn sizes(head: &Record, extra: &[u8]) -> Option<(u64, u64, u64)> {
    let (mut packed, mut size, mut at) = (head.u32(20), head.u32(24), head.u32(42));
    let mut rest = extra;
    while let Some((field, tail)) = rest.split_at_checked(4) {
        let (field, length) = (Record(field).u16(0), Record(field).u16(2) as usize);
        let (body, after) = tail.split_at_checked(length)?;
        if field == 1 {
            let mut wide = body.as_chunks::<8>().0.iter().map(|bytes| Record(bytes).u64(0));
            for value in [&mut size, &mut packed, &mut at] {
                if *value == 0xffff_ffff {
                    *value = wide.next()?;
                }
            }
        }
        rest = after;
    }
    Some((packed, size, at))
}
