//! Safetensors: mapped, checked, and read tensor by tensor as f32; written tensor by tensor.

use super::checksum;
use crate::platform::Mapped;
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use safetensors::Dtype;

/// What is wrong with a file, or with a tensor in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and with which tensor.
    pub problem: String,
}

impl FormatError {
    /// A problem of this file.
    pub fn new(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self { path: path.to_path_buf(), problem: problem.to_string() }
    }
}

/// Where a file's bytes are.
enum Bytes {
    Mapped(Mapped),
    Embedded(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Embedded(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// A safetensors file whose header has been checked.
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    /// Parsed once: it may hold a whole tokenizer.
    header: Metadata,
    /// Where the data begins.
    data: usize,
}

impl TensorFile {
    /// Maps a file and checks its header against its size.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let map = Mapped::open(path).map_err(|error| FormatError::new(path, format!("cannot be opened: {error}")))?;
        Self::checked(path, Bytes::Mapped(map))
    }

    /// A file that is part of the program.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), Bytes::Embedded(bytes))
    }

    /// A file that was never written, called `name` in messages.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), Bytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: Bytes) -> Result<Self, FormatError> {
        let (length, header) = SafeTensors::read_metadata(bytes.all())
            .map_err(|error| FormatError::new(path, format!("is no whole safetensors file ({error}). If it was copied or downloaded, do so again")))?;
        // The crate adds lengths up in a way that can wrap around.
        if header.data_len() > bytes.all().len() {
            return Err(FormatError::new(path, "is no whole safetensors file (its header promises more data than there are)"));
        }
        Ok(Self { path: path.to_path_buf(), bytes, header, data: 8 + length })
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, in the order of their data.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The free-form metadata of the header.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref().and_then(|map| map.get(key)).map(String::as_str)
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| &info.shape[..])
    }

    /// Type of a tensor, if it is there.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.info(name).map(|info| info.dtype)
    }

    /// Refuses a tensor that is missing or of another shape. A vector may stand for one row.
    pub fn expect_shape(&self, name: &str, rows: usize, cols: usize) -> Result<(), FormatError> {
        let (info, _) = self.found(name)?;
        let fits = match info.shape[..] {
            [n] => rows == 1 && n == cols,
            [r, c] => r == rows && c == cols,
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.problem(format!("tensor {name} has shape {:?}; [{rows}, {cols}] is needed", info.shape))) }
    }

    /// A tensor of `rows × cols` floats (F32, F16 or BF16), widened to f32. A vector may stand for
    /// one row.
    pub fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.raw_floats(name)
    }

    /// A tensor of `rows × cols` halves (F16) as they are, two a word, low half first; each row
    /// starts on a word.
    pub fn halves(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        let (info, bytes) = self.found(name)?;
        if info.dtype != Dtype::F16 {
            return Err(self.problem(format!("tensor {name} holds {:?}; F16 is needed", info.dtype)));
        }
        let half = |pair: &[u8]| u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        // All exponent bits set: infinite, or not a number.
        if let Some(at) = bytes.chunks_exact(2).position(|pair| half(pair) & 0x7c00 == 0x7c00) {
            return Err(self.problem(format!("tensor {name} holds no finite number at element {at}")));
        }
        let row = |row: &'_ [u8]| row.chunks(4).map(|pair| half(pair) | pair.get(2..4).map_or(0, half) << 16).collect::<Vec<_>>();
        Ok(bytes.chunks(2 * cols).flat_map(row).collect())
    }

    /// A tensor of `rows × cols` 32-bit words (U32 or I32).
    pub fn words(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.raw_words(name)
    }

    /// Type, shape and bytes of a tensor, as they lie in the file.
    pub fn raw(&self, name: &str) -> Result<(Dtype, &[usize], &[u8]), FormatError> {
        self.found(name).map(|(info, bytes)| (info.dtype, &info.shape[..], bytes))
    }

    /// The byte of the file at which its tensors begin.
    pub fn data_start(&self) -> u64 {
        self.data as u64
    }

    /// A checksum of the whole file.
    pub fn checksum(&self) -> u64 {
        checksum(0, self.bytes.all())
    }

    /// All floats of a tensor of any shape.
    pub fn raw_floats(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let (info, bytes) = self.found(name)?;
        let values: Vec<f32> = match info.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => return Err(self.problem(format!("tensor {name} holds {other:?}; floats are needed"))),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.problem(format!("tensor {name} holds {} at element {at}", values[at]))),
            None => Ok(values),
        }
    }

    /// All 32-bit words of a tensor of any shape.
    pub fn raw_words(&self, name: &str) -> Result<Vec<u32>, FormatError> {
        let (info, bytes) = self.found(name)?;
        match info.dtype {
            Dtype::U32 | Dtype::I32 => Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
            other => Err(self.problem(format!("tensor {name} holds {other:?}; 32-bit words are needed"))),
        }
    }

    fn found(&self, name: &str) -> Result<(&safetensors::tensor::TensorInfo, &[u8]), FormatError> {
        let info = self.header.info(name).ok_or_else(|| self.problem(format!("has no tensor {name}")))?;
        let (start, end) = info.data_offsets;
        Ok((info, &self.bytes.all()[self.data..][start..end]))
    }

    fn problem(&self, problem: String) -> FormatError {
        FormatError::new(&self.path, problem)
    }
}

/// Name, type and shape of a tensor to be written.
pub type TensorInfo = (String, Dtype, Vec<usize>);

/// Bytes of a tensor; `None` if no file can hold it.
fn byte_len(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.bitsize(), |bits, &side| bits.checked_mul(side)).filter(|bits| bits % 8 == 0).map(|bits| bits / 8)
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Writes the header of a file that holds `tensors` in this order, padded so that the data which
/// must follow starts at a multiple of 8 bytes.
pub fn write_header(out: &mut dyn Write, tensors: &[TensorInfo], metadata: &BTreeMap<String, String>) -> io::Result<()> {
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".into(), serde_json::json!(metadata));
    }
    let mut start = 0usize;
    for (name, dtype, shape) in tensors {
        let bytes = byte_len(*dtype, shape).ok_or_else(|| invalid(format!("tensor {name} of {dtype:?} {shape:?} has no whole number of bytes")))?;
        let end = start.checked_add(bytes).ok_or_else(|| invalid(format!("tensor {name} ends past what a file can hold")))?;
        let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        if name == "__metadata__" || entries.insert(name.clone(), entry).is_some() {
            return Err(invalid(format!("tensor {name} is named twice")));
        }
        start = end;
    }
    let mut header = serde_json::to_vec(&entries)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

/// Writes a file tensor by tensor, so that no more than one need be in memory. Data follow each
/// other without gaps: wider types first keep every tensor aligned.
pub struct TensorWriter<'a> {
    out: &'a mut dyn Write,
    rest: VecDeque<(String, usize)>,
}

impl<'a> TensorWriter<'a> {
    /// Writes the header; the tensors must follow in the same order.
    pub fn new(out: &'a mut dyn Write, tensors: &[TensorInfo], metadata: &BTreeMap<String, String>) -> io::Result<Self> {
        write_header(out, tensors, metadata)?;
        let rest = tensors.iter().map(|(name, dtype, shape)| (name.clone(), byte_len(*dtype, shape).expect("checked with the header"))).collect();
        Ok(Self { out, rest })
    }

    /// Writes the next tensor, little-endian and row-major; `name` says which the caller means.
    pub fn tensor(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.rest.pop_front() {
            Some((next, length)) if next == name && length == bytes.len() => self.out.write_all(bytes),
            Some((next, length)) => Err(invalid(format!("tensor {name} of {} bytes was given where {next} of {length} bytes is due", bytes.len()))),
            None => Err(invalid(format!("tensor {name} was not in the header"))),
        }
    }

    /// Checks that nothing is missing.
    pub fn finish(self) -> io::Result<()> {
        match self.rest.front() {
            Some((name, _)) => Err(invalid(format!("tensor {name} was never given"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let tensors: Vec<TensorInfo> = vec![("b".into(), Dtype::U32, vec![2, 1]), ("a".into(), Dtype::F16, vec![3]), ("none".into(), Dtype::F32, vec![0, 4])];
        let mut out = Vec::new();
        let mut writer = TensorWriter::new(&mut out, &tensors, &BTreeMap::from([("key".into(), "value \"quoted\"\n".into())])).unwrap();
        writer.tensor("b", bytemuck::cast_slice(&[7u32, 1 << 31])).unwrap();
        writer.tensor("a", &[0, 60, 0, 188, 0, 0]).unwrap();
        writer.tensor("none", &[]).unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn what_is_written_loads() {
        let bytes: &'static [u8] = sample().leak();
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
        let file = TensorFile::embedded("sample", bytes).unwrap();
        assert_eq!(file.words("b", 2, 1).unwrap(), [7, 1 << 31]);
        assert_eq!(file.floats("a", 1, 3).unwrap(), [1.0, -1.0, 0.0]);
        assert_eq!(file.halves("a", 1, 3).unwrap(), [0xbc00_3c00, 0]);
        assert_eq!(file.metadata("key").unwrap(), "value \"quoted\"\n");
        assert_eq!(file.metadata("other"), None);
    }

    #[test]
    fn a_cut_file_is_refused_at_every_length() {
        let bytes: &'static [u8] = sample().leak();
        for length in 0..bytes.len() {
            let error = TensorFile::embedded("cut", &bytes[..length]).err().unwrap().to_string();
            assert!(error.contains("cut: is no whole safetensors file"), "{error}");
        }
    }

    #[test]
    fn the_writer_wants_what_it_was_told() {
        let tensors: Vec<TensorInfo> = vec![("a".into(), Dtype::F32, vec![1]), ("b".into(), Dtype::F32, vec![1])];
        let mut out = Vec::new();
        let start = || TensorWriter::new(Box::leak(Box::new(Vec::new())), &tensors, &BTreeMap::new()).unwrap();
        assert!(start().tensor("b", &[0; 4]).unwrap_err().to_string().contains("where a of 4 bytes is due"));
        assert!(start().tensor("a", &[0; 3]).unwrap_err().to_string().contains("3 bytes"));
        assert!(start().finish().unwrap_err().to_string().contains("a was never given"));
        let twice = [tensors[0].clone(), tensors[0].clone()];
        assert!(write_header(&mut out, &twice, &BTreeMap::new()).unwrap_err().to_string().contains("twice"));
        let huge = [("h".to_string(), Dtype::F32, vec![usize::MAX, 2])];
        assert!(write_header(&mut out, &huge, &BTreeMap::new()).is_err());
    }
}
