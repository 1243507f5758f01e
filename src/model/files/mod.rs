//! Formats of models, one file or folder each: how one is known, opened and written. All else asks the list here; a new
//! one needs its file, a place in the list, and a test.

mod gguf;
mod hugging_face;
pub(super) mod packed;

pub use gguf::export_gguf;
pub use hugging_face::{
    TEMPLATES, TOKENIZER, WEIGHTS, checkpoint_shape, checkpoint_tokenizer, export_dense, export_latent, generation_config, is_model_directory, open_tokenizer,
    tokenizer_config,
};
pub use packed::{FORMAT, PackReport, bits_per_weight, pack, packed_bytes};

use super::error::ModelError;
use super::file::ModelFile;
use crate::formats::{FormatError, content};
use crate::platform::{self, Verdict};
use std::path::Path;

/// A format of models.
pub struct Format {
    /// Its name in messages, without an article.
    pub name: &'static str,
    /// Endings of names of its files; the first is of no other files. None of a directory.
    pub endings: &'static [&'static str],
    /// The message about such a file in a directory that has no other weights.
    beside: Option<&'static str>,
    /// Knows it by what lies at a path, and the bytes that a file there begins with.
    detect: fn(&Path, &[u8]) -> bool,
    /// Judges a file of which only the beginning is here; none if it is of another format.
    check_start: fn(&[u8]) -> Option<Verdict>,
    /// Opens one.
    open: fn(&Path) -> Result<ModelFile, ModelError>,
}

impl Format {
    /// Returns true if a file of this name can only be of this format.
    pub fn owns(&self, name: &str) -> bool {
        self.endings.first().is_some_and(|ending| name.ends_with(ending))
    }
}

/// Every format, in the order in which they are tried.
pub static FORMATS: [&Format; 3] = [&hugging_face::HUGGING_FACE, &gguf::GGUF, &packed::PACKED];

/// The format of the model at a path. What is of none is taken for a packed file, which says what it is instead.
fn format_of(path: &Path) -> Result<&'static Format, FormatError> {
    let start = match platform::is_dir(path) {
        true => Vec::new(),
        false => platform::read_start(path, content::START as usize).map_err(|error| FormatError::unreadable(path, error))?,
    };
    Ok(FORMATS.into_iter().find(|format| (format.detect)(path, &start)).unwrap_or(&packed::PACKED))
}

/// The format of a file that is a model by itself, by the ending of its name.
pub fn format_by_name(name: &str) -> Option<&'static Format> {
    FORMATS.into_iter().find(|format| format.endings.iter().any(|ending| name.ends_with(ending)))
}

/// Endings of files that are models by themselves, and what to say of one.
fn standalone_endings() -> impl Iterator<Item = (&'static str, &'static str)> {
    FORMATS.into_iter().filter_map(|format| Some((*format.endings.first()?, format.beside?)))
}

/// Judges a file of which only the beginning is here: a model, or what else it is.
pub fn check_start(start: &[u8]) -> Verdict {
    if let Some(verdict) = FORMATS.into_iter().find_map(|format| (format.check_start)(start)) {
        return verdict;
    }
    let what = content::kind(start).map(content::described);
    Verdict::Bad(what.unwrap_or_else(|| "it is neither a packed model nor any other safetensors file, nor GGUF".into()))
}

impl ModelFile {
    /// Opens a model of any of [`FORMATS`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        (format_of(path)?.open)(path)
    }
}

/// Told after each tensor: how many are written, and how many there are; whether to go on.
type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// Refuses to write where something is already: an export never replaces what it did not make.
fn refuse_existing(out: &Path) -> Result<(), ModelError> {
    if platform::exists(out) {
        return Err(FormatError::new(out, "is there already. Name another place, or remove it first").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_name_and_its_beginning() {
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
        assert!(format_of(&dir).is_err(), "there is no such file");
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
        assert_eq!(endings.len(), all, "two formats have an ending");
    }
}
