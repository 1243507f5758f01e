//! Hugging Face model directories: `config.json`, tensors in one of [`WEIGHTS`], tokenizer and chat template (see
//! `tokenizer_files`), and the export of such directories (`write`).

mod export_hugging_face;
mod tensor_names;
mod tokenizer_files;

pub use export_hugging_face::{export_dense, export_latent, generation_config, tokenizer_config};
pub use tokenizer_files::{TEMPLATES, TOKENIZER, checkpoint_tokenizer, open_tokenizer};

use super::{ModelFormat, standalone_endings};
use crate::data::Tokenizer;
use crate::formats::safetensors::TensorFile;
use crate::formats::{FileSums, FormatError, OpenedSource, Shards, TensorSource, TorchFile, json, json_file};
use crate::model::chat_format::ChatFormat;
use crate::model::config::ModelConfig;
use crate::model::file::{self, ModelFile, untied_if_different};
use crate::model::model_error::ModelError;
use crate::model::weights::Linears;
use crate::platform;
use std::path::Path;
use tokenizer_files::TokenizerFiles;

/// The format of Hugging Face directories. Checkpoints have it, too.
pub(super) static HUGGING_FACE: ModelFormat =
    ModelFormat { name: "Hugging Face directory", endings: &[], beside: None, detect: |path, _| platform::is_dir(path), check_start: |_| None, open };

/// The file that every model directory has.
const CONFIG: &str = "config.json";

/// Returns true if a directory has a model configuration.
pub fn is_model_directory(path: &Path) -> bool {
    platform::is_file(&path.join(CONFIG))
}

fn open(path: &Path) -> Result<ModelFile, ModelError> {
    let (config, sums) = config(path)?;
    let tensors = tensors(path, weights(&config).as_deref(), &sums)?;
    let TokenizerFiles { tokenizer, chat } = TokenizerFiles::read(path, &config, &sums)?;
    ModelFile::from_dir(&path.join(CONFIG), &config, tensors, tokenizer, chat)
}

/// Files with a model's tensors, or an index of such files. The first that exists is read.
pub const WEIGHTS: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Extensions of weight files that are not read, and the advice for each.
const UNREAD: [(&str, &str); 8] = [
    ("adapter_model.safetensors", "is an adapter without its base model. Merge it (merge_and_unload of peft) and save the result"),
    ("adapter_model.bin", "is an adapter without its base model. Merge it (merge_and_unload of peft) and save the result"),
    (".safetensors", "has none of these names. Rename it to the first, or if it is one of several files, download their index, too"),
    (".pth", "is in Meta's format. Download the model in the format of transformers"),
    (".bin", "has none of these names. Rename it to pytorch_model.bin, or if it is one of several files, download their index, too"),
    (".onnx", "is in ONNX format, which is not supported"),
    (".npz", "is in NumPy format, which is not supported"),
    (".h5", "is in TensorFlow format, which is not supported"),
];

/// Reads a directory's config.json and checksums, and verifies the former.
fn config(path: &Path) -> Result<(Vec<u8>, FileSums), FormatError> {
    let file = path.join(CONFIG);
    let config = json_file(&file, platform::SETTINGS_LIMIT)?.ok_or_else(|| missing_config(path))?;
    let sums = FileSums::of_directory(path)?.unwrap_or_default();
    sums.verify(CONFIG, &config).map_err(|problem| FormatError::new(&file, problem))?;
    Ok((config, sums))
}

/// The configuration of the student in a checkpoint.
pub fn checkpoint_shape(path: &Path) -> Result<ModelConfig, FormatError> {
    ModelConfig::from_json(&config(path)?.0).map_err(|problem| FormatError::new(&path.join(CONFIG), problem))
}

/// The error of a directory without config.json.
fn missing_config(path: &Path) -> FormatError {
    let has = format!("is missing. A model is a file made by `signet pack`, a GGUF file, or a directory with config.json and {}", WEIGHTS[0]);
    FormatError::new(&path.join(CONFIG), has + &unread_weights(path))
}

/// Opens the tensors of a model directory whose files have these checksums; `explicit` is the file named in its
/// configuration, if any.
fn tensors(path: &Path, explicit: Option<&str>, sums: &FileSums) -> OpenedSource {
    if let Some(name) = explicit.filter(|name| !name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':']))) {
        return Err(FormatError::new(&path.join(CONFIG), format!("transformers_weights is {name:?}, which is not the name of a file in this directory")));
    }
    let name = explicit.or_else(|| WEIGHTS.into_iter().find(|name| platform::is_file(&path.join(name))));
    let Some(name) = name else {
        let has = format!("has no weights; one of these files is required: {}", WEIGHTS.join(", "));
        return Err(FormatError::new(path, has + &unread_weights(path)));
    };
    let file = path.join(name);
    if let Some(sums) = sums.tensors(name) {
        return Ok(Box::new(TensorFile::open(&file)?.with_sums(sums)?));
    }
    let tensors = if name.ends_with(".json") { Ok(Box::new(Shards::open(&file, &|shard| open_tensors(shard))?) as Box<_>) } else { open_tensors(&file) };
    tensor_names::as_transformers(tensors?)
}

/// Advice for weights in a directory that are not read.
fn unread_weights(path: &Path) -> String {
    let mut names = platform::list(path).unwrap_or_default();
    names.sort();
    let found = standalone_endings().chain(UNREAD).find_map(|(ending, what)| Some((names.iter().find(|name| name.ends_with(ending))?, what)));
    found.map_or_else(String::new, |(name, what)| format!(". {name} {what}"))
}

/// Opens a file of tensors by its extension.
fn open_tensors(file: &Path) -> OpenedSource {
    match file.extension().is_some_and(|extension| extension == "bin") {
        true => Ok(Box::new(TorchFile::open(file)?)),
        false => Ok(Box::new(TensorFile::open(file)?)),
    }
}

/// The weights file that a `config.json` names, if any.
fn weights(bytes: &[u8]) -> Option<String> {
    json::value(bytes).ok()?["transformers_weights"].as_str().map(str::to_string)
}

impl ModelFile {
    fn from_dir(config_path: &Path, config: &[u8], tensors: Box<dyn TensorSource>, tokenizer: Option<Tokenizer>, chat: ChatFormat) -> Result<Self, ModelError> {
        let config = ModelConfig::from_json(config).map_err(|problem| FormatError::new(config_path, problem))?;
        tensor_names::check_prefix(&*tensors, config.architecture())?;
        let (embedding, head) = (config.architecture().embedding(), config.architecture().head());
        let (config, tensors) = match config.tie_word_embeddings && tensors.shape(embedding).is_none() && tensors.shape(head).is_some() {
            true => (config, tensor_names::with_renamed(tensors, head, embedding)),
            false => (untied_if_different(config, &*tensors), tensors),
        };
        let linears = match config.linears_of(0).next() {
            Some((first, _, _)) if tensors.shape(&format!("{first}.wscale")).is_some() => Linears::Binary,
            _ => Linears::Dense,
        };
        Self { config, linears, tokenizer, chat, tensors: file::Tensors::Floats(tensors) }.validated()
    }
}
