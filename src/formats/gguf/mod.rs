//! llama.cpp's GGUF format, versions 2 and 3: validated on opening, and read by ranges of rows.
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod ggml_types;
mod gguf_writer;
mod header_reader;
mod metadata;
#[cfg(test)]
mod tests;
pub mod token_types;

use super::bytes::FileBytes;
use super::content::{self, ContentKind};
use super::source::no_tensor;
use super::{FormatError, TensorSource};
use crate::platform::parallel::*;
use ggml_types::GgmlType;
use header_reader::HeaderReader;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use gguf_writer::{GgufFloat, GgufTensorInfo, GgufValue, GgufWriter};
pub use metadata::GgufMetadata;

/// The magic number.
pub const MAGIC: &[u8; 4] = b"GGUF";

/// The tensor of divisors for RoPE's frequencies, for Llama 3's scaling.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Supported versions.
const VERSIONS: [u32; 2] = [2, 3];
/// The default alignment of data, in bytes.
const ALIGNMENT: usize = 32;
/// The most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 4;
/// Bytes of the shortest metadata entry and tensor entry.
const MIN_VALUE_BYTES: u64 = 13;
const MIN_TENSOR_BYTES: u64 = 32;

/// A GGUF file with validated metadata and tensor list. Names and the order of rows are the file's own.
pub struct Gguf {
    path: PathBuf,
    bytes: FileBytes,
    metadata: GgufMetadata,
    tensors: BTreeMap<String, GgufTensor>,
}

/// A tensor of a file.
struct GgufTensor {
    ggml_type: GgmlType,
    /// Rows first.
    shape: Vec<usize>,
    /// Its range of bytes in the file.
    bytes: Range<u64>,
}

impl Gguf {
    /// Opens a file and validates everything except the tensors' values.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::checked(path, FileBytes::open(path)?)
    }

    /// A file in memory, for tests and fuzz targets; `name` appears in errors.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), FileBytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: FileBytes) -> Result<Self, FormatError> {
        let start = bytes.start().map_err(|error| FormatError::new(path, format!("cannot be read: {error}")))?;
        content::expect(path, &start, &[ContentKind::Gguf])?;
        drop(start);
        let mut reader = HeaderReader::new(path, &bytes);
        version(&mut reader)?;
        let tensors = reader.count(MIN_TENSOR_BYTES, &"the number of tensors")?;
        let values = reader.count(MIN_VALUE_BYTES, &"the number of metadata")?;
        let metadata = GgufMetadata::read(path, &mut reader, values)?;
        let alignment = metadata.count("general.alignment")?.unwrap_or(ALIGNMENT);
        if !alignment.is_power_of_two() {
            return Err(metadata.problem(format!("metadata general.alignment is {alignment}; a power of two is needed")));
        }
        let entries = (0..tensors).map(|n| TensorEntry::read(&mut reader, n)).collect::<Result<Vec<_>, _>>()?;
        let start =
            reader.at().checked_next_multiple_of(alignment as u64).ok_or_else(|| metadata.problem("metadata general.alignment is larger than any file"))?;
        let mut tensors = BTreeMap::new();
        for entry in entries {
            let (name, tensor) = entry.locate(&metadata, start, alignment as u64, bytes.length())?;
            if tensors.contains_key(&name) {
                return Err(metadata.problem(format!("tensor {name} is duplicated")));
            }
            tensors.insert(name, tensor);
        }
        let file = Self { path: path.to_path_buf(), metadata, tensors, bytes };
        file.check_overlaps()?;
        Ok(file)
    }

    /// Fails if tensors overlap.
    fn check_overlaps(&self) -> Result<(), FormatError> {
        let ordered = self.ordered();
        let shared = ordered.windows(2).find(|pair| pair[1].1.bytes.start < pair[0].1.bytes.end);
        shared.map_or(Ok(()), |pair| Err(self.metadata.problem(format!("tensors {} and {} overlap", pair[0].0, pair[1].0))))
    }

    /// Names and tensors in the order of their data.
    fn ordered(&self) -> Vec<(&String, &GgufTensor)> {
        let mut ordered: Vec<_> = self.tensors.iter().collect();
        ordered.sort_by_key(|(_, tensor)| tensor.bytes.start);
        ordered
    }

    /// The metadata.
    pub fn metadata(&self) -> &GgufMetadata {
        &self.metadata
    }
}

/// Checks magic number and version.
fn version(reader: &mut HeaderReader<'_>) -> Result<(), FormatError> {
    let magic = reader.read_bytes(4, &"GGUF's magic")?;
    if magic != MAGIC {
        let found = String::from_utf8_lossy(magic).into_owned();
        return Err(reader.problem(format!("is not a GGUF file: it begins with {found:?}")));
    }
    let version = reader.u32(&"GGUF's version")?;
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    let big = VERSIONS.contains(&version.swap_bytes());
    Err(reader.problem(match big {
        true => "is a big-endian GGUF file; Signet reads little-endian ones".into(),
        false => format!("is GGUF version {version}; Signet reads versions 2 and 3. Convert the model again with a current llama.cpp"),
    }))
}

/// An entry of the tensor list.
struct TensorEntry {
    name: String,
    /// Columns first.
    dimensions: Vec<u64>,
    code: u32,
    offset: u64,
}

impl TensorEntry {
    fn read(reader: &mut HeaderReader<'_>, n: u64) -> Result<Self, FormatError> {
        let name = reader.text(&format_args!("the name of tensor {n}"))?;
        let dimensions = reader.u32(&format_args!("the number of dimensions of tensor {name}"))?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(reader.problem(format!("tensor {name} has {dimensions} dimensions; it must have 1 to {MAX_DIMENSIONS}")));
        }
        let dimensions = (0..dimensions).map(|_| reader.u64(&format_args!("the shape of tensor {name}"))).collect::<Result<_, _>>()?;
        let code = reader.u32(&format_args!("the type of tensor {name}"))?;
        let offset = reader.u64(&format_args!("the offset of tensor {name}"))?;
        Ok(Self { name, dimensions, code, offset })
    }

    /// Converts it to a tensor, if its bytes are aligned and inside the file.
    fn locate(self, metadata: &GgufMetadata, start: u64, alignment: u64, length: u64) -> Result<(String, GgufTensor), FormatError> {
        let Self { name, dimensions, code, offset } = self;
        let problem = |problem: String| metadata.problem(format!("tensor {name} {problem}"));
        let ggml_type = GgmlType::of(code).map_err(|kind| {
            let advice = "To convert it: llama-quantize --allow-requantize FILE OUT Q8_0";
            problem(format!("is stored as {kind}, which Signet does not read. It reads {}. {advice}", GgmlType::all()))
        })?;
        if dimensions.contains(&0) || !dimensions[0].is_multiple_of(ggml_type.elements() as u64) {
            return Err(problem(format!(
                "has dimensions {dimensions:?}; rows of {} must have a multiple of {} elements",
                ggml_type.name(),
                ggml_type.elements()
            )));
        }
        let blocks = dimensions[1..].iter().try_fold(dimensions[0] / ggml_type.elements() as u64, |product, side| product.checked_mul(*side));
        // Elements must fit `usize`, too, also as bytes of 32-bit values.
        let countable = blocks.and_then(|blocks| usize::try_from(blocks.checked_mul(4 * ggml_type.elements() as u64)?).ok());
        let bytes = countable.and(blocks).and_then(|blocks| blocks.checked_mul(ggml_type.bytes() as u64));
        let bytes = bytes.ok_or_else(|| problem(format!("has dimensions {dimensions:?}, more than any file holds")))?;
        if !offset.is_multiple_of(alignment) {
            return Err(problem(format!("begins at byte {offset} of the data, which is not a multiple of {alignment}")));
        }
        let first = start.checked_add(offset);
        let end = first.and_then(|first| first.checked_add(bytes)).filter(|end| *end <= length);
        let (Some(first), Some(end)) = (first, end) else {
            return Err(problem(format!("takes {bytes} bytes at byte {offset} of the data, past the end of the file: it is damaged or incomplete")));
        };
        let shape: Vec<usize> = dimensions.iter().rev().map(|side| *side as usize).collect();
        Ok((name, GgufTensor { ggml_type, shape, bytes: first..end }))
    }
}

impl TensorSource for Gguf {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.ordered().into_iter().map(|(name, _)| name.clone()).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.shape[..])
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.tensors.get(name).map(|tensor| tensor.ggml_type.name())
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let tensor = self.tensors.get(name).ok_or_else(|| no_tensor(&self.path, name))?;
        let row_bytes = cols / tensor.ggml_type.elements() * tensor.ggml_type.bytes();
        let at = |row: usize| tensor.bytes.start + (row * row_bytes) as u64;
        assert!(range.start <= range.end && at(range.end) <= tensor.bytes.end, "rows {range:?} of {cols} columns of tensor {name}, {:?}", tensor.shape);
        let bytes = self.bytes.part(at(range.start)..at(range.end));
        let bytes: Cow<'_, [u8]> = bytes.map_err(|error| self.metadata.problem(format!("tensor {name} cannot be read: {error}")))?;
        let mut values = vec![0.0; range.len() * cols];
        values.par_chunks_exact_mut(cols).zip(bytes.par_chunks_exact(row_bytes)).for_each(|(out, row)| tensor.ggml_type.widen(row, out));
        Ok(values)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.bytes.checksum(0).map_err(|error| self.metadata.problem(format!("cannot be read: {error}")))
    }
}
