//! Tensors in several files, with an index in JSON that says which is where (`weight_map`).

use super::source::no_tensor;
use super::{FormatError, TensorSource, checksum, json};
use crate::platform;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file of tensors that was opened.
pub type Opened = Result<Box<dyn TensorSource>, FormatError>;

/// Several files of tensors that are one model's.
pub struct Shards {
    index: PathBuf,
    files: Vec<Box<dyn TensorSource>>,
    /// The file of each tensor.
    places: HashMap<String, usize>,
    /// Of the index itself.
    checksum: u64,
}

/// What an index says; the rest is for people.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Opens all files that an index names, with `open`. Each must be there and have what the index says it
    /// has, and no tensor may be in two. A tensor that the index leaves out is there nevertheless.
    pub fn open(index: &Path, open: &dyn Fn(&Path) -> Opened) -> Result<Self, FormatError> {
        let problem = |problem: String| FormatError::new(index, problem);
        let text = platform::read(index).map_err(|error| problem(format!("cannot be read: {error}")))?;
        let map = weight_map(&text).map_err(problem)?;
        let names: BTreeSet<&String> = map.values().collect();
        let mut files: Vec<Box<dyn TensorSource>> = Vec::new();
        let (mut places, mut numbers) = (HashMap::new(), HashMap::new());
        for (number, name) in names.into_iter().enumerate() {
            let path = index.with_file_name(name);
            if !platform::is_file(&path) {
                return Err(FormatError::new(
                    &path,
                    format!("is not there, and {} names it: download it, too", index.file_name().unwrap_or_default().display()),
                ));
            }
            let file = open(&path)?;
            for tensor in file.names() {
                if let Some(earlier) = places.insert(tensor.clone(), number) {
                    let earlier = &files[earlier];
                    return Err(FormatError::new(&path, format!("has tensor {tensor}, and so has {}", earlier.path().display())));
                }
            }
            numbers.insert(name.as_str(), number);
            files.push(file);
        }
        for (tensor, name) in &map {
            if places.get(tensor) != Some(&numbers[name.as_str()]) {
                let place = places.get(tensor).map_or_else(|| "it has not".into(), |place| format!("it is in {}", files[*place].path().display()));
                return Err(problem(format!("says that {name} has tensor {tensor}, but {place}")));
            }
        }
        Ok(Self { index: index.to_path_buf(), files, places, checksum: checksum(0, &text) })
    }

    fn holder(&self, name: &str) -> Option<&dyn TensorSource> {
        self.places.get(name).map(|place| &*self.files[*place])
    }
}

/// The file of each tensor, as an index says; names of files are plain, so that none lies elsewhere.
pub fn weight_map(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    if let Some(name) = json::named_twice(text, &["weight_map"])? {
        return Err(format!("names {name:?} twice"));
    }
    let Index { weight_map } = serde_json::from_slice(text).map_err(|error| format!("is no index of shards: {error}"))?;
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']);
    match weight_map.iter().find(|(_, file)| !plain(file)) {
        Some((tensor, file)) => Err(format!("says that tensor {tensor} is in {file:?}, which is no name of a file beside it")),
        None if weight_map.is_empty() => Err("names no tensors".into()),
        None => Ok(weight_map),
    }
}

impl TensorSource for Shards {
    fn path(&self) -> &Path {
        &self.index
    }

    fn names(&self) -> Vec<String> {
        self.files.iter().flat_map(|file| file.names()).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.holder(name)?.shape(name)
    }

    fn stored_as(&self, name: &str) -> Option<&'static str> {
        self.holder(name)?.stored_as(name)
    }

    fn floats_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.holder(name).ok_or_else(|| no_tensor(&self.index, name))?.floats_of(name, cols, band)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.files.iter().try_fold(self.checksum, |sum, file| Ok(checksum(sum, &file.checksum()?.to_le_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::weight_map;

    #[test]
    fn an_index_names_files_beside_it_once() {
        let good = weight_map(br#"{"metadata": {"total_size": 1}, "weight_map": {"b": "2.bin", "a": "1.bin"}}"#).unwrap();
        assert_eq!(good.into_iter().collect::<Vec<_>>(), [("a".into(), "1.bin".into()), ("b".into(), "2.bin".into())]);
        for (text, word) in [
            (r#"{"weight_map": {"a": "../1.bin"}}"#, "../1.bin"),
            (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "passwd"),
            (r#"{"weight_map": {"a": "c:x"}}"#, "c:x"),
            (r#"{"weight_map": {"a": ""}}"#, "tensor a"),
            (r#"{"weight_map": {"a": "1.bin", "a": "2.bin"}}"#, "\"a\" twice"),
            (r#"{"weight_map": {}, "weight_map": {"a": "1.bin"}}"#, "\"weight_map\" twice"),
            (r#"{"weight_map": {"a": 1}}"#, "no index"),
            (r#"{"weight_map": {}}"#, "no tensors"),
            (r#"{"weights": {}}"#, "weight_map"),
            ("{", "EOF"),
        ] {
            let problem = weight_map(text.as_bytes()).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
