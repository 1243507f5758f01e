//! Validates files and directories that are inputs of a run.

use crate::data::{ChatRenderer, DataError, TeacherCache, TextFormat, expand, format_of, sample};
use crate::formats::FormatError;
use crate::model::{ModelFile, format_by_name, is_model_directory, open_tokenizer};
use crate::platform::{self, RandomAccessFile};
use crate::runner::amounts::{format_bytes, format_count};
use crate::runner::kind::is_run;
use crate::runner::protocol::InputKind;
use crate::runner::{Event, model_loader, settings};
use anyhow::{Context, Result, bail};
use std::io;
use std::path::Path;

/// Validates a path; a problem is part of the event.
pub(super) fn check(path: &Path, kind: InputKind, emit: &mut dyn FnMut(Event)) {
    let found = if kind == InputKind::Any { detect(path) } else { Ok(kind) };
    let kind = *found.as_ref().unwrap_or(&kind);
    let (what, problem) = match found.and_then(|kind| describe(path, kind)) {
        Ok(what) => (what, None),
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    emit(Event::Input { path: path.to_path_buf(), kind, problem, what });
}

/// Detects the kind of a path by its name and contents.
fn detect(path: &Path) -> Result<InputKind> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if platform::is_dir(path) {
        return match () {
            () if is_run(path) || is_model_directory(path) => Ok(InputKind::Model),
            () if TeacherCache::header(path).is_ok() => Ok(InputKind::TeacherCache),
            () => bail!("{}: not a model (no config.json), run or teacher cache", path.display()),
        };
    }
    Ok(match () {
        () if name == "config.json" => InputKind::Shape,
        () if name.ends_with(".json") && name.contains("tokenizer") => InputKind::Tokenizer,
        () if name.ends_with(".toml") => InputKind::Settings,
        () if format_by_name(&name).is_some() => InputKind::Model,
        () => InputKind::Text,
    })
}

/// Describes an input; an error if it is not of this kind.
fn describe(path: &Path, kind: InputKind) -> Result<String> {
    match kind {
        InputKind::Text | InputKind::Any => describe_text(path),
        InputKind::Model => {
            let file = model_loader::open(&path.display().to_string())?;
            let kind = if file.packed() { "a packed student" } else { "a model" };
            let padding = file.padding();
            let ModelFile { config, tokenizer, .. } = file;
            let vocabulary = match (tokenizer, padding) {
                (None, _) => "without a tokenizer".into(),
                (Some(_), 0) => "with its tokenizer".into(),
                (Some(tokenizer), rows) => format!("with its tokenizer of {}; the other {rows} are padding", tokenizer.vocabulary()),
            };
            Ok(format!("{kind} of {} parameters, {} token ids, {vocabulary}", format_count(config.parameters() as f64), config.vocab_size))
        }
        InputKind::Shape => {
            let config = model_loader::config(path)?;
            Ok(format!("a model's shape: {} parameters, {} token ids", format_count(config.parameters() as f64), config.vocab_size))
        }
        InputKind::Tokenizer => Ok(format!("a tokenizer of {} tokens", open_tokenizer(path)?.0.vocabulary())),
        InputKind::TeacherCache => {
            let (vocabulary, top) = TeacherCache::header(path)?;
            Ok(format!("a teacher cache: {top} tokens at each position, of {vocabulary}"))
        }
        InputKind::Settings => Ok(format!("settings to train {}", settings(path)?.model)),
    }
}

/// Describes a text with its size; an error names the byte that is not UTF-8.
fn describe_text(path: &Path) -> Result<String> {
    if path.to_str().is_none() {
        bail!("{}: the file name is not UTF-8, so it cannot be stored in settings. Rename it", path.display());
    }
    let files = expand(&[path.to_path_buf()])?;
    let (mut bytes, mut rows) = (0, 0);
    for path in &files {
        let length = platform::length(path).with_context(|| format!("cannot read {}", path.display()))?;
        if length == 0 {
            bail!("{}: the file is empty", path.display());
        }
        bytes += length;
        rows += usize::from(format_of(path) == TextFormat::JsonLines);
        // Of several files, only the beginnings are validated, to keep it fast.
        if let ([_], TextFormat::Text, false) = (&files[..], format_of(path), is_compressed(path)?) {
            check_beginning(path)?;
            if let Some(at) = first_invalid_byte(path).with_context(|| format!("cannot read {}", path.display()))? {
                return Err(FormatError::new(path, format!("is not UTF-8 text: byte {at} begins no character. Convert it first")).into());
            }
        } else if let Err(error @ (DataError::File(_) | DataError::Tokenizer(_))) = check_beginning(path) {
            return Err(error.into());
        }
    }
    let size = format_bytes(bytes);
    let what = if rows == 0 { "text" } else { "JSON lines" };
    let packed = if files.iter().any(|path| is_compressed(path).unwrap_or(false)) { ", packed" } else { "" };
    Ok(if let [_] = &files[..] { format!("{size} of {what}{packed}") } else { format!("{} files, {size} of {what}{packed}", files.len()) })
}

/// Returns true if a file is compressed, by its first bytes.
fn is_compressed(path: &Path) -> Result<bool> {
    let start = platform::read_start(path, 4).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || start.ends_with(&[0x2a, 0x4d, 0x18]))
}

/// Reads the beginning of a file, as text or rows. The field of rows is detected, since settings are not known here.
fn check_beginning(path: &Path) -> Result<(), DataError> {
    sample(path, "", "auto", ChatRenderer { id: 0, render: &|_| Ok(String::new()) }, 64 << 10).map(drop)
}

/// Returns the position of the first byte that is not valid UTF-8. The file is read in chunks.
fn first_invalid_byte(path: &Path) -> io::Result<Option<u64>> {
    const CHUNK: u64 = 1 << 20;
    let file = RandomAccessFile::open(path)?;
    let mut at = 0;
    while at < file.bytes() {
        let end = file.bytes().min(at + CHUNK);
        at += match std::str::from_utf8(&file.part(at..end)?) {
            Ok(text) => text.len() as u64,
            // A character cut off at the end of a chunk is read with the next one.
            Err(error) if error.error_len().is_none() && end < file.bytes() => error.valid_up_to() as u64,
            Err(error) => return Ok(Some(at + error.valid_up_to() as u64)),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_may_span_chunks_and_invalid_bytes_are_counted_from_the_start() {
        let dir = std::env::temp_dir().join(format!("signet-inputs-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let path = dir.join("text");
        // A character of three bytes, two of which are in the first chunk.
        let mut text = vec![b'a'; (1 << 20) - 2];
        text.extend("€ and more".bytes());
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(first_invalid_byte(&path).unwrap(), None);
        let good = text.len() as u64;
        text.extend([0xe2, 0x82]);
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(first_invalid_byte(&path).unwrap(), Some(good), "cut off at the end");
        text.splice(good as usize.., [0xff, b'a']);
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(first_invalid_byte(&path).unwrap(), Some(good));
        platform::remove_dir(&dir).unwrap();
    }
}
