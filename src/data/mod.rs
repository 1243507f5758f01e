//! Text to batches: tokenizer, corpus, and the order in which windows are seen.

mod batches;
mod corpus;
mod stream;
mod tokenizer;

pub use batches::{Batches, held_out};
pub use corpus::{Corpus, DataError};
pub use stream::TextStream;
pub use tokenizer::{ASSISTANT, END, Tokenizer, TokenizerError, USER, train};
