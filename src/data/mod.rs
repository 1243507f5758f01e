//! Text to batches: files (`text`), the tokenizer, ids on disk (`store`), the corpus, and the order in which
//! windows are seen.

mod auto;
mod batches;
mod beside;
mod blocks;
mod class;
mod corpus;
mod encode;
mod ends;
mod gguf;
mod long;
mod pipeline;
mod regex;
mod store;
mod stream;
mod teacher_cache;
mod text;
mod tokenizer;

pub use batches::{Batch, Batches, Likeliest, grid_windows, held_out};
pub use beside::{Beside, Fields};
pub use corpus::{Corpus, DataError, Ids, Split};
pub use encode::{Progress, Watch};
pub use ends::{Ends, GGUF_ENDS, LLAMA_CPP};
pub use gguf::{gguf_family, gguf_takes_whole};
pub use store::{About, Store, Tokenizing, is_store, stores};
pub use stream::TextStream;
pub use teacher_cache::{CacheError, CacheWriter, Grid, Origin, TeacherCache, Verified, WHOLE};
pub use text::{Chat, Conversation, Format, Lines, Sample, expand, format_of, gather, sample, whole};
pub use tokenizer::{ASSISTANT, END, Tokenizer, TokenizerError, USER, train};
