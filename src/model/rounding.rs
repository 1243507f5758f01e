//! The rounding error of storing a model's matrices in fewer bits.

use super::file::ModelFile;
use super::model_error::ModelError;
use super::weights::Linears;
use crate::formats::{FormatError, row_ranges};
use crate::graph::{Spec, Storage, pack, unpack};
use crate::platform::parallel::*;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The storage of a model's matrices for inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixStorage {
    /// As 32-bit floats.
    F32,
    /// As 16-bit floats.
    F16,
    /// In 8-bit blocks, see [`Storage::Q8`].
    Q8,
}

impl MatrixStorage {
    /// The tensor storage of this precision.
    pub fn storage(self) -> Storage {
        match self {
            MatrixStorage::F32 => Storage::F32,
            MatrixStorage::F16 => Storage::F16,
            MatrixStorage::Q8 => Storage::Q8,
        }
    }
}

impl fmt::Display for MatrixStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatrixStorage::F32 => "f32",
            MatrixStorage::F16 => "f16",
            MatrixStorage::Q8 => "q8",
        })
    }
}

/// Columns of a block of 8-bit codes; the worst error is reported for one block.
const BLOCK_COLUMNS: usize = 32;

/// The relative error of stored weights against the values in the file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounding {
    /// The precision of the stored weights.
    pub precision: MatrixStorage,
    /// √(Σ error² ÷ Σ weight²) over all matrices in this precision.
    pub rms: f64,
    /// The same for the worst block of 32 columns of a row.
    pub worst: f64,
}

/// Σ error², Σ weight², and the worst block's Σ error² ÷ Σ weight².
type Sums = (f64, f64, f64);

impl Rounding {
    /// Measures the error of storing the matrices of `file` in `precision`. An error if a value overflows.
    pub fn of(file: &ModelFile, precision: MatrixStorage) -> Result<Self, ModelError> {
        let storage = precision.storage();
        let mut sums = (0.0, 0.0, 0.0);
        for (name, rows, cols) in matrices(file).into_iter().filter(|_| storage != Storage::F32) {
            for range in row_ranges(rows, cols) {
                let values = file.tensors().read_rows(&name, rows, cols, range.clone())?;
                let part = sums_of_rows(Spec { rows: range.len(), cols, storage }, &values);
                if !part.0.is_finite() {
                    let problem = format!("tensor {name} has values too large for {precision}. Use q8 or f32");
                    return Err(FormatError::new(file.path(), problem).into());
                }
                sums = add(sums, part);
            }
        }
        Ok(Self { precision, rms: if sums.1 > 0.0 { (sums.0 / sums.1).sqrt() } else { 0.0 }, worst: sums.2.sqrt() })
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.precision)?;
        if self.precision == MatrixStorage::F32 { Ok(()) } else { write!(f, " (weights off by {:.2e} rms, {:.2e} in the worst block)", self.rms, self.worst) }
    }
}

/// Names and shapes of the matrices that are stored as floats.
fn matrices(file: &ModelFile) -> Vec<(String, usize, usize)> {
    let mut list = file.config.others();
    if file.linears == Linears::Dense {
        list.extend(file.config.linears().into_iter().map(|(name, rows, cols)| (format!("{name}.weight"), rows, cols)));
    }
    list.retain(|(_, rows, _)| *rows > 1);
    list
}

fn add(a: Sums, b: Sums) -> Sums {
    (a.0 + b.0, a.1 + b.1, a.2.max(b.2))
}

fn sums_of_rows(spec: Spec, values: &[f32]) -> Sums {
    let words = pack(spec, values);
    let rows: Vec<Sums> =
        values.par_chunks(spec.cols).zip(words.par_chunks(spec.row_words())).map(|(row, words)| sums_of_row(spec.storage, row, words)).collect();
    rows.into_iter().fold((0.0, 0.0, 0.0), add)
}

fn sums_of_row(storage: Storage, row: &[f32], words: &[u32]) -> Sums {
    let mut stored = vec![0f32; row.len()];
    unpack(storage, words, &mut stored);
    let square = |x: f64| x * x;
    let blocks = row.chunks(BLOCK_COLUMNS).zip(stored.chunks(BLOCK_COLUMNS)).map(|(row, stored)| {
        let error: f64 = row.iter().zip(stored).map(|(&w, &s)| square(f64::from(w) - f64::from(s))).sum();
        let size: f64 = row.iter().map(|&w| square(f64::from(w))).sum();
        (error, size, if size > 0.0 { error / size } else { 0.0 })
    });
    blocks.fold((0.0, 0.0, 0.0), add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_the_worst_block() {
        // A block of small weights and one large weight: 8-bit codes round the small ones to zero.
        let mut values: Vec<f32> = (0..64).map(|i| 1.0 - 2.0 * (i % 2) as f32).collect();
        values[..32].fill(0.003);
        values[31] = 1.0;
        let (error, size, worst) = sums_of_row(Storage::Q8, &values, &pack(Spec { rows: 1, cols: 64, storage: Storage::Q8 }, &values));
        let lost = 31.0 * 0.003f64.powi(2);
        assert!((error - lost).abs() < 1e-9 && (size - 33.0 - lost).abs() < 1e-9 && (worst - lost / (1.0 + lost)).abs() < 1e-9, "{error} {size} {worst}");
    }

    #[test]
    fn overflow_is_an_error() {
        assert!(!sums_of_row(Storage::F16, &[70_000.0], &[0x7c00]).0.is_finite());
        let file = ModelFile::embedded_teacher().unwrap();
        // The embedded teacher is stored in f16.
        for precision in [MatrixStorage::F32, MatrixStorage::F16] {
            assert_eq!(Rounding::of(&file, precision).unwrap(), Rounding { precision, rms: 0.0, worst: 0.0 });
        }
        let codes = Rounding::of(&file, MatrixStorage::Q8).unwrap();
        assert!(codes.rms > 1e-3 && codes.rms < 2e-2 && codes.worst > codes.rms, "{codes:?}");
    }
}
