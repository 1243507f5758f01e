//! Models as files: a Hugging Face directory, or one that is part of the program.

use super::config::LlamaConfig;
use super::init::load;
use super::weights::{Linears, Purpose, Weights};
use crate::data::{Tokenizer, TokenizerError};
use crate::formats::safetensors::{FormatError, TensorFile};
use crate::graph::{Machine, MachineError};
use std::path::Path;

/// Why a model could not be opened or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of it.
    #[error(transparent)]
    File(#[from] FormatError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The machine it is loaded on.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// A model on disk or in the program: its shape is known, its tensors are read when it is loaded.
pub struct ModelFile {
    /// Its shape.
    pub config: LlamaConfig,
    /// Whether its linear layers are binarized.
    pub linears: Linears,
    /// Its tokenizer, if it came with one.
    pub tokenizer: Option<Tokenizer>,
    tensors: TensorFile,
}

impl ModelFile {
    /// Opens a Hugging Face directory: `config.json`, `model.safetensors`, and `tokenizer.json` if
    /// there is one.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let config_path = path.join("config.json");
        let bytes = std::fs::read(&config_path).map_err(|error| {
            FormatError::new(&config_path, format!("cannot be read: {error}. A model is a directory with config.json and model.safetensors"))
        })?;
        let tensors = TensorFile::open(&path.join("model.safetensors"))?;
        let tokenizer_path = path.join("tokenizer.json");
        let tokenizer = if tokenizer_path.exists() { Some(Tokenizer::open(&tokenizer_path)?) } else { None };
        Self::new(&config_path, &bytes, tensors, tokenizer)
    }

    /// The embedded teacher.
    pub fn embedded_teacher() -> Result<Self, ModelError> {
        Err(FormatError::new(Path::new("the embedded teacher"), "is not part of this build").into())
    }

    fn new(config_path: &Path, config: &[u8], tensors: TensorFile, tokenizer: Option<Tokenizer>) -> Result<Self, ModelError> {
        let config: LlamaConfig = serde_json::from_slice(config).map_err(|error| FormatError::new(config_path, error))?;
        config.check().map_err(|error| FormatError::new(config_path, error))?;
        let (first, _, _) = &config.linears()[0];
        let linears = if tensors.shape(&format!("{first}.wscale"))?.is_some() { Linears::Binary } else { Linears::Dense };
        Ok(Self { config, linears, tokenizer, tensors })
    }

    /// Reserves memory on a machine and fills it.
    pub fn load(&self, machine: &mut Machine, purpose: Purpose) -> Result<Weights, ModelError> {
        let weights = Weights::allocate(machine, &self.config, self.linears, purpose)?;
        self.fill(machine, &weights)?;
        Ok(weights)
    }

    /// Fills weights of the same shape.
    pub fn fill(&self, machine: &mut Machine, weights: &Weights) -> Result<(), ModelError> {
        load(machine, weights, &mut |name, rows, cols| self.floats(name, rows, cols).map_err(ModelError::from))
    }

    /// One tensor.
    pub fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        self.tensors.floats(name, rows, cols)
    }
}
