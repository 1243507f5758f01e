//! The model: its shape, its tensors on a machine, and the tape that computes it.

mod config;
mod declared;
mod directory;
mod encode;
mod export;
mod gguf;
mod hugging_face;
mod init;
mod inspect;
mod llama;
mod loss;
mod memory;
mod names;
mod open;
mod pack;
mod rope;
mod rounding;
mod snapshot;
mod verify;
mod weights;

pub use config::{ConfigError, Group, LlamaConfig, PRESETS, TEACHERS};
pub use declared::checkpoint_tokenizer;
pub use directory::WEIGHTS;
pub use encode::Floats;
pub use export::{export_dense, export_gguf, export_latent, generation_config, tokenizer_config};
pub use init::{Source, init_dense, init_from_dense, load};
pub use inspect::{Inspection, LayerReport, Range, Sizes, inspect};
pub use llama::{Forward, KvCache, Positions, logits};
pub use loss::{Loss, Taught, chunk_rows};
pub use memory::{MemoryPlan, Part, bytes_of};
pub use open::{ChatFormat, ModelError, ModelFile};
pub use pack::{FORMAT, PackReport, bits_per_weight, pack, packed_bytes};
pub use rope::{Factors, RopeScaling};
pub use rounding::{MatrixStorage, Rounding};
pub use snapshot::snapshot;
pub use weights::{BinaryGroup, Linears, Moments, Purpose, Trained, Weights};
