//! Text to batches: files (`text`), the tokenizer, token ids on disk (`store`), the corpus, and the sampling order of
//! its windows.

// Each module uses only those above it.

mod error;
mod text;

mod regex;
mod special;

mod pipeline;
mod steps;

mod class;
mod ends;

mod auto;
mod beside;
mod tokenizer;

mod gguf;
mod stream;

mod blocks;
mod long;

mod encode;
mod store;

mod batches;
mod corpus;
mod teacher_cache;

pub use batches::{Batch, Batches, TopK, grid_windows, held_out};
pub use beside::{Beside, Fields};
pub use corpus::{Corpus, Ids, Split};
pub use encode::{Progress, Watch};
pub use ends::{Ends, GGUF_ENDS, LLAMA_CPP};
pub use error::{DataError, TokenizerError};
pub use gguf::{gguf_family, gguf_ignores_merges};
pub use special::{ASSISTANT, END, USER};
pub use store::{About, Store, Tokenizing, is_store, stores};
pub use stream::TextStream;
pub use teacher_cache::{CacheError, CacheWriter, Grid, Origin, TeacherCache, Verified, WHOLE};
pub use text::{Chat, Conversation, Format, Lines, Sample, expand, format_of, gather, read_text, sample};
pub use tokenizer::{Tokenizer, train};
