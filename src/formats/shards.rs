//! Sharded tensors: several files with a JSON index (`weight_map`).

use super::source::no_tensor;
use super::{FormatError, TensorSource, checksum, json, json_file};
use crate::platform;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result of opening a file of tensors.
pub type OpenedSource = Result<Box<dyn TensorSource>, FormatError>;

/// The files of a sharded model. As in transformers, all their tensors exist, whether the index lists them or not.
pub struct Shards {
    index: PathBuf,
    /// The file of each tensor, by the index.
    map: BTreeMap<String, String>,
    files: Vec<Box<dyn TensorSource>>,
    /// The index in `files` of each tensor.
    file_of: HashMap<String, usize>,
    /// The checksum of the index.
    checksum: u64,
}

/// An index; other fields are informative.
#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "files_of")]
    weight_map: BTreeMap<String, String>,
}

/// Parses a map of tensors to files, in which a tensor may repeat with the same file.
fn files_of<'de, D: Deserializer<'de>>(reader: D) -> Result<BTreeMap<String, String>, D::Error> {
    reader.deserialize_map(WeightMapVisitor)
}

/// The visitor of [`files_of`].
struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the file of each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if let Some(before) = files.get(&tensor).filter(|before| **before != file) {
                return Err(A::Error::custom(format!("it has {tensor:?} twice, in {before:?} and in {file:?}")));
            }
            files.insert(tensor, file);
        }
        Ok(files)
    }
}

impl Shards {
    /// Opens all files of an index with `open`. Each must exist. If two have the same tensor, the file that sorts last
    /// wins.
    pub fn open(index: &Path, open: &dyn Fn(&Path) -> OpenedSource) -> Result<Self, FormatError> {
        let problem = |problem: String| FormatError::new(index, problem);
        let text = json_file(index, platform::SETTINGS_LIMIT)?.ok_or_else(|| FormatError::unreadable(index, "no such file"))?;
        let map = weight_map(&text).map_err(problem)?;
        let names: BTreeSet<&String> = map.values().collect();
        let mut files: Vec<Box<dyn TensorSource>> = Vec::new();
        let mut file_of = HashMap::new();
        for (number, name) in names.into_iter().enumerate() {
            let path = index.with_file_name(name);
            if !platform::is_file(&path) {
                return Err(FormatError::new(
                    &path,
                    format!("no such file, but {} lists it. Download it, too", index.file_name().unwrap_or_default().display()),
                ));
            }
            let file = open(&path)?;
            file_of.extend(file.names().into_iter().map(|tensor| (tensor, number)));
            files.push(file);
        }
        Ok(Self { index: index.to_path_buf(), map, files, file_of, checksum: checksum(0, &text) })
    }

    fn source_of(&self, name: &str) -> Option<&dyn TensorSource> {
        self.file_of.get(name).map(|index| &*self.files[*index])
    }
}

/// Parses the file of each tensor from an index. Files must be in the index's directory or below it.
pub fn weight_map(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    if let Some(name) = json::duplicate_name(text, &[])? {
        return Err(format!("has {name:?} twice"));
    }
    let Index { weight_map } = serde_json::from_slice(text).map_err(|error| format!("is not an index of shards: {error}"))?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '\0']);
    match weight_map.iter().find(|(_, file)| !file.split('/').all(plain)) {
        Some((tensor, file)) => Err(format!("maps tensor {tensor} to {file:?}, which is not a file in its directory or below it")),
        None if weight_map.is_empty() => Err("lists no tensors".into()),
        None => Ok(weight_map),
    }
}

impl TensorSource for Shards {
    fn path(&self) -> &Path {
        &self.index
    }

    fn names(&self) -> Vec<String> {
        let files = self.files.iter().enumerate();
        files.flat_map(|(number, file)| file.names().into_iter().filter(move |name| self.file_of.get(name) == Some(&number))).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.source_of(name)?.shape(name)
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.source_of(name)?.dtype_name(name)
    }

    fn missing(&self, name: &str) -> FormatError {
        match self.map.get(name) {
            Some(file) => FormatError::new(&self.index, format!("maps tensor {name} to {file}, which does not have it")),
            None => no_tensor(&self.index, name),
        }
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.source_of(name).ok_or_else(|| self.missing(name))?.read_values(name, cols, range)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.files.iter().try_fold(self.checksum, |sum, file| Ok(checksum(sum, &file.checksum()?.to_le_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::weight_map;

    #[test]
    fn an_index_lists_files_next_to_it() {
        let valid = weight_map(br#"{"metadata": {"total_size": 1}, "weight_map": {"b": "parts/2.bin", "a": "1.bin"}}"#).unwrap();
        assert_eq!(valid.into_iter().collect::<Vec<_>>(), [("a".into(), "1.bin".into()), ("b".into(), "parts/2.bin".into())]);
        let duplicate = weight_map(br#"{"weight_map": {"a": "1.bin", "b": "1.bin", "a": "1.bin"}}"#).unwrap();
        assert_eq!(duplicate.into_iter().collect::<Vec<_>>(), [("a".into(), "1.bin".into()), ("b".into(), "1.bin".into())]);
        for (text, word) in [
            (r#"{"weight_map": {"a": "../1.bin"}}"#, "../1.bin"),
            (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "passwd"),
            (r#"{"weight_map": {"a": "b/../../1.bin"}}"#, "../1.bin"),
            (r#"{"weight_map": {"a": "b//1.bin"}}"#, "b//1.bin"),
            (r#"{"weight_map": {"a": "c:x"}}"#, "c:x"),
            (r#"{"weight_map": {"a": ""}}"#, "tensor a"),
            (r#"{"weight_map": {"a": "1.bin", "a": "2.bin"}}"#, "\"a\" twice, in \"1.bin\" and in \"2.bin\""),
            (r#"{"weight_map": {"a": "1.bin", "b": "2.bin", "a": "1.bin", "a": "2.bin"}}"#, "\"a\" twice"),
            (r#"{"weight_map": {}, "weight_map": {"a": "1.bin"}}"#, "\"weight_map\" twice"),
            (r#"{"weight_map": {"a": 1}}"#, "not an index"),
            (r#"{"weight_map": {}}"#, "no tensors"),
            (r#"{"weights": {}}"#, "weight_map"),
            ("{", "EOF"),
        ] {
            let problem = weight_map(text.as_bytes()).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
