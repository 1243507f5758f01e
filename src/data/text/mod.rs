//! Text files: paths and patterns (`paths`), decompression (`unpack`), UTF-8 pieces and lines (`reader`), JSON rows
//! (`rows`) and documents (`documents`).

mod documents;
mod input;
mod paths;
mod reader;
mod rows;
mod sample;
mod unpack;

pub use documents::Chat;
pub(super) use documents::{Sink, feed};
pub(super) use input::Input;
pub use input::{Format, format_of};
pub use paths::expand;
pub use reader::{Lines, read_text};
pub use rows::Conversation;
pub use sample::{Sample, gather, sample};
pub(super) use unpack::PIECE;
