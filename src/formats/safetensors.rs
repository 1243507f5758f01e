//! Safetensors: mapped, checked, and read tensor by tensor as f32.

use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::path::{Path, PathBuf};

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
    Mapped(Mmap),
    Embedded(&'static [u8]),
}

/// A safetensors file whose header has been checked.
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
}

impl TensorFile {
    /// Maps a file and checks its header against its size.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(|error| FormatError::new(path, format!("cannot be opened: {error}")))?;
        // SAFETY: the map is read only. A file that another process truncates meanwhile can raise a
        // fault, as with every mapped file; Signet's own files are replaced by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| FormatError::new(path, format!("cannot be mapped: {error}")))?;
        Self::checked(path, Bytes::Mapped(map))
    }

    /// A file that is part of the program.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), Bytes::Embedded(bytes))
    }

    fn checked(path: &Path, bytes: Bytes) -> Result<Self, FormatError> {
        let file = Self { path: path.to_path_buf(), bytes };
        file.parsed()?;
        Ok(file)
    }

    fn raw(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Embedded(bytes) => bytes,
        }
    }

    fn parsed(&self) -> Result<SafeTensors<'_>, FormatError> {
        SafeTensors::deserialize(self.raw()).map_err(|error| FormatError::new(&self.path, format!("is no whole safetensors file ({error})")))
    }

    /// Names of all tensors.
    pub fn names(&self) -> Result<Vec<String>, FormatError> {
        Ok(self.parsed()?.names().into_iter().map(|name| name.to_string()).collect())
    }

    /// The free-form metadata of the header.
    pub fn metadata(&self, key: &str) -> Result<Option<String>, FormatError> {
        let (_, header) = SafeTensors::read_metadata(self.raw()).map_err(|error| FormatError::new(&self.path, error))?;
        Ok(header.metadata().as_ref().and_then(|map| map.get(key).cloned()))
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Result<Option<Vec<usize>>, FormatError> {
        Ok(self.parsed()?.tensor(name).ok().map(|tensor| tensor.shape().to_vec()))
    }

    /// A tensor of `rows × cols` floats (F32, F16 or BF16), widened to f32. A vector may stand for
    /// one row.
    pub fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.raw_floats(name)
    }

    /// A tensor of `rows × cols` 32-bit words (U32 or I32).
    pub fn words(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.raw_words(name)
    }

    /// All floats of a tensor of any shape.
    pub fn raw_floats(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let parsed = self.parsed()?;
        let tensor = self.found(&parsed, name)?;
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => return Err(FormatError::new(&self.path, format!("tensor {name} holds {other:?}; floats are needed"))),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(FormatError::new(&self.path, format!("tensor {name} holds {} at element {at}", values[at]))),
            None => Ok(values),
        }
    }

    /// All 32-bit words of a tensor of any shape.
    pub fn raw_words(&self, name: &str) -> Result<Vec<u32>, FormatError> {
        let parsed = self.parsed()?;
        let tensor = self.found(&parsed, name)?;
        match tensor.dtype() {
            Dtype::U32 | Dtype::I32 => Ok(tensor.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
            other => Err(FormatError::new(&self.path, format!("tensor {name} holds {other:?}; 32-bit words are needed"))),
        }
    }

    fn found<'a>(&self, parsed: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, FormatError> {
        parsed.tensor(name).map_err(|_| FormatError::new(&self.path, format!("has no tensor {name}")))
    }

    fn expect_shape(&self, name: &str, rows: usize, cols: usize) -> Result<(), FormatError> {
        let parsed = self.parsed()?;
        let shape = self.found(&parsed, name)?.shape().to_vec();
        let fits = match shape[..] {
            [n] => rows == 1 && n == cols,
            [r, c] => r == rows && c == cols,
            _ => false,
        };
        if fits { Ok(()) } else { Err(FormatError::new(&self.path, format!("tensor {name} has shape {shape:?}; [{rows}, {cols}] is needed"))) }
    }
}
