//! PyTorch files (`pytorch_model.bin`): a zip archive with a pickle that describes the tensors, and their storages;
//! before PyTorch 1.6 without the archive. The pickle is interpreted for tensors only and runs no code; tensors are
//! read in place.

mod globals;
mod legacy;
mod pickle;
mod rebuild;
mod tensor;

#[cfg(test)]
mod tests;
mod zip;

use super::bytes::FileBytes;
use super::content::{self, ContentKind};
use super::source::no_tensor;
use super::{FormatError, TensorSource};
use rebuild::{StateDict, StateDictEntry};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensor::{LocatedTensor, StorageLocation};

/// A state dict that `torch.save` wrote.
pub struct TorchFile {
    path: PathBuf,
    bytes: FileBytes,
    contents: StateDictContents,
}

/// The entries of a state dict.
#[derive(Default)]
struct StateDictContents {
    names: Vec<String>,
    tensors: HashMap<String, LocatedTensor>,
    /// The other entries, which are not readable tensors, and a phrase for each.
    others: HashMap<String, &'static str>,
}

impl TorchFile {
    /// Opens a file and checks that it contains the tensors that it describes.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::checked(path, FileBytes::open(path)?)
    }

    /// A file in memory, for tests and fuzz targets; `name` appears in errors.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), FileBytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: FileBytes) -> Result<Self, FormatError> {
        let problem = |problem: String| FormatError::new(path, problem);
        let start = bytes.start().map_err(|error| problem(format!("cannot be read: {error}")))?;
        content::expect(path, &start, &[ContentKind::Zip, ContentKind::Pickle])?;
        let legacy = legacy::begins(&start);
        drop(start);
        let contents = if legacy { StateDictContents::legacy(&bytes) } else { StateDictContents::archived(&bytes) }.map_err(problem)?;
        Ok(Self { path: path.to_path_buf(), bytes, contents })
    }

    fn found(&self, name: &str) -> Result<&LocatedTensor, FormatError> {
        self.contents.tensors.get(name).ok_or_else(|| self.missing(name))
    }
}

impl StateDictContents {
    /// Reads a file of PyTorch before 1.6.
    fn legacy(bytes: &FileBytes) -> Result<Self, String> {
        let start = legacy::beginning(bytes)?;
        let (dict, storages) = legacy::read(&start, bytes)?;
        Self::of(dict, &mut |key| Ok(storages.get(key).map(|(start, length)| StorageLocation { start: *start, length: *length, bytes: None })), false)
    }

    /// Reads a zip archive.
    fn archived(bytes: &FileBytes) -> Result<Self, String> {
        let broken = |why: String| format!("is not a readable PyTorch file ({why}). If it was copied or downloaded, do so again");
        let entries = zip::entries(bytes).map_err(broken)?;
        let (root, pickle) = find_pickle(&entries).map_err(broken)?;
        let mut budget = zip::Budget::of(bytes);
        let big_endian = match entries.get(&format!("{root}/byteorder")) {
            None => false,
            Some(order) => match &order.read(bytes, &mut budget)?[..] {
                b"little" => false,
                b"big" => true,
                other => return Err(format!("has an unknown byte order, {}", quoted(&String::from_utf8_lossy(other)))),
            },
        };
        let pickle = pickle.read(bytes, &mut budget)?;
        let mut unpacked = HashMap::new();
        let mut locate = |key: &str| {
            let Some(entry) = entries.get(&format!("{root}/data/{key}")) else { return Ok(None) };
            let (start, bytes) = match (entry.packed, unpacked.get(key)) {
                (false, _) => (entry.range.start, None),
                (true, Some(before)) => (0, Some(Arc::clone(before))),
                (true, None) => (0, Some(Arc::new(entry.read(bytes, &mut budget)?.into_owned()))),
            };
            if let Some(bytes) = &bytes {
                unpacked.insert(key.to_string(), Arc::clone(bytes));
            }
            Ok(Some(StorageLocation { start, length: entry.length, bytes }))
        };
        Self::of(rebuild::state_dict(&pickle)?, &mut locate, big_endian)
    }

    /// Locates the tensors of a state dict; `place` returns the location of a storage.
    fn of(dict: StateDict, locate: &mut dyn FnMut(&str) -> Result<Option<StorageLocation>, String>, big_endian: bool) -> Result<Self, String> {
        let mut contents = Self::default();
        for (name, entry) in dict {
            let tensor = match entry {
                StateDictEntry::Tensor(tensor) => tensor,
                StateDictEntry::Other(what) => {
                    contents.others.insert(name.into(), what);
                    continue;
                }
            };
            let key = tensor.storage.key;
            let found = locate(key)?.ok_or_else(|| format!("is in storage {key:?}, which the file does not have"));
            let found = found.and_then(|location| LocatedTensor::new(&tensor, location, big_endian));
            contents.tensors.insert(name.into(), found.map_err(|why| format!("tensor {name} {why}"))?);
            contents.names.push(name.into());
        }
        Ok(contents)
    }
}

impl TensorSource for TorchFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.contents.names.clone()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.contents.tensors.get(name).map(|found| &found.shape[..])
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.contents.tensors.get(name).map(|found| found.element_type.name)
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let found = self.found(name)?;
        found.floats(&self.bytes, cols, range).map_err(|problem| FormatError::new(&self.path, format!("tensor {name} {problem}")))
    }

    fn missing(&self, name: &str) -> FormatError {
        match self.contents.others.get(name) {
            Some(what) => FormatError::new(&self.path, format!("tensor {name} is {what}, which Signet does not read")),
            None => no_tensor(&self.path, name),
        }
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.bytes.checksum(0).map_err(|error| FormatError::new(&self.path, format!("cannot be read: {error}")))
    }
}

/// The archive's root directory, and its pickle.
fn find_pickle(entries: &zip::ZipEntries) -> Result<(&str, &zip::ZipEntry), String> {
    let mut pickles = entries.iter().filter_map(|(name, entry)| Some((name.strip_suffix("/data.pkl")?, entry)));
    match (pickles.next(), pickles.next()) {
        (Some((_, entry)), None) if entry.length > pickle::MAX_PICKLE => Err(format!("its data.pkl has {} bytes", entry.length)),
        (Some(found), None) => Ok(found),
        (None, _) => Err("it has no data.pkl".into()),
        (Some(_), Some(_)) => Err("it has several data.pkl".into()),
    }
}

/// Quotes a text for an error, truncated.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    format!("{short:?}")
}
