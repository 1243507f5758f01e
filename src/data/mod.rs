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
pub use corpus::{Corpus, CorpusSplit, Ids};
pub use data_error::{DataError, TokenizerError};
pub use declared_tokens::{CompanionFiles, JsonFields};
pub use encode::{Callbacks, TextProgress};
pub use ends::{EndTokens, GGUF_ENDS, LLAMA_CPP_ENDS};
pub use gguf_tokenizer::{gguf_family, gguf_ignores_merges};
pub use special::{ASSISTANT, END, USER};
pub use stream::TextStream;
pub use teacher_cache::{CacheError, CacheWriter, Origin, SHARE_SCALE, TeacherCache, VerifiedWindows, WindowGrid};
pub use text::{ChatRenderer, Conversation, Lines, TextFormat, TextSample, expand, format_of, gather, read_text, sample};
pub use token_store::{StoreInfo, TokenStore, TokenizeOptions, count_stores, is_store};
pub use tokenizer::{Tokenizer, train_tokenizer};
