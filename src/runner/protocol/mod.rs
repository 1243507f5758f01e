//! What faces and runner say to each other: plain data, that a page sends to its worker as JSON.

mod command;
mod event;

pub use command::Command;
pub use event::Event;
