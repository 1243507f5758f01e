//! Stored checksums: of a safetensors file's header and tensors, of the files of a directory, and of a JSON text in
//! that text.

use super::{Digest, FormatError};
use crate::platform;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The safetensors metadata with the tensors' checksums, a JSON object by name.
pub(super) const TENSORS_KEY: &str = "signet.checksums";
/// The safetensors metadata with the header's checksum.
pub(super) const HEADER_KEY: &str = "signet.header";
/// The file of a directory with the checksums of the others.
const FILE: &str = "state.json";

/// The checksums of a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSums {
    /// Of names, types, shapes and metadata; see [`header_digest`].
    pub header: Digest,
    /// Of each tensor's bytes.
    pub tensors: BTreeMap<String, Digest>,
}

/// The digest of a safetensors header, independent of the order of its entries: that of the compact JSON
/// `[metadata, [[name, type, shape], …]]`, both sorted by name, without the metadata that hold this digest.
pub fn header_digest<'a>(tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>, metadata: impl IntoIterator<Item = (&'a str, &'a str)>) -> Digest {
    let metadata: BTreeMap<&str, &str> = metadata.into_iter().filter(|(key, _)| *key != HEADER_KEY).collect();
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(name, ..)| *name);
    Digest::of(&serde_json::to_vec(&(metadata, tensors)).expect("texts and numbers"))
}

/// The checksum of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileSum {
    /// Of its bytes.
    Bytes(Digest),
    /// Of its header and tensors.
    Tensors(TensorSums),
}

/// The checksums of a directory's files, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileSums(pub BTreeMap<String, FileSum>);

impl FileSums {
    /// Reads them from a directory's `state.json`; `None` if it does not exist or is of an earlier version.
    pub fn of_directory(dir: &Path) -> Result<Option<Self>, FormatError> {
        let file = dir.join(FILE);
        let text = match platform::read_text(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FormatError::new(&file, format!("cannot be read: {error}"))),
        };
        match parse_checksummed_json(&file, &text) {
            Ok(value) => Self::of_state(&file, &value),
            // Without a checkpoint next to it, a file of this name is not Signet's.
            Err(_) if !platform::exists(&dir.join("optimizer.safetensors")) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads them from the parsed `state.json`.
    pub fn of_state(file: &Path, state: &Value) -> Result<Option<Self>, FormatError> {
        let sums = state.get("checksums").map(Self::deserialize).transpose();
        sums.map_err(|error| FormatError::new(file, format!("checksums: {error}")))
    }

    /// The checksums of a safetensors file, if it has any.
    pub fn tensors(&self, name: &str) -> Option<&TensorSums> {
        if let Some(FileSum::Tensors(sums)) = self.0.get(name) { Some(sums) } else { None }
    }

    /// Fails if the bytes of a file do not match its checksum.
    pub fn verify(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        match self.0.get(name) {
            Some(FileSum::Bytes(sum)) if *sum != Digest::of(bytes) => Err(CHANGED.into()),
            _ => Ok(()),
        }
    }
}

/// The error of a file that does not match its checksum in `state.json`.
pub(super) const CHANGED: &str =
    "is damaged or was edited: its checksum in state.json does not match. If you edited it, copy the directory without state.json and use the copy";

/// The prefix of a text's own checksum, as [`to_checksummed_json`] writes it.
const OWN: &str = "\"checksum\": \"";

/// Serializes a JSON object with a checksum of its own text, which is computed with zeros for its digits.
pub fn to_checksummed_json(mut value: Value) -> String {
    value["checksum"] = Digest::UNKNOWN.to_string().into();
    let text = serde_json::to_string_pretty(&value).expect("plain data");
    let unknown = |digest: Digest| format!("{OWN}{digest}");
    text.replacen(&unknown(Digest::UNKNOWN), &unknown(Digest::of(text.as_bytes())), 1)
}

/// Parses a text that [`to_checksummed_json`] wrote, or one without checksums; fails if it is damaged.
pub fn parse_checksummed_json(path: &Path, text: &str) -> Result<Value, FormatError> {
    let damaged = || FormatError::new(path, "is damaged, or was edited since it was written: its checksum does not match");
    let length = Digest::UNKNOWN.to_string().len();
    let own = text.find(OWN).map(|at| at + OWN.len()).and_then(|at| Some((at, text.get(at..at + length)?.parse::<Digest>().ok()?)));
    if let Some((at, digest)) = own {
        let blank = [&text[..at], &Digest::UNKNOWN.to_string(), &text[at + length..]].concat();
        if Digest::of(blank.as_bytes()) != digest {
            return Err(damaged());
        }
    }
    let value: Value = serde_json::from_str(text).map_err(|error| FormatError::new(path, error))?;
    // A flipped bit cannot hide both keys.
    if own.is_none() && (value.get("checksum").is_some() || value.get("checksums").is_some()) { Err(damaged()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_flipped_bit_of_a_checksummed_text_is_detected() {
        let value = json!({ "format": 1, "checksums": { "a": Digest::of(b"a") }, "text": "a \"checksum\": \"xxh3:0\" ü", "number": 0.1 });
        let text = to_checksummed_json(value);
        let path = Path::new("state.json");
        assert_eq!(parse_checksummed_json(path, &text).unwrap()["number"], 0.1);
        for bit in 0..8 * text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = String::from_utf8(bytes).ok().and_then(|text| parse_checksummed_json(path, &text).ok());
            assert!(found.is_none(), "bit {bit}: {found:?}");
        }
        for length in 0..text.len() {
            assert!(text.get(..length).is_none_or(|text| parse_checksummed_json(path, text).is_err()), "cut to {length}");
        }
    }

    #[test]
    fn a_text_of_an_earlier_version_has_no_checksums() {
        let value = parse_checksummed_json(Path::new("state.json"), "{\"format\": 1}").unwrap();
        assert_eq!(FileSums::of_state(Path::new("state.json"), &value).unwrap(), None);
    }

    #[test]
    fn files_are_verified_by_name() {
        let sums: FileSums = serde_json::from_value(json!({ "a": Digest::of(b"a"), "b": { "header": Digest::of(b""), "tensors": {} } })).unwrap();
        assert!(sums.verify("a", b"a").is_ok() && sums.verify("other", b"x").is_ok());
        assert!(sums.verify("a", b"b").unwrap_err().contains("damaged"));
        assert!(sums.tensors("b").is_some() && sums.tensors("a").is_none());
    }

    #[test]
    fn a_header_digest_ignores_order_and_detects_changes() {
        let tensors = [("b", Dtype::F16, &[2usize, 3][..]), ("a", Dtype::U32, &[1][..])];
        let metadata = [("k", "v"), (HEADER_KEY, "x")];
        let digest = header_digest(tensors, metadata);
        assert_eq!(header_digest([tensors[1], tensors[0]], [metadata[1], metadata[0]]), digest);
        assert_eq!(header_digest(tensors, [("k", "v")]), digest);
        let others =
            [header_digest([tensors[0]], metadata), header_digest([tensors[0], ("a", Dtype::I32, &[1][..])], metadata), header_digest(tensors, [("k", "w")])];
        assert!(others.iter().all(|other| *other != digest));
    }
}
