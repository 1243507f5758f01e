//! Text as it lies on disk: files and patterns (`paths`), plain or compressed (`unpack`), UTF-8 in
//! pieces and lines (`reader`), JSON rows (`rows`), and the documents in all of them (`documents`).

mod documents;
mod paths;
mod reader;
mod rows;
mod sample;
mod unpack;

pub use documents::{Chat, Format};
pub(super) use documents::{Input, Sink, feed};
pub use paths::{expand, format_of};
pub use reader::{Lines, whole};
pub use rows::Conversation;
pub use sample::{Sample, gather, sample};
pub(super) use unpack::PIECE;
