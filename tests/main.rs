//! The integration tests, in one binary.

mod app;
mod chat;
mod compare;
mod conform;
mod device;
mod eval;
mod execute;
mod export;
mod golden;
mod infer;
mod large;
mod losses;
mod memory;
mod orders;
mod runs;
mod settings;
mod shaders;
mod sweep;
mod teach;
mod tidy;
mod train;
