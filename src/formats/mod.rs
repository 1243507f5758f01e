//! Bytes to named tensors, and back; a checksum to know bytes by.

mod bytes;
mod checksum;
mod error;
pub mod gguf;
mod json;
pub mod safetensors;
mod shards;
mod source;
mod torch;

pub use checksum::{Checksum, checksum};
pub use error::FormatError;
pub use shards::{Opened, Shards, weight_map};
pub use source::{TensorSource, bands};
pub use torch::TorchFile;
