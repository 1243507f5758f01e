//! The table of contents of a zip archive, as far as PyTorch writes one: which bytes of the file are which
//! entry. Entries are stored as they are, so that tensors can be read where they lie; a compressed one is
//! refused. Sizes and offsets past 4 GiB (zip64) are understood. Memory follows the table alone.
//! Layout: PKWARE's APPNOTE 6.3.

use crate::formats::bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;

/// The longest table of contents that is read, in bytes: some half a million entries.
const LONGEST: u64 = 64 << 20;

/// The end of the archive, and the longest comment behind it.
const END: u64 = 22;
const COMMENT: u64 = 0xffff;

/// Each entry's bytes by its name.
pub(super) type Entries = HashMap<String, Range<u64>>;

/// Numbers of a record, little-endian; the record is as long as its reader said.
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

/// `length` bytes from `at` on, if the file has them.
fn part(file: &Bytes, at: u64, length: u64, what: &str) -> Result<Vec<u8>, String> {
    let end = at.checked_add(length).filter(|end| *end <= file.length());
    let end = end.ok_or_else(|| format!("{what} would lie at byte {at}, and the file has {}", file.length()))?;
    Ok(file.part(at..end).map_err(|error| error.to_string())?.into_owned())
}

/// The same, where they must begin with `magic`.
fn record(file: &Bytes, at: u64, length: u64, magic: &[u8; 4], what: &str) -> Result<Vec<u8>, String> {
    let bytes = part(file, at, length, what)?;
    if bytes.starts_with(magic) { Ok(bytes) } else { Err(format!("there is no {what} at byte {at}")) }
}

/// Every entry of an archive; what is wrong with it otherwise.
pub(super) fn entries(file: &Bytes) -> Result<Entries, String> {
    let (count, table, start) = contents(file)?;
    let mut rest = &table[..];
    let mut entries = Entries::new();
    for _ in 0..count {
        let Some((head, behind)) = rest.split_at_checked(46).filter(|(head, _)| head.starts_with(b"PK\x01\x02")) else {
            return Err(format!("its table of contents ends after {} of {count} entries", entries.len()));
        };
        let head = Record(head);
        let [name, extra, comment] = [28, 30, 32].map(|at| head.u16(at) as usize);
        if behind.len() < name + extra + comment {
            return Err(format!("its table of contents ends within entry {}", entries.len()));
        }
        let (name, more) = behind.split_at(name);
        let name = std::str::from_utf8(name).map_err(|_| format!("the name of entry {} is no UTF-8", entries.len()))?;
        let range = located(file, &head, name, &more[..extra], start)?;
        if entries.insert(name.to_string(), range).is_some() {
            return Err(format!("it has two entries called {name}"));
        }
        rest = &more[extra + comment..];
    }
    Ok(entries)
}

/// The number of entries, the table of contents, and where that begins.
fn contents(file: &Bytes) -> Result<(u64, Vec<u8>, u64), String> {
    let from = file.length().saturating_sub(END + COMMENT);
    let tail = part(file, from, file.length() - from, "its end")?;
    let ends = |at: &usize| tail[*at..].starts_with(b"PK\x05\x06") && at + END as usize + Record(&tail[*at..]).u16(20) as usize == tail.len();
    let Some(at) = (0..(tail.len() + 1).saturating_sub(END as usize)).rev().find(ends) else {
        return Err("it does not end as a zip archive does".into());
    };
    let end = Record(&tail[at..]);
    let (mut count, mut length, mut start) = (end.u16(10), end.u32(12), end.u32(16));
    if count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff {
        let at = (from + at as u64).checked_sub(20).ok_or("it has no room for its zip64 locator")?;
        let locator = record(file, at, 20, b"PK\x06\x07", "zip64 locator")?;
        let end = record(file, Record(&locator).u64(8), 56, b"PK\x06\x06", "zip64 end")?;
        let end = Record(&end);
        (count, length, start) = (end.u64(32), end.u64(40), end.u64(48));
    }
    if length > LONGEST || count > length / 46 {
        return Err(format!("its table of contents would have {count} entries in {length} bytes"));
    }
    Ok((count, part(file, start, length, "its table of contents")?, start))
}

/// Where an entry's bytes lie: behind its own header, before the table of contents, which begins at `limit`.
fn located(file: &Bytes, head: &Record, name: &str, extra: &[u8], limit: u64) -> Result<Range<u64>, String> {
    if head.u16(8) & 1 != 0 || head.u16(10) != 0 {
        return Err(format!("entry {name} is compressed or encrypted, which torch.save does not do"));
    }
    let (packed, size, at) = sizes(head, extra).ok_or_else(|| format!("entry {name} has no sizes"))?;
    let own = record(file, at, 30, b"PK\x03\x04", &format!("header of entry {name}"))?;
    let own = Record(&own);
    let start = at + 30 + own.u16(26) + own.u16(28);
    if packed != size || start.checked_add(size).is_none_or(|end| end > limit) {
        return Err(format!("entry {name} would have {size} bytes from byte {start} on, and there are {}", limit.saturating_sub(start)));
    }
    Ok(start..start + size)
}

/// Stored size, size and offset: where the header has no room for one, an extra field has it.
fn sizes(head: &Record, extra: &[u8]) -> Option<(u64, u64, u64)> {
    let (mut packed, mut size, mut at) = (head.u32(20), head.u32(24), head.u32(42));
    let mut rest = extra;
    while let Some((field, behind)) = rest.split_at_checked(4) {
        let (field, length) = (Record(field).u16(0), Record(field).u16(2) as usize);
        let (body, after) = behind.split_at_checked(length)?;
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
