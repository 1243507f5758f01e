//! Text files: paths and patterns (`paths`), decompression (`unpack`), UTF-8 pieces and lines (`utf8`), JSON rows
//! (`json_rows`) and documents (`documents`).

mod documents;
mod format;
mod json_rows;
mod paths;
mod text_sample;
mod unpack;
mod utf8;

pub use documents::ChatRenderer;
pub(super) use documents::{Sink, feed};
pub(super) use format::TextInput;
pub use format::{TextFormat, format_of};
pub use json_rows::Conversation;
pub use paths::expand;
pub use text_sample::{TextSample, gather, sample};
pub(super) use unpack::PIECE;
pub use utf8::{Lines, read_text};
