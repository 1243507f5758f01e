//! A model file of any format: configuration, tokenizer, and tensors that are read on demand.

use super::chat_format::ChatFormat;
use super::config::ModelConfig;
use super::floats::Floats;
use super::init::{init_from_dense, load};
use super::model_error::ModelError;
use super::signs;
use super::weights::{Linears, Purpose, Weights};
use crate::data::Tokenizer;
use crate::formats::safetensors::TensorFile;
use crate::formats::{FormatError, TensorSource, row_ranges};
use crate::graph::{Machine, Storage};
use crate::ops::pack_signs;
use crate::platform::parallel::*;
use std::path::Path;

/// An open model file. Its configuration and tensor shapes are validated; tensors are read when it is loaded.
pub struct ModelFile {
    /// The configuration.
    pub config: ModelConfig,
    /// The kind of its linear layers.
    pub linears: Linears,
    /// The tokenizer, if the model has one.
    pub tokenizer: Option<Tokenizer>,
    /// The chat template and special tokens.
    pub chat: ChatFormat,
    pub(super) tensors: Tensors,
}

/// The source of a model's tensors.
pub(super) enum Tensors {
    /// A packed file: signs as bits, no latent weights.
    Packed(Box<TensorFile>),
    /// All tensors as floats.
    Floats(Box<dyn TensorSource>),
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelFile {}", self.path().display())
    }
}

impl ModelFile {
    /// Checks names and shapes of all tensors before memory is allocated for them. The tokenizer may have ids without a
    /// row in the embedding (often a padding token); encoding a text to such an id is an error.
    pub(super) fn validated(mut self) -> Result<Self, ModelError> {
        self.tokenizer = self.tokenizer.map(|tokenizer| tokenizer.within(self.config.vocab_size));
        let (tensors, packed) = (self.tensors(), self.packed());
        let suffixes: &[&str] = if packed { &["signs"] } else { &["weight"] };
        for layer in 0..self.config.num_hidden_layers {
            for (name, rows, cols) in self.config.linears_of(layer) {
                for suffix in suffixes {
                    let cols = if packed { cols.div_ceil(32) } else { cols };
                    tensors.expect_shape(&format!("{name}.{suffix}"), rows, cols)?;
                }
                if self.linears == Linears::Binary {
                    tensors.expect_shape(&format!("{name}.wscale"), 1, cols)?;
                    tensors.expect_shape(&format!("{name}.wbias"), 1, cols)?;
                }
            }
        }
        for (name, rows, cols) in self.config.others() {
            tensors.expect_shape(&name, rows, cols)?;
        }
        Ok(self)
    }

    /// The tensors.
    pub fn tensors(&self) -> &dyn TensorSource {
        match &self.tensors {
            Tensors::Packed(file) => &**file,
            Tensors::Floats(source) => &**source,
        }
    }

    /// True for a packed file: signs as bits, no latent weights.
    pub fn packed(&self) -> bool {
        matches!(self.tensors, Tensors::Packed(_))
    }

    /// Rows of the embedding without a token: padding.
    pub fn padding(&self) -> usize {
        self.tokenizer.as_ref().map_or(0, |tokenizer| self.config.vocab_size - tokenizer.vocabulary())
    }

    /// The path, for messages.
    pub fn path(&self) -> &Path {
        self.tensors().path()
    }

    /// A checksum of the tensor file, which identifies the model.
    pub fn checksum(&self) -> Result<u64, FormatError> {
        self.tensors().checksum()
    }

    /// The lossless storage of matrices outside binarized layers: f16 if the file has all of them in f16, else f32.
    pub fn storage(&self) -> Storage {
        let others = self.config.others().into_iter().filter(|(_, rows, _)| *rows > 1).map(|(name, ..)| name);
        let linears = self.config.linears().into_iter().filter(|_| self.linears == Linears::Dense).map(|(name, ..)| format!("{name}.weight"));
        let halves = others.chain(linears).all(|name| self.tensors().dtype_name(&name) == Some("F16"));
        if halves { Storage::F16 } else { Storage::F32 }
    }

    /// Allocates memory on a machine and loads the weights.
    pub fn load(&self, machine: &mut Machine, purpose: Purpose) -> Result<Weights, ModelError> {
        if self.packed() && matches!(purpose, Purpose::Training(_)) {
            return Err(signs::no_latent(self.path()).into());
        }
        let mut weights = Weights::allocate(machine, &self.config, self.linears, purpose)?;
        match &self.tensors {
            Tensors::Floats(source) if self.config.nonfinite_tensor().is_some() && matches!(purpose, Purpose::Inference(_)) => {
                let mut unusable = Vec::new();
                load(machine, &weights, &mut |name, rows, cols, range| match self.config.nonfinite_tensor() == Some(name) {
                    true => {
                        source.expect_shape(name, rows, cols)?;
                        let values = source.read_values(name, cols, range.clone())?;
                        unusable.extend(signs::nonfinite_rows(&values, cols, range));
                        Ok::<_, ModelError>(values)
                    }
                    false => Ok(source.read_rows(name, rows, cols, range)?),
                })?;
                weights.set_unusable(unusable);
            }
            Tensors::Packed(file) => {
                let unusable = signs::fill(machine, &weights, file, self.config.nonfinite_tensor())?;
                weights.set_unusable(unusable);
            }
            _ => self.fill(machine, &weights)?,
        }
        Ok(weights)
    }

    /// Loads into weights of the same shape. Signs of a packed file are copied; those of latent weights are computed.
    pub fn fill(&self, machine: &mut Machine, weights: &Weights) -> Result<(), ModelError> {
        self.check_head(weights)?;
        match &self.tensors {
            Tensors::Packed(file) => signs::fill(machine, weights, file, None).map(drop),
            Tensors::Floats(source) => {
                load(machine, weights, &mut |name, rows, cols, range| Ok(source.read_rows(self.stored_name(name), rows, cols, range)?))
            }
        }
    }

    /// Checks that weights with a tied head are not filled from a model with a separate one.
    fn check_head(&self, weights: &Weights) -> Result<(), FormatError> {
        if weights.config.tie_word_embeddings && !self.config.tie_word_embeddings {
            let problem = "has a separate head (lm_head), but the model that it is loaded into has tie_word_embeddings = true. Set tie_word_embeddings to false in its config.json";
            return Err(FormatError::new(self.path(), problem));
        }
        Ok(())
    }

    /// The name of a tensor in the file: the head of a tied model is its embedding.
    fn stored_name<'a>(&self, name: &'a str) -> &'a str {
        let architecture = self.config.architecture();
        if name == architecture.head() && self.config.tie_word_embeddings { architecture.embedding() } else { name }
    }

    /// Initializes a student of the same shape from this full-precision model, see [`init_from_dense`].
    pub fn init_student(&self, machine: &mut Machine, weights: &Weights) -> Result<(), ModelError> {
        self.check_head(weights)?;
        init_from_dense(machine, weights, &mut |name, rows, cols, range| Ok(self.tensors().read_rows(self.stored_name(name), rows, cols, range)?))
    }

    /// The signs of a binarized layer `(rows, cols)`, packed by rows: bit j of a row's word k is column
    /// 32k + j, set where the weight is +1. The sign of a latent weight is +1 above zero and −1 otherwise, as in training.
    pub fn signs(&self, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        if let Tensors::Packed(file) = &self.tensors {
            return signs::signs(file, layer, rows, cols);
        }
        let latent = self.floats(&format!("{layer}.weight"), rows, cols)?;
        let mut words = vec![0; rows * cols.div_ceil(32)];
        pack_signs(&latent, cols, &mut words);
        Ok(words)
    }

    /// Reads a tensor. Rows of an untied embedding may have non-finite values.
    pub fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        if self.config.nonfinite_tensor() != Some(name) {
            return self.tensors().floats(name, rows, cols);
        }
        self.tensors().expect_shape(name, rows, cols)?;
        self.tensors().read_values(name, cols, 0..rows)
    }

    /// The dense weight `(out, in)` of a linear layer. For a binarized layer it is
    /// W̃[o, i] = α[i]·sign(W[o, i]) + β[i] (arXiv 2407.07093, section 3).
    pub(super) fn dense_weight(&self, layer: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        if self.linears == Linears::Dense {
            return self.floats(&format!("{layer}.weight"), rows, cols);
        }
        let signs = self.signs(layer, rows, cols)?;
        let scale = self.floats(&format!("{layer}.wscale"), 1, cols)?;
        let bias = self.floats(&format!("{layer}.wbias"), 1, cols)?;
        let mut weight = vec![0.0; rows * cols];
        weight.par_chunks_mut(cols).zip(signs.par_chunks(cols.div_ceil(32))).for_each(|(row, words)| {
            for (i, value) in row.iter_mut().enumerate() {
                let positive = words[i / 32] >> (i % 32) & 1 == 1;
                *value = if positive { bias[i] + scale[i] } else { bias[i] - scale[i] };
            }
        });
        Ok(weight)
    }

    /// Encodes a tensor's values; non-finite values are kept where [`ModelFile::floats`] allows them.
    pub(super) fn encode(&self, floats: Floats, name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
        match self.config.nonfinite_tensor() == Some(name) {
            true => floats.encode_any(self.path(), name, values),
            false => floats.encode(self.path(), name, values),
        }
    }
}

/// Unties the embeddings if the file has a head with other values, as transformers 5 does.
pub(super) fn untied_if_different(config: ModelConfig, tensors: &dyn TensorSource) -> ModelConfig {
    let tied = config.tie_word_embeddings && (tensors.shape(config.architecture().head()).is_none() || same_values(tensors, &config));
    ModelConfig { tie_word_embeddings: tied, ..config }
}

/// Returns true if embedding and head have the same values.
fn same_values(tensors: &dyn TensorSource, config: &ModelConfig) -> bool {
    let (rows, cols) = (config.vocab_size, config.hidden_size);
    let (embedding, head) = (config.architecture().embedding(), config.architecture().head());
    let part = |name, range| tensors.read_rows(name, rows, cols, range);
    row_ranges(rows, cols).all(|range| part(embedding, range.clone()).is_ok_and(|values| part(head, range).is_ok_and(|head| head == values)))
}
