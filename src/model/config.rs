//! The configuration of a model: the fields of a Hugging Face `config.json`, and presets.

use super::rope_scaling::RopeScaling;
use serde::{Deserialize, Serialize};

/// The configuration of a model of any architecture, with Hugging Face's field names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture; `llama` if absent.
    #[serde(default = "default_type", skip_serializing_if = "is_default_type")]
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Transformer blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; as many as query heads if absent.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size ÷ num_attention_heads` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Vocabulary size.
    pub vocab_size: usize,
    /// Context length.
    #[serde(default = "default_context")]
    pub max_position_embeddings: usize,
    /// ε of RMSNorm.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// θ of RoPE.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// RoPE scaling, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// True if the output head is tied to the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

fn default_type() -> String {
    "llama".into()
}
fn is_default_type(name: &str) -> bool {
    name == default_type()
}
fn default_context() -> usize {
    2048
}
fn default_epsilon() -> f64 {
    1e-6
}
fn default_theta() -> f64 {
    10_000.0
}

/// An error in a model configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("model configuration: {0}")]
pub struct ConfigError(pub String);

/// A model preset.
struct Preset {
    name: &'static str,
    /// Description in the form of a new run.
    description: &'static str,
    layers: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    context: usize,
}

/// Model presets, smallest first. `tiny` is the size of the embedded student.
const SIZES: [Preset; 6] = [
    Preset { name: "tiny", description: "4 blocks of width 192: minutes on a CPU", layers: 4, width: 192, feed_forward: 512, heads: 6, context: 512 },
    Preset { name: "5M", description: "4 blocks of width 256", layers: 4, width: 256, feed_forward: 688, heads: 4, context: 512 },
    Preset { name: "130M", description: "12 blocks of width 768", layers: 12, width: 768, feed_forward: 2048, heads: 12, context: 2048 },
    Preset { name: "1.3B", description: "24 blocks of width 2048", layers: 24, width: 2048, feed_forward: 5632, heads: 32, context: 2048 },
    Preset { name: "7B", description: "32 blocks of width 4096", layers: 32, width: 4096, feed_forward: 11008, heads: 32, context: 2048 },
    Preset { name: "13B", description: "40 blocks of width 5120", layers: 40, width: 5120, feed_forward: 13824, heads: 40, context: 2048 },
];

/// Names and descriptions of the presets.
pub const PRESET_CHOICES: [(&str, &str); SIZES.len()] = {
    let mut choices = [("", ""); SIZES.len()];
    let mut n = 0;
    while n < choices.len() {
        choices[n] = (SIZES[n].name, SIZES[n].description);
        n += 1;
    }
    choices
};

/// Names of the presets.
pub const PRESETS: [&str; SIZES.len()] = {
    let mut names = [""; SIZES.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = SIZES[n].name;
        n += 1;
    }
    names
};

/// Names of public models with a built-in configuration, used as teachers.
pub const TEACHERS: [&str; 5] = ["SmolLM2-135M", "SmolLM2-360M", "SmolLM2-1.7B", "TinyLlama-1.1B", "LLaMA2-7B"];

impl ModelConfig {
    /// The configuration of one of [`TEACHERS`].
    pub fn teacher(name: &str) -> Option<Self> {
        // Layers, width, feed-forward, query heads, key heads, vocabulary, context, θ, tied.
        let (layers, width, feed_forward, heads, kv_heads, vocabulary, context, theta, tied) = match name {
            "SmolLM2-135M" => (30, 576, 1536, 9, 3, 49_152, 8192, 1e5, true),
            "SmolLM2-360M" => (32, 960, 2560, 15, 5, 49_152, 8192, 1e5, true),
            "SmolLM2-1.7B" => (24, 2048, 8192, 32, 32, 49_152, 8192, 1.3e5, true),
            "TinyLlama-1.1B" => (22, 2048, 5632, 32, 4, 32_000, 2048, 1e4, false),
            "LLaMA2-7B" => (32, 4096, 11008, 32, 32, 32_000, 4096, 1e4, false),
            _ => return None,
        };
        Some(Self {
            model_type: default_type(),
            hidden_size: width,
            intermediate_size: feed_forward,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: Some(kv_heads),
            head_dim: None,
            vocab_size: vocabulary,
            max_position_embeddings: context,
            rms_norm_eps: 1e-5,
            rope_theta: theta,
            rope_scaling: None,
            tie_word_embeddings: tied,
        })
    }

    /// A preset by name, with the teacher's vocabulary size.
    pub fn preset(name: &str, vocab_size: usize) -> Result<Self, ConfigError> {
        let preset = SIZES.iter().find(|preset| preset.name == name);
        let Some(&Preset { layers, width, feed_forward, heads, context, .. }) = preset else {
            return Err(ConfigError(format!("unknown preset {name:?}. Available: {}", PRESETS.join(", "))));
        };
        Ok(Self {
            model_type: default_type(),
            hidden_size: width,
            intermediate_size: feed_forward,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: Some(heads),
            head_dim: None,
            vocab_size,
            max_position_embeddings: context,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tie_word_embeddings: false,
        })
    }

    /// Key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Total width of the query heads.
    pub fn q_width(&self) -> usize {
        self.num_attention_heads * self.head_dim()
    }

    /// Total width of the key heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads() * self.head_dim()
    }

    /// The divisor of each frequency, as in GGUF; `None` if all have the same divisor.
    pub(super) fn rope_factors(&self) -> Option<Vec<f32>> {
        let plain = ModelConfig { rope_scaling: None, ..self.clone() }.rope_frequencies();
        let own = matches!(self.rope_scaling, Some(RopeScaling::Llama3 { .. } | RopeScaling::Factors(_)));
        own.then(|| plain.iter().zip(self.rope_frequencies()).map(|(plain, scaled)| (plain / scaled) as f32).collect())
    }

    /// The angle in radians from one token to the next for each of the `head_dim/2` pairs of features:
    /// θ^(−2j/head_dim), scaled.
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let width = self.head_dim();
        let plain = (0..width / 2).map(|j| self.rope_theta.powf(-2.0 * j as f64 / width as f64));
        plain.enumerate().map(|(j, frequency)| self.rope_scaling.as_ref().map_or(frequency, |scaling| scaling.scaled(j, frequency))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_what_its_words_say() {
        for (name, description) in PRESET_CHOICES {
            let ModelConfig { num_hidden_layers, hidden_size, .. } = ModelConfig::preset(name, 4096).unwrap();
            assert_eq!(description.split(':').next().unwrap(), format!("{num_hidden_layers} blocks of width {hidden_size}"), "{name}");
        }
    }
}
