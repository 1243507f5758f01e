//! Bytes to named tensors, and back; a checksum to know bytes by.

mod checksum;
pub mod gguf;
pub mod safetensors;

pub use checksum::{Checksum, checksum};
