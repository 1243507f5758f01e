//! Models as other programs read them: a Hugging Face directory, dense or with latent weights, and GGUF.

mod gguf;
mod hugging_face;
mod kind;
mod vocabulary;

pub use gguf::export_gguf;
pub use hugging_face::{export_dense, export_latent, generation_config, tokenizer_config};

use super::open::{ModelError, ModelFile};
use super::weights::Linears;
use crate::formats::FormatError;
use crate::platform;
use rayon::prelude::*;
use std::path::Path;

/// Told after each tensor: how many are written, and how many there are; whether to go on.
pub(super) type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// Refuses to write where something is already: an export never replaces what it did not make.
fn free(out: &Path) -> Result<(), ModelError> {
    if platform::exists(out) {
        return Err(FormatError::new(out, "is there already. Name another place, or remove it first").into());
    }
    Ok(())
}

/// The values of a linear layer's weight `(out, in)` as a plain linear layer has them: of a binarized one
/// W̃[o, i] = α[i]·sign(W[o, i]) + β[i] (arXiv 2407.07093, section 3).
fn dense_weight(source: &ModelFile, layer: &str, rows: usize, cols: usize) -> Result<Vec<f32>, ModelError> {
    if source.linears == Linears::Dense {
        return Ok(source.floats(&format!("{layer}.weight"), rows, cols)?);
    }
    let signs = source.signs(layer, rows, cols)?;
    let scale = source.floats(&format!("{layer}.wscale"), 1, cols)?;
    let bias = source.floats(&format!("{layer}.wbias"), 1, cols)?;
    let mut weight = vec![0.0; rows * cols];
    weight.par_chunks_mut(cols).zip(signs.par_chunks(cols.div_ceil(32))).for_each(|(row, words)| {
        for (i, value) in row.iter_mut().enumerate() {
            let positive = words[i / 32] >> (i % 32) & 1 == 1;
            *value = if positive { bias[i] + scale[i] } else { bias[i] - scale[i] };
        }
    });
    Ok(weight)
}
