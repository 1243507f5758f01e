//! Samples the beginning of a file, to estimate its contents, and gathers the text of files.

use super::documents::{ChatRenderer, Sink, feed, feed_beginning};
use super::format::TextInput;
use super::utf8::Utf8Reader;
use crate::data::data_error::DataError;
use std::path::{Path, PathBuf};

/// The beginning of a file.
#[derive(Debug, Default)]
pub struct TextSample {
    /// Its text, in whole characters.
    pub text: String,
    /// The number of token ids, if rows hold ids.
    pub ids: u64,
    /// Completed documents.
    pub documents: u64,
    /// Bytes of the file that were read.
    pub bytes: u64,
    max_bytes: usize,
}

/// Reads about `max_bytes` bytes of text from the beginning of a file; `end` is the text of the end token.
pub fn sample(path: &Path, end: &str, field: &str, chat: ChatRenderer<'_>, max_bytes: usize) -> Result<TextSample, DataError> {
    let mut sample = TextSample { max_bytes, ..TextSample::default() };
    let mut reader = Utf8Reader::open(&TextInput::File(path.to_path_buf()))?;
    match feed_beginning(&mut reader, super::format_of(path), end, field, chat, &mut sample) {
        Ok(()) | Err(DataError::Stopped) => Ok(sample),
        Err(error) => Err(error),
    }
}

impl Sink for TextSample {
    fn text(&mut self, text: &str) -> Result<(), DataError> {
        self.text.push_str(text);
        Ok(())
    }

    fn ids(&mut self, ids: &[u32]) -> Result<Result<(), String>, DataError> {
        self.ids += ids.len() as u64;
        Ok(Ok(()))
    }

    fn end(&mut self, _close: bool) -> Result<(), DataError> {
        self.documents += 1;
        Ok(())
    }

    fn check_stopped(&self) -> Result<(), DataError> {
        Ok(())
    }

    fn advance(&mut self, bytes: u64) -> Result<(), DataError> {
        self.bytes = bytes;
        if self.text.len() + 4 * self.ids as usize > self.max_bytes { Err(DataError::Stopped) } else { Ok(()) }
    }
}

/// Concatenates the text of files; each row ends with a line feed.
pub fn gather(files: &[PathBuf], field: &str, chat: ChatRenderer<'_>) -> Result<String, DataError> {
    let inputs: Vec<TextInput> = files.iter().cloned().map(TextInput::File).collect();
    let mut gathered = Gathered(String::new());
    feed(&inputs, "", field, chat, &mut gathered)?;
    Ok(gathered.0)
}

struct Gathered(String);

impl Sink for Gathered {
    fn text(&mut self, text: &str) -> Result<(), DataError> {
        self.0.push_str(text);
        Ok(())
    }

    fn ids(&mut self, _ids: &[u32]) -> Result<Result<(), String>, DataError> {
        Ok(Err("holds token ids, but text is needed".into()))
    }

    fn end(&mut self, close: bool) -> Result<(), DataError> {
        if close {
            self.0.push('\n');
        }
        Ok(())
    }

    fn advance(&mut self, _bytes: u64) -> Result<(), DataError> {
        Ok(())
    }

    fn check_stopped(&self) -> Result<(), DataError> {
        Ok(())
    }
}
