//! GGUF metadata of an architecture, read and written: the keys that all architectures share and those of each. Keys
//! and tensors that Signet does not support are errors.

use super::{ALL, Architecture};
use crate::formats::gguf::{Gguf, GgufMetadata, GgufValue, ROPE_FACTORS};
use crate::formats::{FormatError, TensorSource};
use crate::model::config::ModelConfig;
use crate::model::rope_scaling::{Factors, RopeScaling};
use crate::model::tensors::TensorRow;

/// Keys, after the architecture's prefix, that all architectures support.
const COMMON_KEYS: [&str; 14] = [
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
    "vocab_size",
];
/// Keys that are informative only.
const INFORMATIVE: [&str; 2] = ["rope.scaling.finetuned", "rope.scaling.original_context_length"];

impl Architecture {
    /// The architecture that a file names. An error if it is not supported.
    pub(in crate::model) fn of_gguf(metadata: &GgufMetadata) -> Result<&'static Self, FormatError> {
        let name = metadata.text("general.architecture")?.ok_or_else(|| metadata.problem("has no metadata general.architecture"))?;
        let known = ALL.into_iter().find(|architecture| architecture.gguf == name);
        known.ok_or_else(|| {
            let names = ALL.map(|architecture| architecture.gguf).join(", ");
            metadata.problem(format!("has the architecture {name}, which Signet does not support. Supported: {names}"))
        })
    }

    /// The configuration that a file of this architecture declares. An error if the model needs something unsupported.
    pub(in crate::model) fn config_of(&self, file: &Gguf) -> Result<ModelConfig, FormatError> {
        self.check_gguf_supported(file)?;
        let metadata = file.metadata();
        let key = |key: &str| format!("{}.{key}", self.gguf);
        let count = |name: &str| metadata.count(&key(name));
        let real = |name: &str| metadata.real(&key(name));
        let missing = |name: &str| metadata.problem(format!("has no metadata {}", key(name)));
        let needed = |name: &str| count(name)?.ok_or_else(|| missing(name));
        let own = |name: &str| self.row(name).map_or("", |row| row.gguf);
        let (embedding, head) = (self.embedding(), self.head());
        let rows = file.shape(own(embedding)).ok_or_else(|| metadata.problem(format!("has no tensor {} ({embedding})", own(embedding))))?;
        let epsilon = "attention.layer_norm_rms_epsilon";
        let (width, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
        let config = ModelConfig {
            model_type: self.model_type.into(),
            hidden_size: width,
            intermediate_size: needed("feed_forward_length")?,
            num_hidden_layers: needed("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: count("attention.head_count_kv")?,
            // Only where it does not follow from the other sizes, as in a config.json.
            head_dim: count("attention.key_length")?.filter(|head| head.checked_mul(heads) != Some(width)),
            vocab_size: rows[0],
            max_position_embeddings: needed("context_length")?,
            rms_norm_eps: real(epsilon)?.ok_or_else(|| missing(epsilon))?,
            rope_theta: real("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: self.linear_scaling(metadata)?,
            tie_word_embeddings: file.shape(own(head)).is_none(),
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            if let Some(width) = count(name)?.filter(|width| *width != config.head_dim()) {
                let problem = format!("metadata {} is {width}; Signet supports {} only if it is the head width, {}", key(name), self.title, config.head_dim());
                return Err(metadata.problem(problem));
            }
        }
        // Validate before RoPE's factors are compared with the configuration.
        config.check().map_err(|error| metadata.problem(error))?;
        match file.shape(ROPE_FACTORS) {
            Some(_) => with_factors(file, config),
            None => Ok(config),
        }
    }

    /// Checks that the file has no unsupported keys or tensors.
    fn check_gguf_supported(&self, file: &Gguf) -> Result<(), FormatError> {
        let metadata = file.metadata();
        let parts = metadata.count("split.count")?.unwrap_or(1);
        if parts > 1 {
            return Err(metadata.problem(format!("is one of {parts} parts of a model. Join them with `llama-gguf-split --merge FIRST OUT`")));
        }
        let prefix = format!("{}.", self.gguf);
        for key in metadata.keys().filter_map(|key| key.strip_prefix(&prefix)) {
            if !COMMON_KEYS.contains(&key) && !INFORMATIVE.contains(&key) && !self.keys.contains(&key) && !self.has_no_effect(metadata, key) {
                return Err(metadata.problem(format!("metadata {prefix}{key} is not supported: Signet computes {} without it", self.title)));
            }
        }
        let known = |name: &String| name == ROPE_FACTORS || self.rows().any(|row| TensorRow::matches(row.gguf, name).is_some());
        match file.names().into_iter().filter(|name| !known(name)).min() {
            Some(name) => Err(metadata.problem(format!("tensor {name} is not supported: Signet computes {} without it", self.title))),
            None => Ok(()),
        }
    }

    /// Returns true if a key has no effect at its value.
    fn has_no_effect(&self, metadata: &GgufMetadata, key: &str) -> bool {
        let full = format!("{}.{key}", self.gguf);
        let nothing = matches!(metadata.count(&full), Ok(Some(0))) || matches!(metadata.flag(&full), Ok(Some(false)));
        self.ignored_keys.contains(&key) && nothing
    }

    /// Linear RoPE scaling, if the metadata declare it.
    fn linear_scaling(&self, metadata: &GgufMetadata) -> Result<Option<RopeScaling>, FormatError> {
        let key = |key: &str| format!("{}.rope.{key}", self.gguf);
        let factor = match metadata.real(&key("scaling.factor"))? {
            // The key until 2023.
            None => metadata.real(&key("scale_linear"))?,
            factor => factor,
        };
        let kind = key("scaling.type");
        match metadata.text(&kind)? {
            None | Some("linear") => Ok(factor.filter(|&factor| factor != 0.0 && factor != 1.0).map(|factor| RopeScaling::Linear { factor })),
            Some("none") => Ok(None),
            Some(other) => Err(metadata.problem(format!("metadata {kind} is {other:?}; supported are none, linear, and factors in the tensor {ROPE_FACTORS}"))),
        }
    }

    /// The metadata for `config`.
    pub(in crate::model) fn metadata_of(&self, config: &ModelConfig) -> Vec<(String, GgufValue)> {
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
        let mut entries: Vec<(&str, GgufValue)> = sizes.map(|(key, size)| (key, GgufValue::U32(size as u32))).into();
        entries.push(("attention.layer_norm_rms_epsilon", GgufValue::F32(config.rms_norm_eps as f32)));
        entries.push(("rope.freq_base", GgufValue::F32(config.rope_theta as f32)));
        if let Some(RopeScaling::Linear { factor }) = config.rope_scaling {
            entries.push(("rope.scaling.type", GgufValue::Text("linear".into())));
            entries.push(("rope.scaling.factor", GgufValue::F32(factor as f32)));
        }
        entries.into_iter().map(|(key, value)| (format!("{}.{key}", self.gguf), value)).collect()
    }
}

/// Adds the factors by which a file divides RoPE's frequencies, in addition to linear scaling. Recognizes the factors
/// of Llama 3's scaling.
fn with_factors(file: &Gguf, config: ModelConfig) -> Result<ModelConfig, FormatError> {
    // The shortest decimal that rounds to the factor.
    let factors = file.floats(ROPE_FACTORS, 1, config.head_dim() / 2)?.into_iter().map(|factor| factor.to_string().parse().expect("a float's text is a float"));
    let factors: Vec<f64> = factors.collect();
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(config);
    }
    let scaling = match config.rope_scaling {
        Some(RopeScaling::Linear { factor }) => RopeScaling::Factors(Factors(factors.iter().map(|own| own * factor).collect())),
        _ => RopeScaling::llama3(&config.rope_frequencies(), &factors).unwrap_or(RopeScaling::Factors(Factors(factors))),
    };
    let config = ModelConfig { rope_scaling: Some(scaling), ..config };
    config.check().map_err(|error| file.metadata().problem(format!("tensor {ROPE_FACTORS}: {error}")))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;
    use std::path::Path;
    use std::sync::Arc;

    /// The configuration of `tests/gguf/llama3.gguf` with some bytes replaced.
    fn config_with(from: &[u8], to: &[u8]) -> Result<ModelConfig, String> {
        let mut bytes = platform::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/llama3.gguf")).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("they are in the file");
        bytes[at..at + from.len()].copy_from_slice(to);
        let file = Gguf::owned("llama3", Arc::new(bytes)).map_err(|error| error.to_string())?;
        let architecture = Architecture::of_gguf(file.metadata()).map_err(|error| error.to_string())?;
        architecture.config_of(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn recognizes_llama_3s_scaling_by_its_factors() {
        let config = config_with(b"GGUF", b"GGUF").unwrap();
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        assert_eq!((config.rope_scaling, config.rope_theta, config.vocab_size, config.tie_word_embeddings), (Some(scaling), 5e5, 4, true));
        // One of the low frequencies is divided by less.
        let other = config_with(&32f32.to_le_bytes(), &31f32.to_le_bytes()).unwrap();
        let Some(RopeScaling::Factors(Factors(factors))) = other.rope_scaling else { panic!("{other:?}") };
        assert!(factors.contains(&31.0) && factors.contains(&32.0), "{factors:?}");
        let nothing = config_with(&32f32.to_le_bytes(), &0f32.to_le_bytes()).unwrap_err();
        assert!(nothing.contains("llama3: tensor rope_freqs.weight") && nothing.contains("short_factor has 0"), "{nothing}");
        let unknown = config_with(b"rope_freqs", b"rope_frogs").unwrap_err();
        assert!(unknown.contains("tensor rope_frogs.weight is not supported"), "{unknown}");
        let missing = config_with(b"token_embd", b"token_emba").unwrap_err();
        assert!(missing.contains("tensor token_emba.weight is not supported"), "{missing}");
    }
}
