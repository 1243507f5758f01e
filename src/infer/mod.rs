//! Inference: prefill and decode with a KV cache, sampling, generation, chat, and the divergence of two models on a text.

mod chat;
mod chat_template;
mod compare;
mod decode_queue;
mod engine;
mod generate;
mod sampler;
mod stop_strings;

pub use chat::{Chat, ChatError, ChatReply};
pub use chat_template::{ChatTemplate, DEFAULT_TEMPLATE, Message, TemplateError, TemplateVariables};
pub use compare::{ModelComparison, TokenKl, compare};
pub use decode_queue::DecodeQueue;
pub use engine::{Engine, EngineError};
pub use generate::{GenerateError, GenerateReport, Generated, Generator, Request, Stopped};
pub use sampler::{Sampler, Sampling};
pub use stop_strings::StopScan;
