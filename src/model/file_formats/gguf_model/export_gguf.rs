//! Export of a dense model as GGUF, for llama.cpp: matrices in F16, norms in F32.

use super::vocabulary::vocabulary;
use crate::formats::FormatError;
use crate::formats::gguf::ROPE_FACTORS;
use crate::formats::gguf::{GgufFloat, GgufTensorInfo, GgufValue, GgufWriter};
use crate::model::config::ModelConfig;
use crate::model::file::ModelFile;
use crate::model::file_formats::{ExportProgress, check_not_existing};
use crate::model::floats::Floats;
use crate::model::model_error::{ModelError, write_error};
use crate::model::tensors::{HeadKind, ModelTensor, Role};
use crate::platform;
use std::io::{self, Write};
use std::path::Path;

/// A tensor of the file and the model's tensor that it stores; `None` for RoPE's factors.
struct ExportedTensor {
    planned: GgufTensorInfo,
    tensor: Option<ModelTensor>,
}

/// Writes `source` as GGUF, with binarized layers as dense matrices. Returns the bytes of the tensors.
pub fn export_gguf(source: &ModelFile, out: &Path, progress: &mut ExportProgress<'_>) -> Result<u64, ModelError> {
    check_not_existing(out)?;
    let metadata = metadata(source)?;
    let tensors = planned(&source.config);
    let mut total = 0;
    let mut write = |file: &mut dyn Write| {
        let planned: Vec<GgufTensorInfo> = tensors.iter().map(|written| written.planned.clone()).collect();
        let mut writer = GgufWriter::new(file, &metadata, &planned)?;
        for (n, written) in tensors.iter().enumerate() {
            let bytes = bytes(source, written).map_err(io::Error::other)?;
            writer.tensor(&written.planned.name, &bytes)?;
            total += bytes.len() as u64;
            if !progress(n + 1, tensors.len()) {
                return Err(io::Error::other("stopped; nothing was written"));
            }
        }
        writer.finish()
    };
    platform::stream_atomic(out, &mut |file| write(file)).map_err(|error| write_error(out, error))?;
    Ok(total)
}

fn bytes(source: &ModelFile, ExportedTensor { planned, tensor }: &ExportedTensor) -> Result<Vec<u8>, ModelError> {
    let Some(tensor) = tensor else {
        return Floats::F32.encode(source.path(), ROPE_FACTORS, &source.config.rope_factors().unwrap_or_default());
    };
    let ModelTensor { rows, cols, .. } = *tensor;
    let (name, values) = match tensor.linear() {
        Some((layer, _)) => (layer, source.dense_weight(layer, rows, cols)?),
        None => (&*tensor.name, source.floats(&tensor.name, rows, cols)?),
    };
    let heads = tensor.row.permuted.map(|heads| match heads {
        HeadKind::Queries => source.config.num_attention_heads,
        HeadKind::Keys => source.config.kv_heads(),
    });
    let values = if let Some(heads) = heads { interleaved(&values, heads, rows / heads, cols) } else { values };
    let floats = if planned.floats == GgufFloat::F32 { Floats::F32 } else { Floats::F16 };
    source.encode(floats, name, &values)
}

/// Permutes the rows of each head to ggml's order: row j is next to row j + d/2.
fn interleaved(values: &[f32], heads: usize, head_dim: usize, cols: usize) -> Vec<f32> {
    let row = |head: usize, n: usize| {
        let first = (head * head_dim + n % 2 * (head_dim / 2) + n / 2) * cols;
        &values[first..first + cols]
    };
    (0..heads).flat_map(|head| (0..head_dim).flat_map(move |n| row(head, n))).copied().collect()
}

/// All tensors under ggml's names and in its order: RoPE's factors follow the blocks.
fn planned(config: &ModelConfig) -> Vec<ExportedTensor> {
    let of = |tensor: ModelTensor| {
        let ModelTensor { rows, cols, .. } = tensor;
        let (rows, floats) = if tensor.row.role == Role::Norm { (None, GgufFloat::F32) } else { (Some(rows), GgufFloat::F16) };
        ExportedTensor { planned: GgufTensorInfo { name: tensor.gguf(), rows, cols, floats }, tensor: Some(tensor) }
    };
    let mut list: Vec<ExportedTensor> = config.tensors().into_iter().map(of).collect();
    if let Some(factors) = config.rope_factors() {
        let planned = GgufTensorInfo { name: ROPE_FACTORS.into(), rows: None, cols: factors.len(), floats: GgufFloat::F32 };
        let blocks = list.iter().rposition(|written| written.tensor.as_ref().is_some_and(|tensor| tensor.row.is_of_block()));
        list.insert(blocks.map_or(0, |last| last + 1), ExportedTensor { planned, tensor: None });
    }
    list
}

/// The metadata of the file.
fn metadata(source: &ModelFile) -> Result<Vec<(String, GgufValue)>, ModelError> {
    let config = &source.config;
    let name = source.path().file_stem().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let mut entries = vec![
        ("general.architecture".to_string(), GgufValue::Text(config.architecture().gguf.into())),
        ("general.name".to_string(), GgufValue::Text(name)),
        // Mostly F16.
        ("general.file_type".to_string(), GgufValue::U32(1)),
    ];
    entries.extend(config.architecture().metadata_of(config));
    let tokenizer =
        source.tokenizer.as_ref().ok_or_else(|| FormatError::new(source.path(), "has no tokenizer, which GGUF requires. Put a tokenizer.json beside it"))?;
    entries.extend(vocabulary(source.path(), tokenizer, &source.chat, config.vocab_size)?);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::{ROPE_FACTORS, interleaved, planned};
    use crate::model::{ModelConfig, RopeScaling};

    #[test]
    fn llama_3s_scaling_is_written_as_a_tensor() {
        let plain = ModelConfig { hidden_size: 2048, num_attention_heads: 32, rope_theta: 5e5, ..ModelConfig::preset("5M", 100).unwrap() };
        assert!(planned(&plain).iter().all(|written| written.planned.name != ROPE_FACTORS));
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        let scaled = ModelConfig { rope_scaling: Some(scaling), ..plain };
        assert_eq!(planned(&scaled).iter().find(|written| written.planned.name == ROPE_FACTORS).unwrap().planned.cols, 32);
        let factors = scaled.rope_factors().unwrap();
        assert!(factors[..14].iter().all(|factor| *factor == 1.0) && factors[31] == 32.0, "{factors:?}");
    }

    #[test]
    fn halves_of_a_head_are_interleaved() {
        // Two heads of four rows of one column: 0 1 2 3 → 0 2 1 3.
        let rows: Vec<f32> = (0..8).map(|n| n as f32).collect();
        assert_eq!(interleaved(&rows, 2, 4, 1), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
