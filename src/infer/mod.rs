//! Inference: prefill and decode with a KV cache, sampling, generation, chat.

mod chat;
mod engine;
mod generate;
mod sampler;
mod stop;
mod template;

pub use chat::{Chat, ChatError, Reply};
pub use engine::{Engine, EngineError};
pub use generate::{GenerateError, GenerateReport, Generated, Generator, Request, Stopped};
pub use sampler::{Sampler, Sampling};
pub use stop::StopScan;
pub use template::{DEFAULT_TEMPLATE, Message, Template, TemplateError};
