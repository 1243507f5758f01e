//! PyTorch files before version 1.6: concatenated pickles (magic number, format version, machine info, object, storage
//! keys), then the storages in the order of the keys.

use super::pickle::{MAX_PICKLE, PickleValue, Unpickler};
use super::rebuild::StateDict;
use crate::formats::bytes::FileBytes;
use std::collections::HashMap;

/// The pickled magic number, without the protocol.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// The magic number is within the first 32 bytes.
const START: usize = 32;
/// The only version of the format.
const VERSION: i64 = 1001;

/// Returns true if a file begins like one of PyTorch before 1.6.
pub(super) fn begins(start: &[u8]) -> bool {
    start[..start.len().min(START)].windows(MAGIC.len()).any(|bytes| bytes == MAGIC)
}

/// The first byte and the length in bytes of each storage.
pub(super) type Storages<'a> = HashMap<&'a str, (u64, u64)>;

/// Reads the start of a file, which contains the pickles.
pub(super) fn beginning(bytes: &FileBytes) -> Result<std::borrow::Cow<'_, [u8]>, String> {
    bytes.part(0..bytes.length().min(MAX_PICKLE)).map_err(|error| format!("cannot be read: {error}"))
}

/// Reads a file's state dict and its storages; `start` is its [`beginning`].
pub(super) fn read<'a>(start: &'a [u8], bytes: &FileBytes) -> Result<(StateDict<'a>, Storages<'a>), String> {
    let (magic, _) = Unpickler::read(start)?;
    let (version, top) = Unpickler::read(magic.rest())?;
    if !matches!(version.value(top), PickleValue::Whole(VERSION)) {
        return Err(format!("its format version is not {VERSION}"));
    }
    let (machine, _) = Unpickler::read(version.rest())?;
    let (object, top) = Unpickler::read(machine.rest())?;
    let dict = object.state_dict(top)?;
    let (keys, top) = Unpickler::read(object.rest())?;
    let PickleValue::List(list) = keys.value(top) else { return Err(format!("the keys of its storages are {}", keys.value(top).kind())) };
    let mut storages = Storages::new();
    let mut at = (start.len() - keys.rest().len()) as u64;
    for key in list {
        let PickleValue::Text(key) = *keys.value(*key) else { return Err("the key of a storage is not a text".into()) };
        let element_type = object.storages.get(key).ok_or_else(|| format!("storage {key:?} is not used by the state dict"))?;
        let short = || format!("storage {key:?} begins at byte {at}, past the end of the file ({} bytes)", bytes.length());
        let first = at.checked_add(8).filter(|first| *first <= bytes.length()).ok_or_else(short)?;
        let count = bytes.part(at..first).map_err(|error| format!("cannot be read: {error}"))?;
        let count = u64::from_le_bytes(count[..].try_into().expect("eight bytes"));
        let length = count.checked_mul(element_type.bytes() as u64).filter(|length| *length <= bytes.length() - first);
        let length = length.ok_or_else(|| format!("storage {key:?} has {count} elements at byte {at}, past the end of the file ({} bytes)", bytes.length()))?;
        storages.insert(key, (first, length));
        at = first + length;
    }
    Ok((dict, storages))
}
