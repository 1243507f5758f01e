//! The integration tests, in one binary.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod chat;
mod classes;
#[cfg(unix)]
mod commands;
mod compare;
mod conform;
mod data;
mod declared;
mod device;
mod disk;
mod eval;
mod execute;
mod export;
mod files;
mod fuzz;
mod gguf;
mod golden;
mod guard;
mod infer;
mod large;
mod losses;
mod memory;
mod orders;
mod pins;
mod published;
mod report;
mod resume;
mod rot;
mod runs;
mod settings;
mod shaders;
mod shared;
mod skip;
#[cfg(feature = "smollm2")]
mod smollm2;
mod streams;
mod sweep;
mod teach;
mod templates;
mod tidy;
mod train;
