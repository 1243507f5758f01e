//! Architectures, one file each: keys of its configuration, its table of tensors, and its tape. All else asks the list
//! here; a new one needs its file, a place in the list, a test and a golden run.

mod gguf_config;
mod hugging_face_config;
mod llama;

use super::config::{ConfigError, ModelConfig};
use super::forward::Forward;
use super::rope_scaling::MAX_CONTEXT;
use super::tensors::{LayerGroup, ModelTensor, Role, TensorRow};
use crate::graph::{ShapeError, Tape, TensorId};
use serde_json::Value;

/// Returns true if the value of a field in a `config.json` is supported.
pub type IsSupported = fn(&Value) -> bool;

/// A model architecture: names, settings, tensors and forward pass.
#[derive(Debug)]
pub struct Architecture {
    /// The name in messages.
    pub title: &'static str,
    /// `model_type` of a `config.json`.
    pub model_type: &'static str,
    /// The class in transformers, in `architectures` of a `config.json`.
    pub class: &'static str,
    /// Defaults of transformers for fields missing from a `config.json` with `model_type`.
    pub defaults: &'static [(&'static str, usize)],
    /// Fields of a `config.json` with a check that their value is supported.
    pub fields: &'static [(&'static str, IsSupported)],
    /// Fields that transformers expects in a `config.json` in addition to the shape.
    pub extra_fields: fn() -> Value,
    /// `general.architecture` of a GGUF file, and the prefix of its keys.
    pub gguf: &'static str,
    /// Supported keys after that prefix, in addition to those of every architecture. Any other key is an error, since it
    /// might change the computation.
    pub keys: &'static [&'static str],
    /// Keys that have no effect if they are 0 or false.
    pub ignored_keys: &'static [&'static str],
    /// Tensors before the blocks, in GGUF's order.
    pub first: &'static [TensorRow],
    /// Tensors of every block, in GGUF's order.
    pub block: &'static [TensorRow],
    /// Tensors after the blocks, in GGUF's order.
    pub last: &'static [TensorRow],
    /// Records the forward pass up to the final norm, see [`Forward::hidden`].
    pub(super) tape: fn(&Forward<'_>, &mut Tape, TensorId) -> Result<TensorId, ShapeError>,
}

/// All architectures. The first is the default for files that do not name one.
pub static ALL: [&Architecture; 1] = [&llama::LLAMA];

/// Limits on blocks and parameters: far above any existing model, and low enough that planning takes seconds and counts
/// do not overflow.
const MAX_LAYERS: usize = 1024;
const MAX_PARAMETERS: f64 = 1e13;

impl Architecture {
    /// All rows of the tensor table.
    pub fn rows(&self) -> impl Iterator<Item = &'static TensorRow> + use<> {
        self.first.iter().chain(self.block).chain(self.last)
    }

    /// The row of the tensor called `name` in Hugging Face's files.
    pub fn row(&self, name: &str) -> Option<&'static TensorRow> {
        self.rows().find(|row| TensorRow::matches(row.name, name).is_some())
    }

    /// The Hugging Face name of the tensor with this role outside the blocks.
    fn unique(&self, role: Role) -> &'static str {
        self.first.iter().chain(self.last).find(|row| row.role == role).map_or_else(|| panic!("{} has no {role:?}", self.title), |row| row.name)
    }

    /// The name of the embedding.
    pub fn embedding(&self) -> &'static str {
        self.unique(Role::Embedding)
    }

    /// The name of the untied head.
    pub fn head(&self) -> &'static str {
        self.unique(Role::Head)
    }
}

/// The names of all architectures, for messages.
fn titles() -> String {
    ALL.map(|architecture| architecture.title).join(" or ")
}

impl ModelConfig {
    /// The architecture of a validated configuration.
    pub fn architecture(&self) -> &'static Architecture {
        self.find_architecture().unwrap_or_else(|| panic!("no architecture is called {:?}", self.model_type))
    }

    fn find_architecture(&self) -> Option<&'static Architecture> {
        ALL.into_iter().find(|architecture| architecture.model_type == self.model_type)
    }

    /// Validates the shape; the error names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.find_architecture().is_none() {
            return Err(ConfigError(format!("model_type {:?} is not supported. Supported: {}", self.model_type, titles())));
        }
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
            let max = match name {
                "num_hidden_layers" => MAX_LAYERS,
                "max_position_embeddings" => MAX_CONTEXT,
                _ => 1 << 20,
            };
            if value == 0 || value > max {
                return Err(ConfigError(format!("{name} is {value}; it must be between 1 and {max}")));
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
        self.rope_scaling.as_ref().map_or(Ok(()), |scaling| scaling.check(self.head_dim() / 2)).map_err(ConfigError)?;
        // In floats, so that the count does not overflow.
        let block: f64 = self.linears_of(0).map(|(_, out, width)| out as f64 * width as f64).sum();
        let parameters = block * self.num_hidden_layers as f64 + 2.0 * self.vocab_size as f64 * self.hidden_size as f64;
        if parameters > MAX_PARAMETERS {
            return Err(ConfigError(format!("a model of this shape has {parameters:.1e} parameters; at most {MAX_PARAMETERS:.0e} are supported")));
        }
        Ok(())
    }

    /// All tensors of a model of this shape, in order.
    pub fn tensors(&self) -> Vec<ModelTensor> {
        let architecture = self.architecture();
        let outside = |rows: &'static [TensorRow]| rows.iter().map(|row| ModelTensor::of(row, self, 0));
        let blocks = (0..self.num_hidden_layers).flat_map(|block| self.tensors_of(block));
        let all = outside(architecture.first).chain(blocks).chain(outside(architecture.last));
        all.filter(|tensor| tensor.row.role != Role::Head || !self.tie_word_embeddings).collect()
    }

    /// The tensors of a block.
    fn tensors_of(&self, block: usize) -> impl Iterator<Item = ModelTensor> {
        self.architecture().block.iter().map(move |row| ModelTensor::of(row, self, block))
    }

    /// The role of the tensor called `name` in files.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.architecture().row(name).map(|row| row.role)
    }

    /// The tensor whose rows may have non-finite values: an untied embedding, where a row affects only texts that contain
    /// its token.
    pub(super) fn nonfinite_tensor(&self) -> Option<&'static str> {
        (!self.tie_word_embeddings).then(|| self.architecture().embedding())
    }

    /// The linear layers of a block, grouped by input. Layers of a group are computed as one stacked matrix.
    pub fn groups_of(&self, layer: usize) -> Vec<LayerGroup> {
        LayerGroup::all(self.tensors_of(layer))
    }

    /// The groups of every block, in order.
    pub fn groups(&self) -> Vec<LayerGroup> {
        (0..self.num_hidden_layers).flat_map(|layer| self.groups_of(layer)).collect()
    }

    /// The linear layers of block `layer`: (full name, out, in), in order.
    pub fn linears_of(&self, layer: usize) -> impl Iterator<Item = (String, usize, usize)> + use<> {
        self.groups_of(layer).into_iter().flat_map(|group| group.members.into_iter().map(move |(name, out)| (name, out, group.width)))
    }

    /// All linear layers that a student binarizes: (full name, out, in), in order.
    pub fn linears(&self) -> Vec<(String, usize, usize)> {
        (0..self.num_hidden_layers).flat_map(|layer| self.linears_of(layer)).collect()
    }

    /// All other tensors, in order.
    pub fn plain(&self) -> impl Iterator<Item = ModelTensor> {
        self.tensors().into_iter().filter(|tensor| tensor.linear().is_none())
    }

    /// All other tensors: (full name, rows, cols), norms as one row.
    pub fn others(&self) -> Vec<(String, usize, usize)> {
        self.plain().map(|tensor| (tensor.name, tensor.rows, tensor.cols)).collect()
    }

    /// The number of weights that a student binarizes.
    pub fn binarized_weights(&self) -> u64 {
        self.linears().iter().map(|&(_, out, width)| out as u64 * width as u64).sum()
    }

    /// The number of parameters of a full-precision model of this shape.
    pub fn parameters(&self) -> u64 {
        self.binarized_weights() + self.others().iter().map(|&(_, rows, cols)| rows as u64 * cols as u64).sum::<u64>()
    }
}

impl Forward<'_> {
    /// Records the forward pass up to the final norm: `tokens (batch·seq, 1)` → `(batch·seq, width)`.
    pub fn hidden(&self, tape: &mut Tape, tokens: TensorId) -> Result<TensorId, ShapeError> {
        (self.weights.config.architecture().tape)(self, tape, tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensors::{WEIGHT, numbered};

    #[test]
    fn names_in_a_table_are_unique() {
        for architecture in ALL {
            for (n, row) in architecture.rows().enumerate() {
                assert!(row.name.ends_with(WEIGHT), "{}", row.name);
                assert_eq!(row.is_of_block(), row.gguf.contains("{}"), "{}: in both names or in none", row.name);
                for (names, of) in [("Hugging Face", (|row| row.name) as fn(&TensorRow) -> &'static str), ("GGUF", |row| row.gguf)] {
                    let twelfth = numbered(of(row), 12);
                    let matching: Vec<usize> =
                        architecture.rows().enumerate().filter(|(_, row)| TensorRow::matches(of(row), &twelfth).is_some()).map(|(n, _)| n).collect();
                    assert_eq!(matching, [n], "{twelfth} of {names}");
                }
            }
            let groups = architecture.block.iter().filter_map(|row| if let Role::Linear { group } = row.role { Some(group) } else { None });
            assert!(groups.into_iter().all(|group| group.contains("{}")), "a group's name has its block's number");
            // These must exist.
            assert!(!architecture.embedding().is_empty() && !architecture.head().is_empty());
        }
    }

    #[test]
    fn names_are_those_of_a_plain_llama() {
        let llama = ALL[0];
        let theirs = |own: &str| llama.rows().find_map(|row| Some(numbered(row.name, TensorRow::matches(row.gguf, own)?)));
        assert_eq!(theirs("blk.12.attn_q.weight").as_deref(), Some("model.layers.12.self_attn.q_proj.weight"));
        assert_eq!(theirs("output.weight").as_deref(), Some("lm_head.weight"));
        for other in ["blk.0.attn_q.bias", "blk.00.attn_q.weight", "blk.+1.attn_q.weight", "blk..attn_q.weight", "rope_freqs.weight", "blk.0.attn_qkv.weight"] {
            assert_eq!(theirs(other), None, "{other}");
        }
        let config = ModelConfig { num_hidden_layers: 2, tie_word_embeddings: true, ..ModelConfig::preset("tiny", 100).unwrap() };
        let names = |of: fn(&ModelTensor) -> String| config.tensors().iter().map(of).collect::<Vec<_>>();
        assert_eq!(names(|tensor| tensor.name.clone()).len(), 2 * 9 + 2, "a tied model has no head of its own");
        assert_eq!(names(ModelTensor::gguf)[..3], ["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight"]);
        let groups: Vec<String> = config.groups_of(1).into_iter().map(|group| format!("{} {}", group.name, group.members.len())).collect();
        assert_eq!(groups, ["model.layers.1.qkv 3", "model.layers.1.o 1", "model.layers.1.gate_up 2", "model.layers.1.down 1"]);
        assert_eq!(config.role("model.layers.1.input_layernorm.weight"), Some(Role::Norm));
        assert_eq!(config.role("model.layers.1.qkv.weight"), None);
        let unknown = ModelConfig { model_type: "mamba".into(), ..config }.check().unwrap_err().to_string();
        assert!(unknown.contains("model_type \"mamba\" is not supported. Supported: LLaMA"), "{unknown}");
    }
    use crate::model::config::{PRESETS, TEACHERS};

    #[test]
    fn presets_have_the_papers_sizes() {
        let sizes: Vec<f64> = PRESETS[2..5].iter().map(|name| ModelConfig::preset(name, 32_000).unwrap().parameters() as f64 / 1e9).collect();
        assert!((sizes[0] - 0.134).abs() < 0.001 && (sizes[1] - 1.364).abs() < 0.001 && (sizes[2] - 6.738).abs() < 0.01, "{sizes:?}");
        let teachers: Vec<u64> = TEACHERS.iter().map(|name| ModelConfig::teacher(name).unwrap().parameters()).collect();
        assert_eq!(teachers, [134_515_008, 361_821_120, 1_711_376_384, 1_100_048_384, 6_738_415_616]);
        for name in PRESETS {
            ModelConfig::preset(name, 4096).unwrap().check().unwrap();
        }
    }

    #[test]
    fn invalid_shapes_are_errors_that_name_the_field() {
        let good = ModelConfig::preset("5M", 100).unwrap();
        let bad = [
            (ModelConfig { vocab_size: 0, ..good.clone() }, "vocab_size"),
            (ModelConfig { num_attention_heads: 3, num_key_value_heads: None, ..good.clone() }, "hidden_size"),
            (ModelConfig { num_key_value_heads: Some(3), ..good.clone() }, "num_key_value_heads"),
            (ModelConfig { rms_norm_eps: f64::NAN, ..good.clone() }, "rms_norm_eps"),
            (ModelConfig { num_hidden_layers: 1025, ..good.clone() }, "num_hidden_layers"),
            (ModelConfig { num_hidden_layers: 1000, intermediate_size: 1 << 20, hidden_size: 1 << 14, head_dim: Some(64), ..good.clone() }, "parameters"),
        ];
        for (config, field) in bad {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
