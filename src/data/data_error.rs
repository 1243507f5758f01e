//! Errors of tokenizers, of their input and of corpora.

use crate::formats::FormatError;
use crate::platform;
use std::io;
use std::path::PathBuf;

/// An error of a tokenizer or of its input.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is not a tokenizer.
    #[error(transparent)]
    File(#[from] FormatError),
    /// An error of the tokenizers library.
    #[error("tokenizer: {0}")]
    Library(String),
}

/// An error of a corpus.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file cannot be read as text.
    #[error(transparent)]
    File(#[from] FormatError),
    /// A row does not have the field.
    #[error(transparent)]
    Field(FormatError),
    /// The text is too short to train on.
    #[error("the text is {have} tokens long; sequences of {seq} need at least {need}, with some held out. Add text, or reduce --seq")]
    Short {
        /// Tokens in the text.
        have: usize,
        /// Tokens in a sequence.
        seq: usize,
        /// Tokens needed.
        need: usize,
    },
    /// A document cannot be encoded in pieces.
    #[error("cannot tokenize a document: the tokenizer finds no word boundary in {bytes} MiB from byte {start} on. Split the document, or leave it out")]
    NoBoundary {
        /// The byte offset in the document.
        start: usize,
        /// Its length in MiB.
        bytes: usize,
    },
    /// The token cache cannot be read or written.
    #[error("{}: cannot read or write the token cache: {error}{}. To use another directory, set XDG_CACHE_HOME", path.display(), platform::space_advice_suffix(error))]
    Cache {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The work was cancelled.
    #[error("stopped while reading text; no partial files remain")]
    Stopped,
}
