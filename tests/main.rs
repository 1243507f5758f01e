//! The integration tests, in one binary.

mod app;
mod chat;
mod conform;
mod device;
mod eval;
mod execute;
mod export;
mod golden;
mod infer;
mod large;
mod memory;
mod orders;
mod runs;
mod settings;
mod shaders;
mod teach;
mod tidy;
mod train;
