//! A corpus: text as token ids, with a share of documents held out.

use super::tokenizer::{Tokenizer, TokenizerError};
use crate::formats::FormatError;
use crate::platform;
use std::path::{Path, PathBuf};

/// What is wrong with a corpus.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The tokenizer's own.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file that cannot be read as text.
    #[error(transparent)]
    File(#[from] FormatError),
    /// Text that is too short to train on.
    #[error("the text is {have} tokens long; sequences of {seq} need at least {need}, with some held out. Give more text, or a smaller --seq")]
    Short {
        /// Tokens there are.
        have: usize,
        /// Tokens a sequence has.
        seq: usize,
        /// Tokens needed.
        need: usize,
    },
}

/// One document in so many is held out.
const HELD_OUT_EVERY: usize = 50;

/// Token ids to train on, and others to measure on.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Trained on.
    pub train: Vec<u32>,
    /// Never trained on.
    pub held_out: Vec<u32>,
}

impl Corpus {
    /// Reads UTF-8 text files.
    pub fn read(paths: &[PathBuf]) -> Result<String, DataError> {
        let mut text = String::new();
        for path in paths {
            text.push_str(&read_text(path)?);
        }
        Ok(text)
    }

    /// Encodes a text. Documents end with the tokenizer's end token; one in fifty is held out, or
    /// where there are fewer documents, the last fiftieth of the text.
    pub fn new(text: &str, tokenizer: &Tokenizer, seq: usize) -> Result<Self, DataError> {
        let end = tokenizer.end().and_then(|id| tokenizer.decode(&[id], true).ok()).unwrap_or_default();
        let documents: Vec<&str> =
            if end.is_empty() { vec![text] } else { text.split_inclusive(end.as_str()).filter(|text| !text.trim().is_empty()).collect() };
        let documents: Vec<&str> = documents.into_iter().map(str::trim_start).collect();
        let ids = if documents.len() >= HELD_OUT_EVERY { tokenizer.encode_all(documents)? } else { vec![tokenizer.encode(text)?] };
        let mut corpus = Corpus::default();
        if let [only] = &ids[..] {
            let kept = only.len() - (only.len() / HELD_OUT_EVERY).max(seq + 1).min(only.len());
            corpus.train = only[..kept].to_vec();
            corpus.held_out = only[kept..].to_vec();
        } else {
            for (n, ids) in ids.iter().enumerate() {
                let part = if n % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 { &mut corpus.held_out } else { &mut corpus.train };
                part.extend_from_slice(ids);
            }
        }
        let shortest = corpus.train.len().min(corpus.held_out.len());
        if shortest < seq + 1 {
            return Err(DataError::Short { have: corpus.train.len() + corpus.held_out.len(), seq, need: 2 * (seq + 1) });
        }
        Ok(corpus)
    }
}

/// A whole text file; an error names the byte where it stops being UTF-8.
fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = platform::read(path).map_err(|error| FormatError::new(path, format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        FormatError::new(path, format!("is not UTF-8 text: byte {at} begins no character. Convert it first")).into()
    })
}
