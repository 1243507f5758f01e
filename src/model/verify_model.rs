//! Verification of a model file: every tensor is read.

use super::file::ModelFile;
use super::tensors::{Role, WEIGHT};
use super::weights::Linears;
use crate::formats::{FormatError, TensorSource, row_ranges};

impl ModelFile {
    /// Reads all tensors of the model. Non-finite values, non-zero padding and checksum mismatches are errors.
    /// `progress(done, total)` counts tensors and returns false to stop.
    pub fn verify(&self, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<(), FormatError> {
        let source = self.tensors();
        let (linears, others) = (self.config.linears(), self.config.plain().collect::<Vec<_>>());
        let of = linears.len() + others.len();
        for (n, (name, rows, cols)) in linears.iter().enumerate() {
            match self.packed() {
                true => self.signs(name, *rows, *cols).map(drop)?,
                false => read(source, &format!("{name}{WEIGHT}"), *rows, *cols, false)?,
            }
            if self.linears == Linears::Binary {
                ["wscale", "wbias"].iter().try_for_each(|part| read(source, &format!("{name}.{part}"), 1, *cols, false))?;
            }
            if !progress(n + 1, of) {
                return Ok(());
            }
        }
        for (n, tensor) in others.iter().enumerate() {
            // Non-finite rows of an embedding are allowed: tokens with such a row are rejected when a text is encoded.
            read(source, &tensor.name, tensor.rows, tensor.cols, tensor.row.role == Role::Embedding)?;
            if !progress(linears.len() + n + 1, of) {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if the tensors have checksums.
    pub fn has_sums(&self) -> bool {
        self.tensors().has_sums()
    }
}

/// Reads a tensor. Non-finite values are errors unless `any` is set.
fn read(source: &dyn TensorSource, name: &str, rows: usize, cols: usize, any: bool) -> Result<(), FormatError> {
    source.expect_shape(name, rows, cols)?;
    row_ranges(rows, cols).try_for_each(|range| match any {
        true => source.read_values(name, cols, range).map(drop),
        false => source.read_finite(name, cols, range).map(drop),
    })
}
