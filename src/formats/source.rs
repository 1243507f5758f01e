//! Named tensors of floats, whatever the format of the files that hold them.

use super::FormatError;
use std::ops::Range;
use std::path::Path;

/// Most bytes of a band of rows, as f32.
const BAND: usize = 8 << 20;

/// A file of named tensors of floats, or several files that are one. Above this module,
/// names are those of Hugging Face (`model.layers.0.self_attn.q_proj.weight`), and so are shapes and the order of rows.
pub trait TensorSource {
    /// Where it lies, for messages.
    fn path(&self) -> &Path;

    /// Names of all tensors, in the order of their data.
    fn names(&self) -> Vec<String>;

    /// Shape of a tensor, if it is there.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// What the format calls the type of a tensor, if it is there: `F16` are halves in every format.
    fn stored_as(&self, name: &str) -> Option<&'static str>;

    /// What to call a tensor in messages: by another name too, if the file has it under one.
    fn called(&self, name: &str) -> String {
        name.into()
    }

    /// The error of a tensor that is not there.
    fn missing(&self, name: &str) -> FormatError {
        no_tensor(self.path(), &self.called(name))
    }

    /// A band of the rows of a tensor of floats with `cols` columns, widened to f32 without loss (F64 is
    /// rounded). One that is missing, of another type or damaged is refused by name.
    fn values_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError>;

    /// The same, where a number that is not finite is refused with its element.
    fn floats_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let first = band.start * cols;
        finite(self.path(), &self.called(name), first, self.values_of(name, cols, band)?)
    }

    /// Returns true if each tensor has a checksum that is verified where it is read.
    fn has_sums(&self) -> bool {
        false
    }

    /// A checksum of everything that tensors are read from.
    fn checksum(&self) -> Result<u64, FormatError>;

    /// Refuses a tensor that is missing or of another shape. A vector may stand for one row.
    fn expect_shape(&self, name: &str, rows: usize, cols: usize) -> Result<(), FormatError> {
        let problem = |problem: String| FormatError::new(self.path(), problem);
        let shape = self.shape(name).ok_or_else(|| self.missing(name))?;
        let fits = match *shape {
            [n] => rows == 1 && n == cols,
            [r, c] => r == rows && c == cols,
            _ => false,
        };
        if fits { Ok(()) } else { Err(problem(format!("tensor {} has shape {shape:?}; [{rows}, {cols}] is needed", self.called(name)))) }
    }

    /// Rows `band` of a tensor of `rows × cols` floats, as [`TensorSource::floats_of`].
    fn band(&self, name: &str, rows: usize, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.floats_of(name, cols, band)
    }

    /// All of a tensor of `rows × cols` floats.
    fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        self.band(name, rows, cols, 0..rows)
    }
}

/// Rows of a tensor of `rows × cols` which together have all: a few megabytes each.
pub fn bands(rows: usize, cols: usize) -> impl Iterator<Item = Range<usize>> {
    let most = (BAND / (4 * cols).max(1)).max(1);
    (0..rows).step_by(most).map(move |first| first..rows.min(first + most))
}

/// Said of a tensor that is not there.
pub(super) fn no_tensor(path: &Path, name: &str) -> FormatError {
    FormatError::new(path, format!("has no tensor {name}"))
}

/// Refuses what is no finite number; `first` is the element of the tensor at which the values begin.
pub(super) fn finite(path: &Path, name: &str, first: usize, values: Vec<f32>) -> Result<Vec<f32>, FormatError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(FormatError::new(path, format!("tensor {name} holds {} at element {}", values[at], first + at))),
        None => Ok(values),
    }
}
