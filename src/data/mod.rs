//! Text to batches: files (`text`), the tokenizer, token ids on disk (`token_store`), the corpus, and the sampling order of
//! its windows.

// Each module uses only those above it.

mod data_error;
mod text;

mod regex;
mod special;

mod pipeline;
mod steps;

mod ends;
mod tokenizer_class;

mod auto;
mod declared_tokens;
mod tokenizer;

mod gguf_tokenizer;
mod stream;

mod block_checksums;
mod long;

mod encode;
mod token_store;

mod batches;
mod corpus;
mod teacher_cache;

pub use batches::{Batch, Batches, TopK, grid_windows, held_out};
pub use corpus::{Corpus, Ids, Split};
pub use data_error::{DataError, TokenizerError};
pub use declared_tokens::{Beside, Fields};
pub use encode::{Progress, Watch};
pub use ends::{Ends, GGUF_ENDS, LLAMA_CPP};
pub use gguf_tokenizer::{gguf_family, gguf_ignores_merges};
pub use special::{ASSISTANT, END, USER};
pub use stream::TextStream;
pub use teacher_cache::{CacheError, CacheWriter, Grid, Origin, TeacherCache, Verified, WHOLE};
pub use text::{Chat, Conversation, Format, Lines, Sample, expand, format_of, gather, read_text, sample};
pub use token_store::{About, Store, Tokenizing, is_store, stores};
pub use tokenizer::{Tokenizer, train};
