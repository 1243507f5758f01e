//! The model: its shape, its tensors on a machine, and the tape that computes it.

mod config;
mod init;
mod llama;
mod loss;
mod open;
mod weights;

pub use config::{ConfigError, LlamaConfig, PRESETS};
pub use init::{Source, init_dense, init_from_dense, load};
pub use llama::{Forward, KvCache, Positions, logits};
pub use loss::{Loss, chunk_rows};
pub use open::{ModelError, ModelFile};
pub use weights::{BinaryLinear, Linears, Purpose, Trained, Weights};
