//! Sizes of a model and of a run, computed from their settings.

use super::protocol::{ModelNumbers, RunLength};
use crate::model::{Linears, ModelConfig, bits_per_weight, packed_bytes};
use crate::train::TrainConfig;

impl ModelNumbers {
    /// Returns the sizes of a model; `binary` is true if its linear layers are binarized.
    pub fn of(config: &ModelConfig, binary: bool) -> Self {
        let kind = if binary { Linears::Binary } else { Linears::Dense };
        Self {
            layers: config.num_hidden_layers,
            width: config.hidden_size,
            vocabulary: config.vocab_size,
            context: config.max_position_embeddings,
            parameters: config.parameters(),
            binarized: if binary { config.binarized_weights() } else { 0 },
            bits_per_weight: bits_per_weight(config, kind),
            packed_bytes: packed_bytes(config, kind),
        }
    }
}

impl RunLength {
    /// Returns the length of a run with validated settings, on a text of `text_tokens` tokens.
    pub(super) fn of(config: &TrainConfig, text_tokens: Option<u64>) -> Self {
        let tokens_per_step = config.tokens_per_step();
        Self { tokens_per_step, tokens: config.steps * tokens_per_step, text_tokens }
    }

    /// Returns the number of epochs; none if the length of the text is unknown.
    pub fn epochs(&self) -> Option<f64> {
        self.text_tokens.filter(|&tokens| tokens > 0).map(|text| self.tokens as f64 / text as f64)
    }
}
