//! Files and directories that somebody names for a run: whether each is what it is taken for.

use crate::data::{Chat, DataError, Format, TeacherCache, expand, format_of, sample};
use crate::formats::FormatError;
use crate::model::{ModelFile, format_by_name, is_model_directory, open_tokenizer};
use crate::platform::{self, RandomAccessFile};
use crate::runner::amounts::{format_bytes, format_count};
use crate::runner::kind::is_run;
use crate::runner::protocol::InputKind;
use crate::runner::{Event, model, settings};
use anyhow::{Context, Result, bail};
use std::io;
use std::path::Path;

/// Looks at a path; what is wrong with it is part of the event.
pub(super) fn check(path: &Path, kind: InputKind, emit: &mut dyn FnMut(Event)) {
    let found = if kind == InputKind::Any { guess(path) } else { Ok(kind) };
    let kind = *found.as_ref().unwrap_or(&kind);
    let (what, problem) = match found.and_then(|kind| what(path, kind)) {
        Ok(what) => (what, None),
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    emit(Event::Input { path: path.to_path_buf(), kind, problem, what });
}

/// What a path seems to be, by its name and what lies in it.
fn guess(path: &Path) -> Result<InputKind> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if platform::is_dir(path) {
        return match () {
            () if is_run(path) || is_model_directory(path) => Ok(InputKind::Model),
            () if TeacherCache::kept(path).is_ok() => Ok(InputKind::TeacherCache),
            () => bail!("{}: this directory is no model (it has no config.json), no run and no teacher cache", path.display()),
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

/// What it is, in words; an error if it is something else.
fn what(path: &Path, kind: InputKind) -> Result<String> {
    match kind {
        InputKind::Text | InputKind::Any => text(path),
        InputKind::Model => {
            let file = model::open(&path.display().to_string())?;
            let kind = if file.packed() { "a packed student" } else { "a model" };
            let padding = file.padding();
            let ModelFile { config, tokenizer, .. } = file;
            let speaks = match (tokenizer, padding) {
                (None, _) => "without a tokenizer".into(),
                (Some(_), 0) => "with its tokenizer".into(),
                (Some(tokenizer), rows) => format!("with its tokenizer of {}; the other {rows} are padding", tokenizer.vocabulary()),
            };
            Ok(format!("{kind} of {} parameters, {} token ids, {speaks}", format_count(config.parameters() as f64), config.vocab_size))
        }
        InputKind::Shape => {
            let config = model::config(path)?;
            Ok(format!("a model's shape: {} parameters, {} token ids", format_count(config.parameters() as f64), config.vocab_size))
        }
        InputKind::Tokenizer => Ok(format!("a tokenizer of {} tokens", open_tokenizer(path)?.0.vocabulary())),
        InputKind::TeacherCache => {
            let (vocabulary, top) = TeacherCache::kept(path)?;
            Ok(format!("a teacher cache: {top} tokens at each position, of {vocabulary}"))
        }
        InputKind::Settings => Ok(format!("settings to train {}", settings(path)?.model)),
    }
}

/// How much text it is; an error names the byte where it is none.
fn text(path: &Path) -> Result<String> {
    if path.to_str().is_none() {
        bail!("{}: the file's name is no UTF-8 text, which settings cannot hold; rename it", path.display());
    }
    let files = expand(&[path.to_path_buf()])?;
    let (mut bytes, mut rows) = (0, 0);
    for path in &files {
        let length = platform::length(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        if length == 0 {
            bail!("{}: is empty", path.display());
        }
        bytes += length;
        rows += usize::from(format_of(path) == Format::Rows);
        // Of many files each one's beginning is enough to wait for.
        if let ([_], Format::Text, false) = (&files[..], format_of(path), packed(path)?) {
            begins(path)?;
            if let Some(at) = no_character(path).with_context(|| format!("{}: cannot be read", path.display()))? {
                return Err(FormatError::new(path, format!("is not UTF-8 text: byte {at} begins no character. Convert it first")).into());
            }
        } else if let Err(error @ (DataError::File(_) | DataError::Tokenizer(_))) = begins(path) {
            return Err(error.into());
        }
    }
    let size = format_bytes(bytes);
    let what = if rows == 0 { "text" } else { "JSON lines" };
    let packed = if files.iter().any(|path| packed(path).unwrap_or(false)) { ", packed" } else { "" };
    Ok(if let [_] = &files[..] { format!("{size} of {what}{packed}") } else { format!("{} files, {size} of {what}{packed}", files.len()) })
}

/// Whether a file is compressed, by its first bytes.
fn packed(path: &Path) -> Result<bool> {
    let start = platform::read_start(path, 4).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || start.ends_with(&[0x2a, 0x4d, 0x18]))
}

/// Reads the beginning of a file. Which field is read of rows is not known here.
fn begins(path: &Path) -> Result<(), DataError> {
    sample(path, "", "auto", Chat { id: 0, render: &|_| Ok(String::new()) }, 64 << 10).map(drop)
}

/// The first byte of a file that begins no UTF-8 character. The file is read in pieces.
fn no_character(path: &Path) -> io::Result<Option<u64>> {
    const PIECE: u64 = 1 << 20;
    let file = RandomAccessFile::open(path)?;
    let mut at = 0;
    while at < file.bytes() {
        let end = file.bytes().min(at + PIECE);
        at += match std::str::from_utf8(&file.part(at..end)?) {
            Ok(text) => text.len() as u64,
            // A character that the piece cuts off begins the next one.
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
    fn characters_may_lie_across_pieces_and_bad_bytes_are_counted_from_the_start() {
        let dir = std::env::temp_dir().join(format!("signet-inputs-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let path = dir.join("text");
        // A character of three bytes, two of which are in the first piece.
        let mut text = vec![b'a'; (1 << 20) - 2];
        text.extend("€ and more".bytes());
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(no_character(&path).unwrap(), None);
        let good = text.len() as u64;
        text.extend([0xe2, 0x82]);
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(no_character(&path).unwrap(), Some(good), "cut off at the end");
        text.splice(good as usize.., [0xff, b'a']);
        platform::write_atomic(&path, &text).unwrap();
        assert_eq!(no_character(&path).unwrap(), Some(good));
        platform::remove_dir(&dir).unwrap();
    }
}
