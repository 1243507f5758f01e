//! PyTorch's files (`pytorch_model.bin`): a zip archive with a pickle that describes tensors, and their
//! storages as they lie in memory. The pickle is read, never run; tensors are read where they lie.

mod pickle;
#[cfg(test)]
mod tests;
mod zip;

use super::bytes::Bytes;
use super::safetensors::{Dtype, type_name};
use super::source::{finite, no_tensor};
use super::{FormatError, TensorSource};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How files of PyTorch before 1.6 begin: a pickled magic number.
const OLD: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// A file that `torch.save` wrote of a state dict.
pub struct TorchFile {
    path: PathBuf,
    bytes: Bytes,
    names: Vec<String>,
    tensors: HashMap<String, Found>,
}

/// Type, shape and first byte of a tensor, which has no gaps.
struct Found {
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
}

impl TorchFile {
    /// Opens a file and checks that it has what it describes.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::checked(path, Bytes::open(path)?)
    }

    /// A file in memory, called `name` in messages.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), Bytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: Bytes) -> Result<Self, FormatError> {
        let problem = |problem: String| FormatError::new(path, problem);
        let start = bytes.part(0..bytes.length().min(OLD.len() as u64)).map_err(|error| problem(format!("cannot be read: {error}")))?;
        if &*start == OLD {
            let file = path.file_name().unwrap_or_default().display();
            let load = format!("torch.load('{file}', weights_only=True)");
            return Err(problem(format!("is of PyTorch before 1.6. Write it anew: python -c \"import torch; torch.save({load}, '{file}')\"")));
        }
        let broken = |why: String| problem(format!("is no PyTorch file that can be read ({why}). If it was copied or downloaded, do so again"));
        let entries = zip::entries(&bytes).map_err(broken)?;
        let (root, range) = pickled(&entries).map_err(broken)?;
        let read = |range: &Range<u64>| bytes.part(range.clone()).map_err(|error| problem(format!("cannot be read: {error}")));
        if let Some(order) = entries.get(&format!("{root}/byteorder"))
            && *read(&(order.start..order.end.min(order.start + 16)))? != *b"little"
        {
            return Err(problem("was written on a machine with another order of bytes. Write it anew on one that is little-endian".into()));
        }
        let pickle = read(&range)?;
        let (mut names, mut tensors) = (Vec::new(), HashMap::new());
        for (name, tensor) in pickle::state_dict(&pickle).map_err(problem)? {
            let found = find(&tensor, &entries, root).map_err(|why| problem(format!("tensor {name} {why}")))?;
            names.push(name.to_string());
            tensors.insert(name.to_string(), found);
        }
        drop((start, pickle));
        Ok(Self { path: path.to_path_buf(), bytes, names, tensors })
    }

    fn found(&self, name: &str) -> Result<&Found, FormatError> {
        self.tensors.get(name).ok_or_else(|| no_tensor(&self.path, name))
    }
}

impl TensorSource for TorchFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|found| &found.shape[..])
    }

    fn stored_as(&self, name: &str) -> Option<&'static str> {
        self.tensors.get(name).map(|found| type_name(found.dtype))
    }

    fn floats_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let found = self.found(name)?;
        let elements = band.start * cols..band.end * cols;
        let values = self.bytes.floats(found.dtype, found.start, elements.clone());
        let values = values.map_err(|problem| FormatError::new(&self.path, format!("tensor {name} {problem}")))?;
        finite(&self.path, name, elements.start, values)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.bytes.checksum(0).map_err(|error| FormatError::new(&self.path, format!("cannot be read: {error}")))
    }
}

/// The directory of the archive, and its pickle.
fn pickled(entries: &zip::Entries) -> Result<(&str, Range<u64>), String> {
    let mut pickles = entries.iter().filter_map(|(name, range)| Some((name.strip_suffix("/data.pkl")?, range)));
    match (pickles.next(), pickles.next()) {
        (Some((_, range)), None) if range.end - range.start > pickle::LONGEST => Err(format!("its data.pkl has {} bytes", range.end - range.start)),
        (Some((root, range)), None) => Ok((root, range.clone())),
        (None, _) => Err("it has no data.pkl".into()),
        (Some(_), Some(_)) => Err("it has several data.pkl".into()),
    }
}

/// Where a tensor lies in the file; why it cannot be read otherwise.
fn find(tensor: &pickle::Tensor, entries: &zip::Entries, root: &str) -> Result<Found, String> {
    let pickle::Storage { dtype, key, elements } = tensor.storage;
    let shape = &tensor.shape;
    let size = dtype.bitsize() as u64 / 8;
    let count = shape.iter().try_fold(1u64, |count, side| count.checked_mul(*side as u64));
    let end = count.and_then(|count| count.checked_add(tensor.offset)).filter(|end| *end <= elements);
    let count = count.filter(|_| end.is_some()).ok_or_else(|| format!("of shape {shape:?} is larger than its storage of {elements} elements"))?;
    if count > 0 && !contiguous(shape, &tensor.strides) {
        return Err(format!("of shape {shape:?} has strides {:?}, so that its rows do not follow each other. Save it with .contiguous()", tensor.strides));
    }
    let entry = entries.get(&format!("{root}/data/{key}")).ok_or_else(|| format!("lies in storage {key:?}, which the file does not have"))?;
    let bytes = elements.checked_mul(size).filter(|bytes| *bytes <= entry.end - entry.start);
    bytes.ok_or_else(|| format!("lies in storage {key:?} of {elements} elements, of which the file has {}", (entry.end - entry.start) / size))?;
    Ok(Found { dtype, shape: shape.clone(), start: entry.start + tensor.offset * size })
}

/// Whether elements follow each other row by row. A side of one element has no neighbours.
fn contiguous(shape: &[usize], strides: &[i64]) -> bool {
    let mut next = 1i64;
    shape.iter().zip(strides).rev().all(|(side, stride)| {
        let fits = *side == 1 || *stride == next;
        next = next.saturating_mul(*side as i64);
        fits
    })
}
