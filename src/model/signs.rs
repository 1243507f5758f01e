//! Loading of packed files: sign words and f16 values are copied to the machine unchanged.

use super::init::write_floats;
use super::model_error::ModelError;
use super::weights::Weights;
use crate::formats::safetensors::TensorFile;
use crate::formats::{FormatError, TensorSource, row_ranges};
use crate::graph::{Machine, Storage};
use std::ops::Range;
use std::path::Path;

/// The error of training from a packed file, which has no latent weights.
pub(super) fn no_latent(path: &Path) -> FormatError {
    FormatError::new(path, "is a packed model, which has signs but no latent weights, so it cannot be trained. Use the checkpoint that it was packed from")
}

/// Loads weights from a packed file, one layer or range of rows at a time, so that only a small part of the file is in
/// host memory. Rows of the tensor `free` may have non-finite values; returns these rows.
pub(super) fn fill(machine: &mut Machine, weights: &Weights, file: &TensorFile, free: Option<&str>) -> Result<Vec<u32>, ModelError> {
    let mut unusable = Vec::new();
    for binary in &weights.binary {
        if binary.latent.is_some() {
            return Err(no_latent(file.path()).into());
        }
        for (layer, location) in binary.layers() {
            machine.write(&location, &signs(file, layer, location.spec.rows, location.spec.cols)?)?;
        }
    }
    for name in weights.names() {
        let location = weights.location(name).expect("named");
        let (rows, cols) = (location.spec.rows, location.spec.cols);
        file.expect_shape(name, rows, cols)?;
        for range in row_ranges(rows, cols) {
            let part = location.rows(range.start, range.len());
            let free = free == Some(name.as_str());
            if free {
                unusable.extend(nonfinite_rows(&file.read_values(name, cols, range.clone())?, cols, range.clone()));
            }
            match (part.spec.storage, free) {
                (Storage::F16, true) => machine.write(&part, &file.read_any_halves(name, cols, range)?.0)?,
                (Storage::F16, false) => machine.write(&part, &file.read_halves(name, cols, range)?)?,
                (_, true) => write_floats(machine, &part, &file.read_values(name, cols, range)?)?,
                (_, false) => write_floats(machine, &part, &file.read_finite(name, cols, range)?)?,
            }
        }
    }
    Ok(unusable)
}

/// Reads the sign words of a packed layer. An error if bits past the last column are set.
pub(super) fn signs(file: &TensorFile, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
    let (name, row_words) = (format!("{layer}.signs"), cols.div_ceil(32));
    let words = file.words(&name, rows, row_words)?;
    match row_with_bad_padding(&words, row_words, cols) {
        Some(row) => Err(FormatError::new(file.path(), format!("tensor {name} has bits set past column {cols} in row {row}; padding must be 0"))),
        None => Ok(words),
    }
}

/// The first row with a bit set past the last column.
fn row_with_bad_padding(words: &[u32], row_words: usize, cols: usize) -> Option<usize> {
    let used = cols % 32;
    if used == 0 {
        return None;
    }
    words.chunks(row_words).position(|row| row[row_words - 1] >> used != 0)
}

/// The rows of a range with non-finite values.
pub(super) fn nonfinite_rows(values: &[f32], cols: usize, range: Range<usize>) -> impl Iterator<Item = u32> {
    let finite = |row: &[f32]| row.iter().all(|value| value.is_finite());
    values.chunks(cols).zip(range).filter(move |(row, _)| !finite(row)).map(|(_, id)| id as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonzero_padding_is_found() {
        assert_eq!(row_with_bad_padding(&[u32::MAX, 0b111, 0, 0b1000], 2, 35), Some(1));
        assert_eq!(row_with_bad_padding(&[u32::MAX, 0b111], 2, 35), None);
        assert_eq!(row_with_bad_padding(&[u32::MAX], 1, 32), None);
    }
}
