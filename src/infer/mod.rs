//! Inference: prefill and decode with a KV cache, sampling, chat.

mod engine;
mod sampler;

pub use engine::{Engine, EngineError};
pub use sampler::{Sampler, Sampling};
