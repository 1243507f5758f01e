//! Encodes and decodes a disk's index, the map from paths to stores. Two copies are written alternately, so that one
//! is always intact; decoding arbitrary bytes is safe.

use std::collections::BTreeSet;

/// An entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) path: String,
    pub(super) kind: EntryKind,
    /// Milliseconds since 1970.
    pub(super) modified: u64,
}

/// A directory, or a file with the number of its store; an empty file has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    File(Option<u32>),
}

/// Why an index cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It was never written.
    Empty,
    /// A later version wrote it.
    Newer,
    Damaged,
}

const MAGIC: &[u8; 8] = b"signet-i";
const FORMAT: u32 = 1;
/// Magic, format, length of the entries, sequence number, checksum.
const HEADER: usize = 32;
/// The longest path, which bounds memory.
pub(super) const PATH: usize = 4096;

/// An FNV-1a checksum, to detect incomplete writes.
fn sum(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| *part);
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Encodes an index with a sequence number.
pub(super) fn encode<'a>(sequence: u64, entries: impl Iterator<Item = (&'a str, EntryKind, u64)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (path, kind, modified) in entries {
        let (kind, slot) = match kind {
            EntryKind::Directory => (0, 0),
            EntryKind::File(None) => (1, 0),
            EntryKind::File(Some(slot)) => (2, slot),
        };
        body.extend((path.len() as u32).to_le_bytes());
        body.extend(path.as_bytes());
        body.push(kind);
        body.extend(slot.to_le_bytes());
        body.extend(modified.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(sum(&[&bytes, &body]).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Reads numbers and texts from a slice.
struct IndexReader<'a>(&'a [u8]);

impl<'a> IndexReader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.bytes(N)?.try_into().expect("N bytes were read"))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.number()?))
    }
}

/// Decodes an index into its sequence number and entries; trailing bytes are ignored.
pub(super) fn decode(bytes: &[u8]) -> Result<(u64, Vec<IndexEntry>), DecodeError> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(DecodeError::Empty);
    }
    let mut reader = IndexReader(bytes);
    if reader.bytes(MAGIC.len())? != MAGIC {
        return Err(DecodeError::Damaged);
    }
    let format = reader.u32()?;
    if format != FORMAT {
        return Err(if format > FORMAT { DecodeError::Newer } else { DecodeError::Damaged });
    }
    let length = reader.u32()? as usize;
    let (sequence, expected) = (reader.u64()?, reader.u64()?);
    let body = reader.bytes(length)?;
    if sum(&[&bytes[..HEADER - 8], body]) != expected {
        return Err(DecodeError::Damaged);
    }
    Ok((sequence, entries(body)?))
}

fn entries(body: &[u8]) -> Result<Vec<IndexEntry>, DecodeError> {
    let mut reader = IndexReader(body);
    let (mut found, mut paths, mut slots) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    while !reader.0.is_empty() {
        let length = reader.u32()? as usize;
        let path = std::str::from_utf8(reader.bytes(length)?).map_err(|_| DecodeError::Damaged)?;
        let kind = match (reader.number::<1>()?[0], reader.u32()?) {
            (0, 0) => EntryKind::Directory,
            (1, 0) => EntryKind::File(None),
            (2, slot) => EntryKind::File(Some(slot)),
            _ => return Err(DecodeError::Damaged),
        };
        let modified = reader.u64()?;
        let unshared = if let EntryKind::File(Some(slot)) = kind { slots.insert(slot) } else { true };
        if !is_path(path) || !paths.insert(path) || !unshared {
            return Err(DecodeError::Damaged);
        }
        found.push(IndexEntry { path: path.into(), kind, modified });
    }
    // Every parent must be a directory.
    let directories: BTreeSet<&str> = found.iter().filter(|entry| entry.kind == EntryKind::Directory).map(|entry| entry.path.as_str()).collect();
    let has_parent = |entry: &IndexEntry| matches!(entry.path.rsplit_once('/'), Some((parent, _)) if parent.is_empty() || directories.contains(parent));
    if found.iter().all(has_parent) { Ok(found) } else { Err(DecodeError::Damaged) }
}

/// Returns true if a path is normalized: `/a/b`.
fn is_path(path: &str) -> bool {
    let plain = |name: &str| !name.is_empty() && name != "." && name != "..";
    path.len() <= PATH && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// Decodes the later intact copy of two; `None` if none was ever written.
pub(super) fn latest(first: &[u8], second: &[u8]) -> Result<Option<(u64, Vec<IndexEntry>)>, DecodeError> {
    match (decode(first), decode(second)) {
        (Err(DecodeError::Newer), _) | (_, Err(DecodeError::Newer)) => Err(DecodeError::Newer),
        (Ok(a), Ok(b)) => Ok(Some(if a.0 > b.0 { a } else { b })),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(Some(one)),
        // A new disk writes both copies before use: the very first write was interrupted.
        (Err(_), Err(DecodeError::Empty)) | (Err(DecodeError::Empty), Err(_)) => Ok(None),
        (Err(_), Err(_)) => Err(DecodeError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sequence: u64) -> Vec<u8> {
        let entries = [("/a", EntryKind::Directory, 5), ("/a/b", EntryKind::File(Some(3)), 1 << 40), ("/a/é", EntryKind::File(None), 0)];
        encode(sequence, entries.into_iter())
    }

    #[test]
    fn the_index_round_trips() {
        let (sequence, entries) = decode(&sample(7)).unwrap();
        assert_eq!((sequence, entries.len()), (7, 3));
        assert_eq!(entries[1], IndexEntry { path: "/a/b".into(), kind: EntryKind::File(Some(3)), modified: 1 << 40 });
        let padded = [sample(7), vec![9; 100]].concat();
        assert_eq!(decode(&padded), decode(&sample(7)));
    }

    #[test]
    fn damage_is_detected_and_arbitrary_bytes_are_safe() {
        let good = sample(7);
        for length in 1..good.len() {
            assert_eq!(decode(&good[..length]), Err(DecodeError::Damaged), "{length}");
        }
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
        // Entries with a valid checksum that no disk writes.
        let bad = [
            vec![("a", EntryKind::Directory)],
            vec![("/a/../b", EntryKind::Directory)],
            vec![("/a/b", EntryKind::File(None))],
            vec![("/a", EntryKind::File(Some(1))), ("/b", EntryKind::File(Some(1)))],
            vec![("/a", EntryKind::Directory), ("/a", EntryKind::Directory)],
        ];
        for entries in bad {
            assert_eq!(decode(&encode(1, entries.into_iter().map(|(path, kind)| (path, kind, 0)))), Err(DecodeError::Damaged));
        }
    }

    #[test]
    fn the_later_intact_copy_counts() {
        let (old, new) = (sample(7), sample(8));
        let sequence = |first: &[u8], second: &[u8]| latest(first, second).unwrap().map(|(sequence, _)| sequence);
        assert_eq!(sequence(&old, &new), Some(8));
        assert_eq!(sequence(&new, &old), Some(8));
        assert_eq!(sequence(&old, &new[..40]), Some(7));
        assert_eq!(sequence(&[], &old), Some(7));
        assert_eq!(sequence(&[], &[0; 64]), None);
        assert_eq!(sequence(&old[..40], &[0; 64]), None);
        assert_eq!(latest(&old[..40], &new[..40]), Err(DecodeError::Damaged));
        let mut newer = new.clone();
        newer[8] = 9;
        assert_eq!(latest(&old, &newer), Err(DecodeError::Newer));
    }
}
