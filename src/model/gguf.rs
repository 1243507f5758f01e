//! A LLaMA in a GGUF file: its shape, tokenizer and template from the metadata.

use super::config::LlamaConfig;
use super::open::{ChatFormat, ModelError};
use crate::data::Tokenizer;
use crate::formats::gguf::{Gguf, Metadata};
use crate::formats::{FormatError, TensorSource};

/// Keys behind `llama.` that are understood. Any other might ask for something that Signet would not
/// compute.
const KNOWN: [&str; 14] = [
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
    "vocab_size",
    // Notes.
    "rope.scaling.finetuned",
    "tensor_data_layout",
];
/// Keys that change nothing if they are 0, false or `none`.
const IDLE: [&str; 6] = ["expert_count", "expert_used_count", "use_parallel_residual", "rope.scaling.type", "attention.sliding_window", "rope.scaling.factor"];

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
        let config = config(file)?;
        config.check().map_err(|error| metadata.problem(error))?;
        Ok(Self { config, tokenizer: Tokenizer::from_gguf(metadata)?, chat: chat(metadata)? })
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
    match file.strangers().next() {
        Some(name) => Err(metadata.problem(format!("tensor {name} is there: Signet computes LLaMA without it"))),
        None => Ok(()),
    }
}

/// Whether a key changes nothing with the value that it has.
fn idle(metadata: &Metadata, key: &str) -> bool {
    let full = format!("llama.{key}");
    let nothing =
        matches!(metadata.count(&full), Ok(Some(0))) || matches!(metadata.flag(&full), Ok(Some(false))) || matches!(metadata.text(&full), Ok(Some("none")));
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
    let config = LlamaConfig {
        hidden_size: needed("embedding_length")?,
        intermediate_size: needed("feed_forward_length")?,
        num_hidden_layers: needed("block_count")?,
        num_attention_heads: needed("attention.head_count")?,
        num_key_value_heads: count("attention.head_count_kv")?,
        head_dim: count("attention.key_length")?,
        vocab_size: embedding[0],
        max_position_embeddings: needed("context_length")?,
        rms_norm_eps: real(epsilon)?.ok_or_else(|| missing(epsilon))?,
        rope_theta: real("rope.freq_base")?.unwrap_or(10_000.0),
        tie_word_embeddings: file.shape("lm_head.weight").is_none(),
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(width) = count(key)?.filter(|width| *width != config.head_dim()) {
            return Err(metadata.problem(format!("metadata llama.{key} is {width}; Signet computes LLaMA with that of a head, {}", config.head_dim())));
        }
    }
    Ok(config)
}

fn chat(metadata: &Metadata) -> Result<ChatFormat, FormatError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |key: &str| Ok::<_, FormatError>(metadata.count(key)?.and_then(|id| tokens.get(id).cloned()));
    Ok(ChatFormat {
        template: metadata.text("tokenizer.chat_template")?.map(str::to_string),
        bos_token: token("tokenizer.ggml.bos_token_id")?,
        eos_token: token("tokenizer.ggml.eos_token_id")?,
    })
}
