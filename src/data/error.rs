//! Errors of tokenizers, of text for them, and of corpora.

use crate::formats::FormatError;
use crate::platform;
use std::io;
use std::path::PathBuf;

/// An error of a tokenizer, or of text for it.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file that is no tokenizer.
    #[error(transparent)]
    File(#[from] FormatError),
    /// The library's own words.
    #[error("tokenizer: {0}")]
    Library(String),
}

/// An error of a corpus.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The tokenizer's own.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file that cannot be read as text.
    #[error(transparent)]
    File(#[from] FormatError),
    /// A row that has no such field.
    #[error(transparent)]
    Field(FormatError),
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
    /// A text that cannot be encoded in pieces.
    #[error("a document has a stretch of {bytes} MiB, from byte {start} on, in which the tokenizer finds no words. Break it into documents, or leave it out")]
    NoJoint {
        /// The byte of the document at which it begins.
        start: usize,
        /// Its length in MiB.
        bytes: usize,
    },
    /// The token cache cannot be read or written.
    #[error("{}: the token cache cannot be read or written: {error}{}. To keep it in another place, set XDG_CACHE_HOME", path.display(), platform::room_advice(error))]
    Cache {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// It was asked to stop.
    #[error("stopped while the text was read; nothing half-done is left behind")]
    Stopped,
}
