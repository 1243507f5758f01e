//! Which files of a Hugging Face directory hold a model's tensors.

use crate::formats::safetensors::TensorFile;
use crate::formats::{FileSums, FormatError, Opened, Shards, TorchFile};
use crate::platform;
use std::path::Path;

/// Files that hold a model's tensors, or say which files do; of those that are there, the first is taken.
pub const WEIGHTS: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The tensors of a model directory, whose files have these checksums.
pub(super) fn tensors(path: &Path, sums: &FileSums) -> Opened {
    let Some(name) = WEIGHTS.into_iter().find(|name| platform::is_file(&path.join(name))) else {
        return Err(FormatError::new(path, format!("has no weights: one of {} is needed", WEIGHTS.join(", "))));
    };
    let file = path.join(name);
    if let Some(sums) = sums.tensors(name) {
        return Ok(Box::new(TensorFile::open(&file)?.with_sums(sums)?));
    }
    if name.ends_with(".json") { Ok(Box::new(Shards::open(&file, &|shard| open(shard))?)) } else { open(&file) }
}

/// A file of tensors, by its name.
fn open(file: &Path) -> Opened {
    match file.extension().is_some_and(|extension| extension == "bin") {
        true => Ok(Box::new(TorchFile::open(file)?)),
        false => Ok(Box::new(TensorFile::open(file)?)),
    }
}
