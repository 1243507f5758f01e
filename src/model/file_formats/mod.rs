//! Model file formats, one file or folder each: detection, reading and writing. To add one, add its file, an entry in
//! [`FORMATS`], and a test.

mod gguf_model;
mod hugging_face;
pub(super) mod packed;

pub use gguf_model::export_gguf;
pub use hugging_face::{
    TEMPLATES, TOKENIZER, WEIGHTS, checkpoint_shape, checkpoint_tokenizer, export_dense, export_latent, generation_config, is_model_directory, open_tokenizer,
    tokenizer_config,
};
pub use packed::{FORMAT, PackReport, bits_per_weight, pack, packed_bytes};

use super::file::ModelFile;
use super::model_error::ModelError;
use crate::formats::{FormatError, content};
use crate::platform::{self, HeaderCheck};
use std::path::Path;

/// A model file format.
pub struct ModelFormat {
    /// The name in messages, without an article.
    pub name: &'static str,
    /// File name extensions; the first belongs to this format only. Empty for a directory.
    pub endings: &'static [&'static str],
    /// Advice for a directory that has no weights but a file of this format.
    beside: Option<&'static str>,
    /// Detects the format from a path and the first bytes of the file.
    detect: fn(&Path, &[u8]) -> bool,
    /// Validates the first bytes of a file; `None` if it is in another format.
    check_start: fn(&[u8]) -> Option<HeaderCheck>,
    /// Opens a model.
    open: fn(&Path) -> Result<ModelFile, ModelError>,
}

impl ModelFormat {
    /// Returns true if only this format has files of this name.
    pub fn owns(&self, name: &str) -> bool {
        self.endings.first().is_some_and(|ending| name.ends_with(ending))
    }
}

/// All formats, in the order of detection.
pub static FORMATS: [&ModelFormat; 3] = [&hugging_face::HUGGING_FACE, &gguf_model::GGUF, &packed::PACKED];

/// Detects the format of the model at a path. The default is a packed file, whose error says what the file is instead.
fn format_of(path: &Path) -> Result<&'static ModelFormat, FormatError> {
    let start = match platform::is_dir(path) {
        true => Vec::new(),
        false => platform::read_start(path, content::START as usize).map_err(|error| FormatError::unreadable(path, error))?,
    };
    Ok(FORMATS.into_iter().find(|format| (format.detect)(path, &start)).unwrap_or(&packed::PACKED))
}

/// The format of a single-file model, by its extension.
pub fn format_by_name(name: &str) -> Option<&'static ModelFormat> {
    FORMATS.into_iter().find(|format| format.endings.iter().any(|ending| name.ends_with(ending)))
}

/// Extensions of single-file models, and the advice for each.
fn standalone_endings() -> impl Iterator<Item = (&'static str, &'static str)> {
    FORMATS.into_iter().filter_map(|format| Some((*format.endings.first()?, format.beside?)))
}

/// Validates the first bytes of a file, so that a download can stop early if it is not a model.
pub fn check_start(start: &[u8]) -> HeaderCheck {
    if let Some(verdict) = FORMATS.into_iter().find_map(|format| (format.check_start)(start)) {
        return verdict;
    }
    let what = content::detect(start).map(content::describe);
    HeaderCheck::Bad(what.unwrap_or_else(|| "it is neither a packed model, nor another safetensors file, nor GGUF".into()))
}

impl ModelFile {
    /// Opens a model of any of [`FORMATS`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        (format_of(path)?.open)(path)
    }
}

/// Progress callback `(written, total)`, called after each tensor. It returns false to stop.
type ExportProgress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// Checks that `out` does not exist: an export never overwrites files.
fn check_not_existing(out: &Path) -> Result<(), ModelError> {
    if platform::exists(out) {
        return Err(FormatError::new(out, "already exists. Choose another path, or remove it first").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_extension_and_content() {
        let dir = std::env::temp_dir().join(format!("signet-formats-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let student = crate::assets::student().unwrap();
        for (name, bytes, format) in [("a", &b"GGUF and more"[..], "GGUF"), ("b", student, "packed model"), ("c", b"words", "packed model")] {
            let path = dir.join(name);
            platform::write_atomic(&path, bytes).unwrap();
            assert_eq!(format_of(&path).unwrap().name, format, "{name}");
        }
        assert_eq!(format_of(&dir).unwrap().name, "Hugging Face directory");
        platform::remove_dir(&dir).unwrap();
        assert!(format_of(&dir).is_err(), "no such file");
        let named = |name: &str| format_by_name(name).map(|format| format.name);
        assert_eq!(
            [named("m.gguf"), named("m.signet"), named("model.safetensors"), named("m.bin")],
            [Some("GGUF"), Some("packed model"), Some("packed model"), None]
        );
        assert!(FORMATS.iter().any(|format| format.owns("m.gguf")) && !FORMATS.iter().any(|format| format.owns("model.safetensors")));
        let mut endings: Vec<&str> = FORMATS.iter().flat_map(|format| format.endings).copied().collect();
        let all = endings.len();
        endings.sort_unstable();
        endings.dedup();
        assert_eq!(endings.len(), all, "two formats have the same extension");
    }
}
