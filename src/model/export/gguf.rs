//! A dense model as GGUF, for llama.cpp and what is built on it: matrices in F16, norms in F32.

use super::vocabulary::vocabulary;
use super::{Progress, dense_weight, free};
use crate::formats::FormatError;
use crate::formats::gguf::ROPE_FACTORS;
use crate::formats::gguf::write::{Entry, GgufFloats, GgufWriter, Planned};
use crate::model::config::LlamaConfig;
use crate::model::encode::Floats;
use crate::model::open::{ModelError, ModelFile};
use crate::model::pack::failure;
use crate::model::rope::RopeScaling;
use crate::platform;
use std::io::{self, Write};
use std::path::Path;

/// A tensor of the file, and what of the model it holds.
struct Tensor {
    planned: Planned,
    /// Its name in the model; of a linear layer's weight without `.weight`.
    source: String,
    linear: bool,
    /// Heads whose rows ggml has in another order, of q and k.
    heads: Option<usize>,
}

/// Writes `source` as GGUF; binarized layers as the matrices they stand for. Gives the bytes of its tensors.
pub fn export_gguf(source: &ModelFile, out: &Path, progress: &mut Progress<'_>) -> Result<u64, ModelError> {
    free(out)?;
    let metadata = metadata(source)?;
    let tensors = tensors(&source.config);
    let mut total = 0;
    let mut write = |file: &mut dyn Write| {
        let planned: Vec<Planned> = tensors.iter().map(|tensor| tensor.planned.clone()).collect();
        let mut writer = GgufWriter::new(file, &metadata, &planned)?;
        for (n, tensor) in tensors.iter().enumerate() {
            let bytes = bytes(source, tensor).map_err(io::Error::other)?;
            writer.tensor(&tensor.planned.name, &bytes)?;
            total += bytes.len() as u64;
            if !progress(n + 1, tensors.len()) {
                return Err(io::Error::other("stopped; nothing was written"));
            }
        }
        writer.finish()
    };
    platform::stream_atomic(out, &mut |file| write(file)).map_err(|error| failure(out, error))?;
    Ok(total)
}

fn bytes(source: &ModelFile, tensor: &Tensor) -> Result<Vec<u8>, ModelError> {
    let Tensor { planned, source: name, linear, heads } = tensor;
    if planned.name == ROPE_FACTORS {
        return Floats::F32.encode(source.path(), ROPE_FACTORS, &source.config.rope_factors().unwrap_or_default());
    }
    let (rows, cols) = (planned.rows.unwrap_or(1), planned.cols);
    let values = if *linear { dense_weight(source, name, rows, cols)? } else { source.floats(name, rows, cols)? };
    let values = match heads {
        Some(heads) => interleaved(&values, *heads, rows / heads, cols),
        None => values,
    };
    let floats = if planned.floats == GgufFloats::F32 { Floats::F32 } else { Floats::F16 };
    source.encoded(floats, name, &values)
}

/// Rows of each head as ggml rotates them: dimension j next to j + d/2, where Hugging Face has the halves one
/// after the other.
fn interleaved(values: &[f32], heads: usize, head_dim: usize, cols: usize) -> Vec<f32> {
    let row = |head: usize, n: usize| {
        let first = (head * head_dim + n % 2 * (head_dim / 2) + n / 2) * cols;
        &values[first..first + cols]
    };
    (0..heads).flat_map(|head| (0..head_dim).flat_map(move |n| row(head, n))).copied().collect()
}

/// Every tensor under ggml's name, in its order.
fn tensors(config: &LlamaConfig) -> Vec<Tensor> {
    let width = config.hidden_size;
    let vector = |name: String, source: String| Tensor {
        planned: Planned { name, rows: None, cols: width, floats: GgufFloats::F32 },
        source,
        linear: false,
        heads: None,
    };
    let matrix = |name: String, source: String, linear: bool, (rows, cols): (usize, usize)| Tensor {
        planned: Planned { name, rows: Some(rows), cols, floats: GgufFloats::F16 },
        heads: None,
        source,
        linear,
    };
    let mut list = vec![matrix("token_embd.weight".into(), "model.embed_tokens.weight".into(), false, (config.vocab_size, width))];
    for layer in 0..config.num_hidden_layers {
        let block = format!("blk.{layer}");
        list.push(vector(format!("{block}.attn_norm.weight"), format!("model.layers.{layer}.input_layernorm.weight")));
        for (name, rows, cols) in config.linears_of(layer) {
            let (part, heads) = part(config, &name);
            list.push(Tensor { heads, ..matrix(format!("{block}.{part}.weight"), name, true, (rows, cols)) });
        }
        list.push(vector(format!("{block}.ffn_norm.weight"), format!("model.layers.{layer}.post_attention_layernorm.weight")));
    }
    if let Some(factors) = config.rope_factors() {
        let planned = Planned { name: ROPE_FACTORS.into(), rows: None, cols: factors.len(), floats: GgufFloats::F32 };
        list.push(Tensor { planned, source: String::new(), linear: false, heads: None });
    }
    list.push(vector("output_norm.weight".into(), "model.norm.weight".into()));
    if !config.tie_word_embeddings {
        list.push(matrix("output.weight".into(), "lm_head.weight".into(), false, (config.vocab_size, width)));
    }
    list
}

/// What ggml calls a linear layer, and its heads if their rows are reordered.
fn part(config: &LlamaConfig, layer: &str) -> (&'static str, Option<usize>) {
    match layer.rsplit('.').next().expect("a name") {
        "q_proj" => ("attn_q", Some(config.num_attention_heads)),
        "k_proj" => ("attn_k", Some(config.kv_heads())),
        "v_proj" => ("attn_v", None),
        "o_proj" => ("attn_output", None),
        "gate_proj" => ("ffn_gate", None),
        "up_proj" => ("ffn_up", None),
        "down_proj" => ("ffn_down", None),
        other => unreachable!("no linear layer is called {other}"),
    }
}

/// What llama.cpp wants to know of a model besides its tensors.
fn metadata(source: &ModelFile) -> Result<Vec<(String, Entry)>, ModelError> {
    let config = &source.config;
    let name = source.path().file_stem().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let mut entries = vec![
        ("general.architecture".to_string(), Entry::Text("llama".into())),
        ("general.name".to_string(), Entry::Text(name)),
        // Mostly F16.
        ("general.file_type".to_string(), Entry::U32(1)),
    ];
    let sizes = [
        ("vocab_size", config.vocab_size),
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("block_count", config.num_hidden_layers),
        ("feed_forward_length", config.intermediate_size),
        ("attention.head_count", config.num_attention_heads),
        ("attention.head_count_kv", config.kv_heads()),
        ("attention.key_length", config.head_dim()),
        ("attention.value_length", config.head_dim()),
        ("rope.dimension_count", config.head_dim()),
    ];
    entries.extend(sizes.map(|(key, size)| (format!("llama.{key}"), Entry::U32(size as u32))));
    entries.push(("llama.attention.layer_norm_rms_epsilon".into(), Entry::F32(config.rms_norm_eps as f32)));
    entries.push(("llama.rope.freq_base".into(), Entry::F32(config.rope_theta as f32)));
    if let Some(RopeScaling::Linear { factor }) = config.rope_scaling {
        entries.push(("llama.rope.scaling.type".into(), Entry::Text("linear".into())));
        entries.push(("llama.rope.scaling.factor".into(), Entry::F32(factor as f32)));
    }
    let tokenizer = source.tokenizer.as_ref().ok_or_else(|| FormatError::new(source.path(), "came without a tokenizer, which a GGUF file must have"))?;
    entries.extend(vocabulary(source.path(), tokenizer, &source.chat, config.vocab_size)?);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::{ROPE_FACTORS, interleaved, tensors};
    use crate::model::{LlamaConfig, RopeScaling};

    #[test]
    fn llama_3s_scaling_is_a_tensor() {
        let plain = LlamaConfig { hidden_size: 2048, num_attention_heads: 32, rope_theta: 5e5, ..LlamaConfig::preset("5M", 100).unwrap() };
        assert!(tensors(&plain).iter().all(|tensor| tensor.planned.name != ROPE_FACTORS));
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        let scaled = LlamaConfig { rope_scaling: Some(scaling), ..plain };
        assert_eq!(tensors(&scaled).iter().find(|tensor| tensor.planned.name == ROPE_FACTORS).unwrap().planned.cols, 32);
        let factors = scaled.rope_factors().unwrap();
        assert!(factors[..14].iter().all(|factor| *factor == 1.0) && factors[31] == 32.0, "{factors:?}");
    }

    #[test]
    fn halves_of_a_head_become_neighbours() {
        // Two heads of four rows of one column: 0 1 2 3 → 0 2 1 3.
        let rows: Vec<f32> = (0..8).map(|n| n as f32).collect();
        assert_eq!(interleaved(&rows, 2, 4, 1), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
