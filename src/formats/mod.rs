//! File formats with named tensors, and checksums.

mod bytes;
mod checksum;
pub mod content;
mod digest;
mod document;
mod element_type;
mod format_error;
pub mod gguf;
pub mod json;
pub mod safetensors;
mod shards;
mod source;
mod sums;
mod torch;

pub use checksum::{Checksum, checksum};
pub use digest::{Digest, Digester};
pub use document::{json_file, template_file, toml_file};
pub use format_error::FormatError;
pub use shards::{OpenedSource, Shards, weight_map};
pub use source::{TensorSource, row_ranges};
pub use sums::{FileSum, FileSums, TensorSums, header_digest, parse_checksummed_json, to_checksummed_json};
pub use torch::TorchFile;
