//! The integration tests, in one binary.

mod app;
mod chat;
mod conform;
mod device;
mod execute;
mod export;
mod fuzz;
mod golden;
mod infer;
mod large;
mod memory;
mod orders;
mod published;
mod runs;
mod settings;
mod shaders;
mod teach;
mod tidy;
mod train;
