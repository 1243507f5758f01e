//! The configuration of a Hugging Face directory, and which of its files hold the model's tensors.

use super::config::LlamaConfig;
use super::names;
use crate::formats::safetensors::TensorFile;
use crate::formats::{FileSums, FormatError, Opened, Shards, TorchFile, json_file};
use crate::platform;
use std::path::Path;

/// Files that hold a model's tensors, or say which files do; of those that are there, the first is taken.
pub const WEIGHTS: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Files of weights that are not read, by how their names end, and what to do with them.
const OTHERS: [(&str, &str); 10] = [
    (".gguf", "is a GGUF file: name it itself as the model"),
    (".signet", "is a packed model: name it itself as the model"),
    ("adapter_model.safetensors", "is an adapter without its base model. Merge it into that (merge_and_unload of peft), and save the result"),
    ("adapter_model.bin", "is an adapter without its base model. Merge it into that (merge_and_unload of peft), and save the result"),
    (".safetensors", "is none of these names. Give it that of the first, or if it is one of several files, fetch their index, too"),
    (".pth", "has Meta's own layout. Fetch the model as transformers has it"),
    (".bin", "is none of these names. Call it pytorch_model.bin, or if it is one of several files, fetch their index, too"),
    (".onnx", "is of ONNX, which Signet does not read"),
    (".npz", "is of NumPy, which Signet does not read"),
    (".h5", "is of TensorFlow, which Signet does not read"),
];

/// The bytes of a directory's config.json, and the checksums of its files, which the bytes match.
pub(super) fn config(path: &Path) -> Result<(Vec<u8>, FileSums), FormatError> {
    let file = path.join("config.json");
    let config = json_file(&file, platform::SETTINGS_LIMIT)?.ok_or_else(|| without_config(path))?;
    let sums = FileSums::of_directory(path)?.unwrap_or_default();
    sums.verify("config.json", &config).map_err(|problem| FormatError::new(&file, problem))?;
    Ok((config, sums))
}

/// The shape of the student that a run's checkpoint holds.
pub fn checkpoint_shape(path: &Path) -> Result<LlamaConfig, FormatError> {
    LlamaConfig::from_json(&config(path)?.0).map_err(|problem| FormatError::new(&path.join("config.json"), problem))
}

/// The error of a directory that has no config.json.
fn without_config(path: &Path) -> FormatError {
    let has = format!("is not there. A model is a file made by `signet pack`, a GGUF file, or a directory with config.json and {}", WEIGHTS[0]);
    FormatError::new(&path.join("config.json"), has + &other(path))
}

/// The tensors of a model directory, whose files have these checksums; `explicit` is the file that its configuration
/// names, if it names one.
pub(super) fn tensors(path: &Path, explicit: Option<&str>, sums: &FileSums) -> Opened {
    if let Some(name) = explicit.filter(|name| !name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':']))) {
        return Err(FormatError::new(
            &path.join("config.json"),
            format!("transformers_weights is {name:?}, which is not the name of a file in this directory"),
        ));
    }
    let name = explicit.or_else(|| WEIGHTS.into_iter().find(|name| platform::is_file(&path.join(name))));
    let Some(name) = name else {
        let has = format!("has no weights: one of {} is needed", WEIGHTS.join(", "));
        return Err(FormatError::new(path, has + &other(path)));
    };
    let file = path.join(name);
    if let Some(sums) = sums.tensors(name) {
        return Ok(Box::new(TensorFile::open(&file)?.with_sums(sums)?));
    }
    let tensors = if name.ends_with(".json") { Ok(Box::new(Shards::open(&file, &|shard| open(shard))?) as Box<_>) } else { open(&file) };
    names::as_transformers(tensors?)
}

/// A remark on weights in a directory that are not read.
fn other(path: &Path) -> String {
    let mut names = platform::list(path).unwrap_or_default();
    names.sort();
    let found = OTHERS.iter().find_map(|(ending, what)| Some((names.iter().find(|name| name.ends_with(ending))?, what)));
    found.map_or_else(String::new, |(name, what)| format!(". {name} {what}"))
}

/// A file of tensors, by its name.
fn open(file: &Path) -> Opened {
    match file.extension().is_some_and(|extension| extension == "bin") {
        true => Ok(Box::new(TorchFile::open(file)?)),
        false => Ok(Box::new(TensorFile::open(file)?)),
    }
}
