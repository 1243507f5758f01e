//! A LLaMA in a GGUF file: its shape, tokenizer and template from the metadata.

use super::chat_format::{ChatFormat, Templates};
use super::config::LlamaConfig;
use super::open::ModelError;
use super::rope::{Factors, RopeScaling};
use crate::data::Tokenizer;
use crate::formats::gguf::{Gguf, Metadata, ROPE_FACTORS};
use crate::formats::{FormatError, TensorSource};
use std::collections::BTreeMap;

/// Keys behind `llama.` that are understood. Any other might ask for something that Signet would not
/// compute.
const KNOWN: [&str; 18] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "vocab_size",
    // Notes.
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "tensor_data_layout",
];
/// Keys that change nothing if they are 0 or false.
const IDLE: [&str; 4] = ["expert_count", "expert_used_count", "use_parallel_residual", "attention.sliding_window"];

/// What a GGUF file says of its model.
pub(super) struct Described {
    pub(super) config: LlamaConfig,
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) chat: ChatFormat,
}

impl Described {
    /// Reads it; a model that Signet would compute wrongly is refused by name.
    pub(super) fn read(file: &Gguf) -> Result<Self, ModelError> {
        let metadata = file.metadata();
        refuse(file)?;
        Ok(Self { config: config(file)?, tokenizer: Tokenizer::from_gguf(metadata)?, chat: chat(metadata)? })
    }
}

/// Refuses what is no plain LLaMA.
fn refuse(file: &Gguf) -> Result<(), FormatError> {
    let metadata = file.metadata();
    let architecture = metadata.text("general.architecture")?.ok_or_else(|| metadata.problem("has no metadata general.architecture"))?;
    if architecture != "llama" {
        return Err(metadata.problem(format!("is a model of architecture {architecture}; Signet computes llama")));
    }
    let parts = metadata.count("split.count")?.unwrap_or(1);
    if parts > 1 {
        return Err(metadata.problem(format!("is one of {parts} parts of a model. To join them: llama-gguf-split --merge FIRST OUT")));
    }
    for key in metadata.keys().filter_map(|key| key.strip_prefix("llama.")) {
        if !KNOWN.contains(&key) && !idle(metadata, key) {
            return Err(metadata.problem(format!("metadata llama.{key} is there: Signet computes LLaMA without it")));
        }
    }
    match file.strangers().find(|name| *name != ROPE_FACTORS) {
        Some(name) => Err(metadata.problem(format!("tensor {name} is there: Signet computes LLaMA without it"))),
        None => Ok(()),
    }
}

/// Whether a key changes nothing with the value that it has.
fn idle(metadata: &Metadata, key: &str) -> bool {
    let full = format!("llama.{key}");
    let nothing = matches!(metadata.count(&full), Ok(Some(0))) || matches!(metadata.flag(&full), Ok(Some(false)));
    IDLE.contains(&key) && nothing
}

fn config(file: &Gguf) -> Result<LlamaConfig, FormatError> {
    let metadata = file.metadata();
    let count = |key: &str| metadata.count(&format!("llama.{key}"));
    let real = |key: &str| metadata.real(&format!("llama.{key}"));
    let missing = |key: &str| metadata.problem(format!("has no metadata llama.{key}"));
    let needed = |key: &str| count(key)?.ok_or_else(|| missing(key));
    const EMBEDDING: &str = "model.embed_tokens.weight";
    let embedding = file.shape(EMBEDDING).ok_or_else(|| metadata.problem(format!("has no tensor {}", file.called(EMBEDDING))))?;
    let epsilon = "attention.layer_norm_rms_epsilon";
    let (width, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
    let config = LlamaConfig {
        hidden_size: width,
        intermediate_size: needed("feed_forward_length")?,
        num_hidden_layers: needed("block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: count("attention.head_count_kv")?,
        // Said only where it does not follow, as in a config.json.
        head_dim: count("attention.key_length")?.filter(|head| head.checked_mul(heads) != Some(width)),
        vocab_size: embedding[0],
        max_position_embeddings: needed("context_length")?,
        rms_norm_eps: real(epsilon)?.ok_or_else(|| missing(epsilon))?,
        rope_theta: real("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: linear(metadata)?,
        tie_word_embeddings: file.shape("lm_head.weight").is_none(),
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(width) = count(key)?.filter(|width| *width != config.head_dim()) {
            return Err(metadata.problem(format!("metadata llama.{key} is {width}; Signet computes LLaMA with that of a head, {}", config.head_dim())));
        }
    }
    // Shapes are compared below with what the configuration says, which must say something first.
    config.check().map_err(|error| metadata.problem(error))?;
    match file.shape(ROPE_FACTORS) {
        Some(_) => with_factors(file, config),
        None => Ok(config),
    }
}

/// RoPE's linear scaling, if the metadata ask for it.
fn linear(metadata: &Metadata) -> Result<Option<RopeScaling>, FormatError> {
    let factor = match metadata.real("llama.rope.scaling.factor")? {
        // The name until 2023.
        None => metadata.real("llama.rope.scale_linear")?,
        factor => factor,
    };
    match metadata.text("llama.rope.scaling.type")? {
        None | Some("linear") => Ok(factor.filter(|&factor| factor != 0.0 && factor != 1.0).map(|factor| RopeScaling::Linear { factor })),
        Some("none") => Ok(None),
        Some(other) => {
            Err(metadata.problem(format!("metadata llama.rope.scaling.type is {other:?}; Signet computes none, linear and factors (by {ROPE_FACTORS})")))
        }
    }
}

/// The shape with the factors by which a file divides RoPE's frequencies, besides a linear scaling. Those of Llama 3's
/// scaling are known again.
fn with_factors(file: &Gguf, config: LlamaConfig) -> Result<LlamaConfig, FormatError> {
    // The shortest decimal that rounds to a factor is the one that was meant.
    let factors = file.floats(ROPE_FACTORS, 1, config.head_dim() / 2)?.into_iter().map(|factor| factor.to_string().parse().expect("a float's text is a float"));
    let factors: Vec<f64> = factors.collect();
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(config);
    }
    let scaling = match config.rope_scaling {
        Some(RopeScaling::Linear { factor }) => RopeScaling::Factors(Factors(factors.iter().map(|own| own * factor).collect())),
        _ => RopeScaling::llama3(&config.rope_frequencies(), &factors).unwrap_or(RopeScaling::Factors(Factors(factors))),
    };
    let config = LlamaConfig { rope_scaling: Some(scaling), ..config };
    config.check().map_err(|error| file.metadata().problem(format!("tensor {ROPE_FACTORS}: {error}")))?;
    Ok(config)
}

fn chat(metadata: &Metadata) -> Result<ChatFormat, FormatError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |key: &str| Ok::<_, FormatError>(metadata.count(key)?.and_then(|id| tokens.get(id).cloned()));
    let mut special_tokens: BTreeMap<String, String> = BTreeMap::new();
    for name in ["bos_token", "eos_token"] {
        special_tokens.extend(token(&format!("tokenizer.ggml.{name}_id"))?.map(|text| (name.to_string(), text)));
    }
    Ok(ChatFormat { template: templates(metadata)?, special_tokens })
}

/// The chat templates: one, and others whose names are in a list. llama.cpp looks for that of tools without the list.
fn templates(metadata: &Metadata) -> Result<Option<Templates>, FormatError> {
    const KEY: &str = "tokenizer.chat_template";
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    named.extend(metadata.text(KEY)?.map(|template| (Templates::DEFAULT.to_string(), template.to_string())));
    let listed = metadata.texts("tokenizer.chat_templates")?.unwrap_or_default();
    for name in listed.iter().map(String::as_str).chain([Templates::TOOLS]) {
        named.extend(metadata.text(&format!("{KEY}.{name}"))?.map(|template| (name.to_string(), template.to_string())));
    }
    Ok(Templates::named(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;
    use std::path::Path;
    use std::sync::Arc;

    /// The configuration of `tests/gguf/llama3.gguf` with some bytes replaced.
    fn described(from: &[u8], to: &[u8]) -> Result<LlamaConfig, String> {
        let mut bytes = platform::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/llama3.gguf")).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("they are in the file");
        bytes[at..at + from.len()].copy_from_slice(to);
        let file = Gguf::owned("llama3", Arc::new(bytes)).map_err(|error| error.to_string())?;
        Described::read(&file).map(|described| described.config).map_err(|error| error.to_string())
    }

    #[test]
    fn llama_3s_frequencies_are_known_by_what_divides_them() {
        let config = described(b"GGUF", b"GGUF").unwrap();
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        assert_eq!((config.rope_scaling, config.rope_theta, config.vocab_size, config.tie_word_embeddings), (Some(scaling), 5e5, 4, true));
        // Of the slow ones, which are divided by most, one by less.
        let other = described(&32f32.to_le_bytes(), &31f32.to_le_bytes()).unwrap();
        let Some(RopeScaling::Factors(Factors(factors))) = other.rope_scaling else { panic!("{other:?}") };
        assert!(factors.contains(&31.0) && factors.contains(&32.0), "{factors:?}");
        let nothing = described(&32f32.to_le_bytes(), &0f32.to_le_bytes()).unwrap_err();
        assert!(nothing.contains("llama3: tensor rope_freqs.weight") && nothing.contains("short_factor has 0"), "{nothing}");
        let stranger = described(b"rope_freqs", b"rope_frogs").unwrap_err();
        assert!(stranger.contains("tensor rope_frogs.weight is there"), "{stranger}");
        let missing = described(b"token_embd", b"token_emba").unwrap_err();
        assert!(missing.contains("tensor token_emba.weight is there"), "{missing}");
    }
}
