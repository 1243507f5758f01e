//! Models as files: a Hugging Face directory, a packed file, a GGUF file, or part of the program.

use super::chat_format::{ChatFormat, Templates};
use super::config::LlamaConfig;
use super::declared::Declared;
use super::directory;
use super::encode::Floats;
use super::gguf::{Described, Named};
use super::hugging_face::weights;
use super::init::{init_from_dense, load};
use super::names;
use super::pack;
use super::weights::{Linears, Purpose, Weights};
use crate::assets;
use crate::data::{Tokenizer, TokenizerError};
use crate::formats::gguf::{Gguf, MAGIC};
use crate::formats::safetensors::TensorFile;
use crate::formats::{FormatError, TensorSource, bands};
use crate::graph::{Machine, MachineError, Storage};
use crate::ops::pack_signs;
use crate::platform;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

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

/// A model on disk or in the program: its shape is known and its header checked; its tensors are
/// read when it is loaded.
pub struct ModelFile {
    /// Its shape.
    pub config: LlamaConfig,
    /// Whether its linear layers are binarized.
    pub linears: Linears,
    /// Its tokenizer, if it came with one.
    pub tokenizer: Option<Tokenizer>,
    /// How it wants conversations written.
    pub chat: ChatFormat,
    tensors: Tensors,
}

/// Where a model's tensors are.
enum Tensors {
    /// A packed file, whose signs are bits, without latent weights.
    Packed(Box<TensorFile>),
    /// All of them as floats.
    Floats(Box<dyn TensorSource>),
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelFile {}", self.path().display())
    }
}

impl ModelFile {
    /// Opens a packed file, a GGUF file, or a Hugging Face directory: `config.json`, the tensors (see
    /// `directory.rs`), and what there is of the tokenizer and its chat template (see `declared.rs`).
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if !platform::is_dir(path) {
            let start = platform::read_start(path, MAGIC.len()).map_err(|error| FormatError::unreadable(path, error))?;
            return if start == MAGIC { Self::from_gguf(Gguf::open(path)?) } else { Self::from_packed(TensorFile::open(path)?) };
        }
        let (config, sums) = directory::config(path)?;
        let tensors = directory::tensors(path, weights(&config).as_deref(), &sums)?;
        let Declared { tokenizer, chat } = Declared::read(path, &config, &sums)?;
        Self::from_dir(&path.join("config.json"), &config, tensors, tokenizer, chat)
    }

    /// The embedded demo student.
    pub fn embedded_student() -> Result<Self, ModelError> {
        Self::from_packed(Self::asset("the embedded student", assets::student())?)
    }

    /// The embedded teacher.
    pub fn embedded_teacher() -> Result<Self, ModelError> {
        Self::from_packed(Self::asset("the embedded teacher", assets::teacher())?)
    }

    fn asset(name: &str, bytes: std::io::Result<&'static [u8]>) -> Result<TensorFile, FormatError> {
        TensorFile::embedded(name, bytes.map_err(|error| FormatError::new(Path::new(name), error))?)
    }

    /// A packed file in memory, such as a snapshot of a student that trains, called `name` in messages.
    pub fn from_snapshot(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, ModelError> {
        Self::from_packed(TensorFile::owned(name, bytes)?)
    }

    /// The files of a Hugging Face directory that is part of the program, called `name` in messages.
    pub fn from_dir_bytes(name: &str, config: &[u8], model: &'static [u8], tokenizer: Option<&[u8]>, template: Option<&str>) -> Result<Self, ModelError> {
        let tensors = TensorFile::embedded(name, model)?;
        let tokenizer = tokenizer.map(Tokenizer::from_json).transpose()?;
        let chat = ChatFormat { template: template.map(|text| Templates::One(text.into())), ..ChatFormat::default() };
        Self::from_dir(Path::new(name), config, Box::new(tensors), tokenizer, chat)
    }

    fn from_dir(config_path: &Path, config: &[u8], tensors: Box<dyn TensorSource>, tokenizer: Option<Tokenizer>, chat: ChatFormat) -> Result<Self, ModelError> {
        let config = LlamaConfig::from_json(config).map_err(|problem| FormatError::new(config_path, problem))?;
        names::refuse_prefix(&*tensors, config.architecture())?;
        let (embedding, head) = (config.architecture().embedding(), config.architecture().head());
        let (config, tensors) = match config.tie_word_embeddings && tensors.shape(embedding).is_none() && tensors.shape(head).is_some() {
            true => (config, names::called(tensors, head, embedding)),
            false => (with_own_head(config, &*tensors), tensors),
        };
        let linears = match config.linears_of(0).next() {
            Some((first, _, _)) if tensors.shape(&format!("{first}.wscale")).is_some() => Linears::Binary,
            _ => Linears::Dense,
        };
        Self { config, linears, tokenizer, chat, tensors: Tensors::Floats(tensors) }.checked()
    }

    /// A GGUF file; what is no plain LLaMA is refused by name.
    pub fn from_gguf(file: Gguf) -> Result<Self, ModelError> {
        let file = Named::new(file)?;
        let Described { config, tokenizer, chat } = Described::read(&file)?;
        let (ids, rows) = (tokenizer.as_ref().map_or(0, Tokenizer::plain_ids), config.vocab_size);
        if ids > rows {
            let problem = format!("the tokenizer has {ids} ids, but the embedding only {rows} (vocab_size): they are not of one model");
            return Err(FormatError::new(file.path(), problem).into());
        }
        Self { config, linears: Linears::Dense, tokenizer, chat, tensors: Tensors::Floats(Box::new(file)) }.checked()
    }

    fn from_packed(tensors: TensorFile) -> Result<Self, ModelError> {
        let header = pack::Header::read(&tensors)?;
        let pack::Header { config, tokenizer, chat } = header;
        let config = with_own_head(config, &tensors);
        let packed = config.linears_of(0).next().is_some_and(|(first, _, _)| tensors.shape(&format!("{first}.signs")).is_some());
        let (linears, tensors) = match packed {
            true => (Linears::Binary, Tensors::Packed(Box::new(tensors))),
            false => (Linears::Dense, Tensors::Floats(Box::new(tensors))),
        };
        Self { config, linears, tokenizer, chat, tensors }.checked()
    }

    /// Checks names and shapes of all tensors, so that no memory is reserved for a model whose file
    /// does not have it. The tokenizer may have ids that the embedding has no row for (often one for padding): it
    /// refuses texts that are encoded to such an id.
    fn checked(mut self) -> Result<Self, ModelError> {
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

    /// Its tensors.
    pub fn tensors(&self) -> &dyn TensorSource {
        match &self.tensors {
            Tensors::Packed(file) => &**file,
            Tensors::Floats(source) => &**source,
        }
    }

    /// Whether its signs are stored as bits, without latent weights.
    pub fn packed(&self) -> bool {
        matches!(self.tensors, Tensors::Packed(_))
    }

    /// Rows of the embedding that its tokenizer gives no id for: padding.
    pub fn padding(&self) -> usize {
        self.tokenizer.as_ref().map_or(0, |tokenizer| self.config.vocab_size - tokenizer.vocabulary())
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        self.tensors().path()
    }

    /// A checksum of the file of its tensors, by which it is known again.
    pub fn checksum(&self) -> Result<u64, FormatError> {
        self.tensors().checksum()
    }

    /// How its matrices outside binarized layers are stored in memory without loss: in f16 where
    /// the file has all of them so, else in f32.
    pub fn storage(&self) -> Storage {
        let others = self.config.others().into_iter().filter(|(_, rows, _)| *rows > 1).map(|(name, ..)| name);
        let linears = self.config.linears().into_iter().filter(|_| self.linears == Linears::Dense).map(|(name, ..)| format!("{name}.weight"));
        let halves = others.chain(linears).all(|name| self.tensors().stored_as(&name) == Some("F16"));
        if halves { Storage::F16 } else { Storage::F32 }
    }

    /// Reserves memory on a machine and fills it.
    pub fn load(&self, machine: &mut Machine, purpose: Purpose) -> Result<Weights, ModelError> {
        if self.packed() && matches!(purpose, Purpose::Training(_)) {
            return Err(pack::no_latent(self.path()).into());
        }
        let mut weights = Weights::allocate(machine, &self.config, self.linears, purpose)?;
        match &self.tensors {
            Tensors::Floats(source) if free_rows(&self.config).is_some() && matches!(purpose, Purpose::Inference(_)) => {
                let mut unusable = Vec::new();
                load(machine, &weights, &mut |name, rows, cols, band| match free_rows(&self.config) == Some(name) {
                    true => {
                        source.expect_shape(name, rows, cols)?;
                        let values = source.values_of(name, cols, band.clone())?;
                        unusable.extend(not_finite(&values, cols, band));
                        Ok::<_, ModelError>(values)
                    }
                    false => Ok(source.band(name, rows, cols, band)?),
                })?;
                weights.set_unusable(unusable);
            }
            Tensors::Packed(file) => {
                let unusable = pack::fill(machine, &weights, file, free_rows(&self.config))?;
                weights.set_unusable(unusable);
            }
            _ => self.fill(machine, &weights)?,
        }
        Ok(weights)
    }

    /// Fills weights of the same shape. Signs of a packed file go to the machine as they are; those
    /// of latent weights are taken on the way.
    pub fn fill(&self, machine: &mut Machine, weights: &Weights) -> Result<(), ModelError> {
        self.check_head(weights)?;
        match &self.tensors {
            Tensors::Packed(file) => pack::fill(machine, weights, file, None).map(drop),
            Tensors::Floats(source) => load(machine, weights, &mut |name, rows, cols, band| Ok(source.band(self.name(name), rows, cols, band)?)),
        }
    }

    /// Refuses to fill weights that have no head of their own from a model that has one.
    fn check_head(&self, weights: &Weights) -> Result<(), FormatError> {
        if weights.config.tie_word_embeddings && !self.config.tie_word_embeddings {
            let problem =
                "has a head of its own, which a model with tie_word_embeddings = true cannot take. Set tie_word_embeddings to false in its config.json";
            return Err(FormatError::new(self.path(), problem));
        }
        Ok(())
    }

    /// The name under which the file has a tensor: the head of a tied model is its embedding.
    fn name<'a>(&self, name: &'a str) -> &'a str {
        let architecture = self.config.architecture();
        if name == architecture.head() && self.config.tie_word_embeddings { architecture.embedding() } else { name }
    }

    /// Fills weights of a student of the same shape from a full-precision model, see [`init_from_dense`].
    pub fn start(&self, machine: &mut Machine, weights: &Weights) -> Result<(), ModelError> {
        self.check_head(weights)?;
        init_from_dense(machine, weights, &mut |name, rows, cols, band| Ok(self.tensors().band(self.name(name), rows, cols, band)?))
    }

    /// The signs of a binarized layer `(rows, cols)`, packed by rows: bit j of a row's word k is column
    /// 32k + j, set where the weight is +1. Of a latent weight they are taken as the trainer takes them:
    /// +1 above zero, −1 at zero and below.
    pub fn signs(&self, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        if let Tensors::Packed(file) = &self.tensors {
            return pack::signs(file, layer, rows, cols);
        }
        let latent = self.floats(&format!("{layer}.weight"), rows, cols)?;
        let mut words = vec![0; rows * cols.div_ceil(32)];
        pack_signs(&latent, cols, &mut words);
        Ok(words)
    }

    /// One tensor. Rows of an embedding that is no head may hold numbers that are not finite.
    pub fn floats(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, FormatError> {
        if free_rows(&self.config) != Some(name) {
            return self.tensors().floats(name, rows, cols);
        }
        self.tensors().expect_shape(name, rows, cols)?;
        self.tensors().values_of(name, cols, 0..rows)
    }

    /// The bytes of a tensor's values, rounded; numbers that are not finite stay where [`ModelFile::floats`] gives them.
    pub(super) fn encoded(&self, floats: Floats, name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
        match free_rows(&self.config) == Some(name) {
            true => floats.encode_any(self.path(), name, values),
            false => floats.encode(self.path(), name, values),
        }
    }
}

/// The tensor whose rows may hold numbers that are not finite: a row of an embedding that is no head matters only to
/// texts that have its token.
pub(super) fn free_rows(config: &LlamaConfig) -> Option<&'static str> {
    (!config.tie_word_embeddings).then(|| config.architecture().embedding())
}

/// The rows of a band that hold a number that is not finite.
pub(super) fn not_finite(values: &[f32], cols: usize, band: Range<usize>) -> impl Iterator<Item = u32> {
    let finite = |row: &[f32]| row.iter().all(|value| value.is_finite());
    values.chunks(cols).zip(band).filter(move |(row, _)| !finite(row)).map(|(_, id)| id as u32)
}

/// The shape that a file's tensors have: where it says that the head is the embedding, and there is another head, that one
/// is the model's, as transformers 5 has it.
fn with_own_head(config: LlamaConfig, tensors: &dyn TensorSource) -> LlamaConfig {
    let tied = config.tie_word_embeddings && (tensors.shape(config.architecture().head()).is_none() || same_values(tensors, &config));
    LlamaConfig { tie_word_embeddings: tied, ..config }
}

/// True if embedding and head have the same values.
fn same_values(tensors: &dyn TensorSource, config: &LlamaConfig) -> bool {
    let (rows, cols) = (config.vocab_size, config.hidden_size);
    let (embedding, head) = (config.architecture().embedding(), config.architecture().head());
    let part = |name, band| tensors.band(name, rows, cols, band);
    bands(rows, cols).all(|band| part(embedding, band.clone()).is_ok_and(|values| part(head, band).is_ok_and(|head| head == values)))
}
