//! Text to batches: tokenizer, corpus, and the order in which windows are seen.

mod batches;
mod corpus;
pub mod python;
mod stream;
mod teacher_cache;
mod tokenizer;

pub use batches::{Batch, Batches, Likeliest, grid_windows, held_out};
pub use corpus::{Corpus, DataError};
pub use stream::TextStream;
pub use teacher_cache::{CacheError, CacheWriter, Grid, Origin, TeacherCache, WHOLE};
pub use tokenizer::{ASSISTANT, END, Tokenizer, TokenizerError, USER, train};
