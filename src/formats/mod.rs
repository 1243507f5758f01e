//! Bytes to named tensors, and back; a checksum to know bytes by.

mod bytes;
mod checksum;
mod error;
pub mod gguf;
pub mod safetensors;
mod source;

pub use checksum::{Checksum, checksum};
pub use error::FormatError;
pub use source::{TensorSource, bands};
