//! Inference: prefill and decode with a KV cache, sampling, generation, chat, and how far two models
//! are apart on a text.

mod ahead;
mod chat;
mod compare;
mod engine;
mod generate;
mod sampler;
mod stop;
mod template;

pub use ahead::Ahead;
pub use chat::{Chat, ChatError, Reply};
pub use compare::{Comparison, TokenKl, compare};
pub use engine::{Engine, EngineError};
pub use generate::{GenerateError, GenerateReport, Generated, Generator, Request, Stopped};
pub use sampler::{Sampler, Sampling};
pub use stop::StopScan;
pub use template::{DEFAULT_TEMPLATE, Given, Message, Template, TemplateError};
