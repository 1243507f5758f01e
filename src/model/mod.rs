//! Models: configuration, weights on a device, the forward pass as a tape, and file formats.

mod arch;
mod chat_format;
mod config;
mod file;
mod file_formats;
mod floats;
mod forward;
mod init;
mod inspect;
mod loss;
mod memory_plan;
mod model_error;
mod rope_scaling;
mod rounding;
mod signs;
mod snapshot;
mod tensors;
mod verify_model;
mod weights;

pub use arch::{ALL as ARCHITECTURES, Architecture, IsSupported};
pub use chat_format::{ChatFormat, Templates};
pub use config::{ConfigError, ModelConfig, PRESET_CHOICES, PRESETS, TEACHERS};
pub use file::ModelFile;
pub use file_formats::{
    FORMAT, FORMATS, ModelFormat, PackReport, TEMPLATES, TOKENIZER, WEIGHTS, bits_per_weight, check_start, checkpoint_shape, checkpoint_tokenizer,
    export_dense, export_gguf, export_latent, format_by_name, generation_config, is_model_directory, open_tokenizer, pack, packed_bytes, tokenizer_config,
};
pub use floats::Floats;
pub use forward::{Forward, KvCache, Positions, logits};
pub use init::{RowReader, init_dense, init_from_dense, load};
pub use inspect::{Inspection, LayerReport, ModelSizes, Stats, inspect};
pub use loss::{ChunkedLoss, TeacherOutput, chunk_rows};
pub use memory_plan::{MemoryPlan, bytes_of};
pub use model_error::ModelError;
pub use rope_scaling::{Factors, RopeScaling};
pub use rounding::{MatrixStorage, Rounding};
pub use snapshot::snapshot;
pub use tensors::{HeadKind, LayerGroup, ModelTensor, Role, TensorRow};
pub use weights::{BinaryGroup, Linears, MemoryPart, Moments, Purpose, TrainedTensor, Weights};
