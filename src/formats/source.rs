//! Named float tensors, independent of the file format.

use super::FormatError;
use std::ops::Range;
use std::path::Path;

/// The most bytes of a range of rows, as f32.
const MAX_BYTES: usize = 8 << 20;

/// One or more files of named float tensors. Implementations above this module use Hugging Face's names
/// (`model.layers.0.self_attn.q_proj.weight`), shapes and order of rows.
pub trait TensorSource {
    /// The path, for errors.
    fn path(&self) -> &Path;

    /// Names of all tensors, in the order of their data.
    fn names(&self) -> Vec<String>;

    /// The shape of a tensor, if it exists.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// The format's name for the type of a tensor, if it exists: `F16` means halves in every format.
    fn dtype_name(&self, name: &str) -> Option<&'static str>;

    /// The name of a tensor in errors, with the one in the file if that differs.
    fn display_name(&self, name: &str) -> String {
        name.into()
    }

    /// The error of a missing tensor.
    fn missing(&self, name: &str) -> FormatError {
        no_tensor(self.path(), &self.display_name(name))
    }

    /// Reads a range of rows of a float tensor with `cols` columns as f32: exact, except that F64 is rounded. Fails by
    /// name if the tensor is missing, of another type or damaged.
    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError>;

    /// The same; fails also if a value is not finite.
    fn read_finite(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let first = range.start * cols;
        finite(self.path(), &self.display_name(name), first, self.read_values(name, cols, range)?)
    }

    /// Returns true if tensors have checksums, which are verified on first read.
    fn has_sums(&self) -> bool {
        false
    }

    /// A checksum of the files.
    fn checksum(&self) -> Result<u64, FormatError>;

    /// Fails if a tensor is missing or has another shape. A vector may stand for one row.
    fn expect_shape(&self, name: &str, rows: usize, cols: usize) -> Result<(), FormatError> {
        let problem = |problem: String| FormatError::new(self.path(), problem);
        let shape = self.shape(name).ok_or_else(|| self.missing(name))?;
        let fits = match *shape {
            [n] => rows == 1 && n == cols,
            [r, c] => r == rows && c == cols,
            _ => false,
        };
        if fits { Ok(()) } else { Err(problem(format!("tensor {} has shape {shape:?}; [{rows}, {cols}] is needed", self.display_name(name)))) }
    }

    /// Reads a range of rows of a tensor of `rows × cols` floats, as [`TensorSource::read_finite`]. Fails also if the tensor
    /// has another shape.
    fn read_rows(&self, name: &str, rows: usize, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.read_finite(name, cols, range)
    }

    /// Reads a whole tensor of `rows × cols` floats.
    fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        self.read_rows(name, rows, cols, 0..rows)
    }
}

/// Splits the rows of a tensor of `rows × cols` into ranges of a few megabytes.
pub fn row_ranges(rows: usize, cols: usize) -> impl Iterator<Item = Range<usize>> {
    let max_rows = (MAX_BYTES / (4 * cols).max(1)).max(1);
    (0..rows).step_by(max_rows).map(move |first| first..rows.min(first + max_rows))
}

/// The error of a missing tensor.
pub(super) fn no_tensor(path: &Path, name: &str) -> FormatError {
    FormatError::new(path, format!("has no tensor {name}"))
}

/// Fails if a value is not finite; `first` is the tensor's element at which the values begin.
pub(super) fn finite(path: &Path, name: &str, first: usize, values: Vec<f32>) -> Result<Vec<f32>, FormatError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(FormatError::new(path, format!("tensor {name} holds {} at element {}", values[at], first + at))),
        None => Ok(values),
    }
}
