//! The numbers of a model and of a run, known before either is made.

use crate::model::{Linears, LlamaConfig, bits_per_weight, packed_bytes};
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize};

/// A model's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelNumbers {
    /// Blocks.
    pub layers: usize,
    /// Width of the hidden state.
    pub width: usize,
    /// Token ids.
    pub vocabulary: usize,
    /// Longest context.
    pub context: usize,
    /// All parameters, each binarized weight counted as one.
    pub parameters: u64,
    /// Those that are one bit in the end.
    pub binarized: u64,
    /// Bits stored for each weight of the blocks' linear layers once it is packed: its share of α and β included.
    pub bits_per_weight: f64,
    /// Bytes of the packed file, but for its header and tokenizer.
    pub packed_bytes: u64,
}

impl ModelNumbers {
    /// Of a model whose linear layers are binarized, or are not.
    pub fn of(config: &LlamaConfig, binary: bool) -> Self {
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

/// How much text a run sees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLength {
    /// Tokens of an optimizer step.
    pub tokens_per_step: u64,
    /// Tokens of all steps.
    pub tokens: u64,
    /// Tokens of the text, reckoned from the beginning of each file; none if a file cannot be read.
    pub text_tokens: Option<u64>,
}

impl RunLength {
    /// Of settings that were checked, on a text of so many tokens.
    pub(super) fn of(config: &TrainConfig, text_tokens: Option<u64>) -> Self {
        let tokens_per_step = config.tokens_per_step();
        Self { tokens_per_step, tokens: config.steps * tokens_per_step, text_tokens }
    }

    /// How often the run sees the whole text, where its length is known.
    pub fn epochs(&self) -> Option<f64> {
        self.text_tokens.filter(|&tokens| tokens > 0).map(|text| self.tokens as f64 / text as f64)
    }
}
