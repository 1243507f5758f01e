//! Text as it lies on disk: files and patterns (`paths`), plain or compressed (`unpack`), UTF-8 in
//! pieces and lines (`reader`), JSON rows (`rows`), and the documents in all of them (`documents`).

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
pub use reader::{Lines, whole};
pub use rows::Conversation;
pub use sample::{Sample, gather, sample};
pub(super) use unpack::PIECE;
