//! The integration tests, in one binary.

mod chat;
mod conform;
mod device;
mod execute;
mod golden;
mod infer;
mod large;
mod memory;
mod shaders;
mod teach;
mod tidy;
mod train;
