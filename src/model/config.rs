//! The shape of a LLaMA: presets, and the fields of a Hugging Face `config.json`.

use super::rope::RopeScaling;
use serde::{Deserialize, Serialize};

/// The shape of a LLaMA, under the names that Hugging Face gives them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; as many as query heads if absent.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size ÷ num_attention_heads` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Tokens known.
    pub vocab_size: usize,
    /// Longest context.
    #[serde(default = "default_context")]
    pub max_position_embeddings: usize,
    /// ε of RMSNorm.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// θ of RoPE.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// How its frequencies are scaled; not at all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
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

/// Gives a `config.json` of the type `llama` the fields that it lacks, as transformers has them: those of LLaMA 7B.
pub(super) fn with_defaults(json: &mut serde_json::Value) {
    if json["model_type"] != "llama" {
        return;
    }
    let Some(fields) = json.as_object_mut() else { return };
    let sizes = [
        ("vocab_size", 32_000),
        ("hidden_size", 4096),
        ("intermediate_size", 11_008),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("max_position_embeddings", default_context()),
    ];
    for (name, size) in sizes {
        fields.entry(name).or_insert_with(|| size.into());
    }
}

/// A shape that cannot be a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("model configuration: {0}")]
pub struct ConfigError(pub String);

/// Sizes that Signet knows by name. `tiny` is the embedded default's.
pub const PRESETS: [&str; 6] = ["tiny", "5M", "130M", "1.3B", "7B", "13B"];

/// Public models that are used as teachers, whose shape Signet knows by name.
pub const TEACHERS: [&str; 4] = ["SmolLM2-135M", "SmolLM2-360M", "TinyLlama-1.1B", "LLaMA2-7B"];

/// Most blocks a model may have, and most parameters: far above any model there is, and far below where a
/// plan would take minutes or a count overflow.
const LAYERS: usize = 1024;
/// Longest context that a model may declare. Nothing of that size is reserved: memory follows from what is used.
pub(super) const LONGEST: usize = i32::MAX as usize;
const PARAMETERS: f64 = 1e13;

/// Linear layers that read the same input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is called; no tensor of a file has this name.
    pub name: String,
    /// Inputs.
    pub width: usize,
    /// Full name and outputs of each layer.
    pub members: Vec<(String, usize)>,
}

impl Group {
    /// Outputs of each layer.
    pub fn outs(&self) -> Vec<usize> {
        self.members.iter().map(|(_, out)| *out).collect()
    }

    /// Outputs of all layers together.
    pub fn out(&self) -> usize {
        self.members.iter().map(|(_, out)| out).sum()
    }
}

impl LlamaConfig {
    /// The shape of one of [`TEACHERS`], as its `config.json` has it.
    pub fn teacher(name: &str) -> Option<Self> {
        // Layers, width, feed-forward, query heads, key heads, vocabulary, context, θ, tied.
        let (layers, width, feed_forward, heads, kv_heads, vocabulary, context, theta, tied) = match name {
            "SmolLM2-135M" => (30, 576, 1536, 9, 3, 49_152, 8192, 1e5, true),
            "SmolLM2-360M" => (32, 960, 2560, 15, 5, 49_152, 8192, 1e5, true),
            "TinyLlama-1.1B" => (22, 2048, 5632, 32, 4, 32_000, 2048, 1e4, false),
            "LLaMA2-7B" => (32, 4096, 11008, 32, 32, 32_000, 4096, 1e4, false),
            _ => return None,
        };
        Some(Self {
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

    /// A size by its name, with this vocabulary (the teacher's, never the preset's).
    pub fn preset(name: &str, vocab_size: usize) -> Result<Self, ConfigError> {
        // Layers, width, feed-forward, heads, context.
        let (layers, width, feed_forward, heads, context) = match name {
            "tiny" => (4, 192, 512, 6, 512),
            "5M" => (4, 256, 688, 4, 512),
            "130M" => (12, 768, 2048, 12, 2048),
            "1.3B" => (24, 2048, 5632, 32, 2048),
            "7B" => (32, 4096, 11008, 32, 2048),
            "13B" => (40, 5120, 13824, 40, 2048),
            _ => return Err(ConfigError(format!("no preset is called {name:?}; there are {}", PRESETS.join(", ")))),
        };
        Ok(Self {
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

    /// Width of all query heads.
    pub fn q_width(&self) -> usize {
        self.num_attention_heads * self.head_dim()
    }

    /// Width of all key heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads() * self.head_dim()
    }

    /// Refuses shapes that cannot be computed, naming the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fields = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.kv_heads()),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", self.head_dim()),
        ];
        for (name, value) in fields {
            let most = match name {
                "num_hidden_layers" => LAYERS,
                "max_position_embeddings" => LONGEST,
                _ => 1 << 20,
            };
            if value == 0 || value > most {
                return Err(ConfigError(format!("{name} is {value}; it must be between 1 and {most}")));
            }
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(ConfigError(format!("hidden_size {} is not a multiple of num_attention_heads {}", self.hidden_size, self.num_attention_heads)));
        }
        if !self.num_attention_heads.is_multiple_of(self.kv_heads()) {
            return Err(ConfigError(format!("num_attention_heads {} is not a multiple of num_key_value_heads {}", self.num_attention_heads, self.kv_heads())));
        }
        if !self.head_dim().is_multiple_of(2) || self.head_dim() > 256 {
            return Err(ConfigError(format!("the head width is {}; it must be even and at most 256", self.head_dim())));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(ConfigError(format!("rms_norm_eps is {}; it must be between 0 and 1", self.rms_norm_eps)));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return Err(ConfigError(format!("rope_theta is {}; it must be at least 1", self.rope_theta)));
        }
        self.rope_scaling.as_ref().map_or(Ok(()), |scaling| scaling.check(self.head_dim() / 2))?;
        // As floats, so that what is far too much does not overflow; every other factor is small by now.
        let block: f64 = self.linears_of(0).map(|(_, out, width)| out as f64 * width as f64).sum();
        let parameters = block * self.num_hidden_layers as f64 + 2.0 * self.vocab_size as f64 * self.hidden_size as f64;
        if parameters > PARAMETERS {
            return Err(ConfigError(format!("a model of this shape has {parameters:.1e} parameters; there may be {PARAMETERS:.0e}")));
        }
        Ok(())
    }

    /// The linear layers of a block, grouped by what they read. The layers of a group are computed
    /// as one matrix, one below the other.
    pub fn groups_of(&self, layer: usize) -> [Group; 4] {
        let (width, wide) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.q_width(), self.kv_width());
        let group = |name: &str, part: &str, width: usize, members: &[(&str, usize)]| Group {
            name: format!("model.layers.{layer}.{name}"),
            width,
            members: members.iter().map(|(member, out)| (format!("model.layers.{layer}.{part}.{member}"), *out)).collect(),
        };
        [
            group("qkv", "self_attn", width, &[("q_proj", q), ("k_proj", kv), ("v_proj", kv)]),
            group("o", "self_attn", q, &[("o_proj", width)]),
            group("gate_up", "mlp", width, &[("gate_proj", wide), ("up_proj", wide)]),
            group("down", "mlp", wide, &[("down_proj", width)]),
        ]
    }

    /// The groups of every block, in order.
    pub fn groups(&self) -> Vec<Group> {
        (0..self.num_hidden_layers).flat_map(|layer| self.groups_of(layer)).collect()
    }

    /// The linear layers of block `layer`: (full name, out, in), in order.
    pub fn linears_of(&self, layer: usize) -> impl Iterator<Item = (String, usize, usize)> + use<> {
        self.groups_of(layer).into_iter().flat_map(|group| group.members.into_iter().map(move |(name, out)| (name, out, group.width)))
    }

    /// Every linear layer that a student binarizes: (full name, out, in), in order.
    pub fn linears(&self) -> Vec<(String, usize, usize)> {
        (0..self.num_hidden_layers).flat_map(|layer| self.linears_of(layer)).collect()
    }

    /// Every tensor outside those linears: (full name, rows, cols), norms as one row.
    pub fn others(&self) -> Vec<(String, usize, usize)> {
        let width = self.hidden_size;
        let mut list = vec![("model.embed_tokens.weight".into(), self.vocab_size, width)];
        for layer in 0..self.num_hidden_layers {
            list.push((format!("model.layers.{layer}.input_layernorm.weight"), 1, width));
            list.push((format!("model.layers.{layer}.post_attention_layernorm.weight"), 1, width));
        }
        list.push(("model.norm.weight".into(), 1, width));
        if !self.tie_word_embeddings {
            list.push(("lm_head.weight".into(), self.vocab_size, width));
        }
        list
    }

    /// Weights that a student binarizes.
    pub fn binarized_weights(&self) -> u64 {
        self.linears().iter().map(|&(_, out, width)| out as u64 * width as u64).sum()
    }

    /// All parameters of a full-precision model of this shape.
    pub fn parameters(&self) -> u64 {
        self.binarized_weights() + self.others().iter().map(|&(_, rows, cols)| rows as u64 * cols as u64).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_papers_sizes() {
        let sizes: Vec<f64> = PRESETS[2..5].iter().map(|name| LlamaConfig::preset(name, 32_000).unwrap().parameters() as f64 / 1e9).collect();
        assert!((sizes[0] - 0.134).abs() < 0.001 && (sizes[1] - 1.364).abs() < 0.001 && (sizes[2] - 6.738).abs() < 0.01, "{sizes:?}");
        let teachers: Vec<u64> = TEACHERS.iter().map(|name| LlamaConfig::teacher(name).unwrap().parameters()).collect();
        assert_eq!(teachers, [134_515_008, 361_821_120, 1_100_048_384, 6_738_415_616]);
        for name in PRESETS {
            LlamaConfig::preset(name, 4096).unwrap().check().unwrap();
        }
    }

    #[test]
    fn impossible_shapes_are_named() {
        let good = LlamaConfig::preset("5M", 100).unwrap();
        let bad = [
            (LlamaConfig { vocab_size: 0, ..good.clone() }, "vocab_size"),
            (LlamaConfig { num_attention_heads: 3, num_key_value_heads: None, ..good.clone() }, "hidden_size"),
            (LlamaConfig { num_key_value_heads: Some(3), ..good.clone() }, "num_key_value_heads"),
            (LlamaConfig { rms_norm_eps: f64::NAN, ..good.clone() }, "rms_norm_eps"),
            (LlamaConfig { num_hidden_layers: 1025, ..good.clone() }, "num_hidden_layers"),
            (LlamaConfig { num_hidden_layers: 1000, intermediate_size: 1 << 20, hidden_size: 1 << 14, head_dim: Some(64), ..good.clone() }, "parameters"),
        ];
        for (config, field) in bad {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
