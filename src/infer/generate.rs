//! Text generation with streaming, stop strings, and reuse of the cached prefix.

use super::decode_queue::DecodeQueue;
use super::engine::{Engine, EngineError};
use super::sampler::{Sampler, Sampling};
use super::stop_strings::StopScan;
use crate::data::{TextStream, Tokenizer, TokenizerError};
use crate::graph::{Machine, MachineError};
use crate::platform::Clock;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// An error of text generation.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// From the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// From the machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// An invalid setting.
    #[error("{0}")]
    Setting(String),
    /// The prompt leaves no room for a reply.
    #[error("the prompt has {tokens} tokens, but the context holds {capacity}, including the reply. Shorten the prompt, or use a longer context")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens the context holds.
        capacity: usize,
    },
}

/// Settings of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Maximum tokens to generate.
    pub max_tokens: usize,
    /// Sampling settings.
    pub sampling: Sampling,
    /// Tokens that end the text; they are not part of it.
    pub stop_tokens: Vec<u32>,
    /// Strings that end the text; they are not part of it.
    pub stop_strings: Vec<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self { max_tokens: 256, sampling: Sampling::default(), stop_tokens: Vec::new(), stop_strings: Vec::new() }
    }
}

/// The reason why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The model generated an end token.
    EndToken,
    /// A stop string was generated.
    StopString,
    /// `max_tokens` was reached.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// A stop was requested.
    #[serde(rename = "asked")]
    Requested,
}

/// The reason as a phrase, which ends a line of statistics.
impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndToken => "the model ended the text",
            Self::StopString => "a stop string was generated",
            Self::MaxTokens => "the token limit was reached",
            Self::ContextFull => "the context is full",
            Self::Requested => "stopped",
        })
    }
}

/// Statistics of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateReport {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache.
    pub cached_tokens: usize,
    /// Tokens generated.
    pub tokens: usize,
    /// Seconds from the start to the first token.
    pub first_token_seconds: f64,
    /// Tokens per second after the first token; 0 if only one was generated.
    pub tokens_per_second: f64,
    /// Tokens of prompt and text together.
    pub context_used: usize,
    /// Tokens that the context holds.
    pub context: usize,
    /// The reason why it ended.
    pub stopped: Stopped,
}

/// A generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The text, as it was streamed.
    pub text: String,
    /// The tokens.
    pub ids: Vec<u32>,
    /// Statistics.
    pub report: GenerateReport,
}

/// Tokens of the prompt that are computed between two checks for a stop request.
const PREFILL_STEP: usize = 256;

/// An engine and the tokens in its KV cache. A prompt reuses the cache for the prefix that it shares with the last prompt
/// and its reply.
pub struct Generator {
    engine: Engine,
    cached: Vec<u32>,
}

impl Generator {
    /// Makes a generator and clears the engine's cache.
    pub fn new(mut engine: Engine) -> Self {
        engine.rewind(0);
        Self { engine, cached: Vec::new() }
    }

    /// Maximum tokens of prompt and reply together.
    pub fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    /// Generates text after `prompt` and streams it to `emit`: whole characters, without any part of a stop string.
    /// `stop_requested` is called before every token.
    pub async fn generate(
        &mut self, machine: &mut Machine, tokenizer: &Tokenizer, prompt: &[u32], request: &Request, stop_requested: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str),
    ) -> Result<Generated, GenerateError> {
        request.sampling.check().map_err(GenerateError::Setting)?;
        let clock = Clock::start();
        let cached_tokens = self.reuse_prefix(prompt);
        let mut report = GenerateReport {
            prompt_tokens: prompt.len(),
            cached_tokens,
            tokens: 0,
            first_token_seconds: 0.0,
            tokens_per_second: 0.0,
            context_used: prompt.len(),
            context: self.capacity(),
            stopped: Stopped::Requested,
        };
        let mut output = TextOutput { stream: TextStream::new(tokenizer, prompt), scan: StopScan::new(&request.stop_strings), text: String::new(), emit };
        let mut ids = Vec::new();
        let sampler = Sampler::new(request.sampling, tokenizer.vocabulary().max(1));
        self.engine.set_sampler(machine, sampler, prompt)?;
        if let Some(queue) = self.prefill(machine, prompt, request.max_tokens, stop_requested).await? {
            let mut generation = Generation { request, clock, report, context: prompt.to_vec() };
            let ended = generation.decode(&mut self.engine, machine, queue, stop_requested, &mut output).await;
            self.truncate_cache(&generation.context, ended.is_ok());
            ended?;
            report = GenerateReport { context_used: generation.context.len(), ..generation.report };
            ids = generation.context.split_off(prompt.len());
        }
        if report.stopped != Stopped::StopString {
            output.finish()?;
        }
        Ok(Generated { text: output.text, ids, report })
    }

    /// Rewinds to the longest common prefix of cache and prompt, and returns its length. It does not include the
    /// prompt's last token, which must be computed for its logits.
    fn reuse_prefix(&mut self, prompt: &[u32]) -> usize {
        let common = self.cached.iter().zip(prompt).take_while(|(a, b)| a == b).count().min(prompt.len().saturating_sub(1));
        self.cached.truncate(common);
        self.engine.rewind(common);
        common
    }

    /// Computes the part of `prompt` that is not cached, and starts sampling. Returns `None` if a stop was requested.
    async fn prefill(
        &mut self, machine: &mut Machine, prompt: &[u32], max_tokens: usize, stop_requested: &dyn Fn() -> bool,
    ) -> Result<Option<DecodeQueue>, GenerateError> {
        if prompt.len() >= self.capacity() {
            return Err(GenerateError::PromptTooLong { tokens: prompt.len(), capacity: self.capacity() });
        }
        loop {
            if stop_requested() {
                return Ok(None);
            }
            let rest = &prompt[self.cached.len()..];
            if rest.len() > PREFILL_STEP {
                self.extend_cache(machine, &rest[..PREFILL_STEP]).await?;
                continue;
            }
            let queue = DecodeQueue::new(&mut self.engine, machine, rest, max_tokens);
            self.truncate_cache(prompt, queue.is_ok());
            return Ok(Some(queue?));
        }
    }

    /// Truncates the cache to `context`, since the decode queue may have computed more tokens. Clears it after an error.
    fn truncate_cache(&mut self, context: &[u32], succeeded: bool) {
        let kept = if succeeded { context.len().min(self.engine.position()) } else { 0 };
        self.cached.clear();
        self.cached.extend_from_slice(&context[..kept]);
        self.engine.rewind(kept);
    }

    /// Returns the logits that predict `tokens[range]`, of shape `(range.len(), vocabulary)`. The cached prefix is
    /// reused. `range` begins at 1 or later, since the first token is not predicted. The engine must support [scoring](Engine::score).
    pub async fn score(&mut self, machine: &mut Machine, tokens: &[u32], range: Range<usize>) -> Result<Vec<f32>, EngineError> {
        self.reuse_prefix(&tokens[..range.start]);
        let gap = &tokens[self.cached.len()..range.start - 1];
        if !gap.is_empty() {
            self.extend_cache(machine, gap).await?;
        }
        let inputs = &tokens[range.start - 1..range.end - 1];
        let logits = self.engine.score(machine, inputs).await;
        match &logits {
            Ok(_) => self.cached.extend_from_slice(inputs),
            Err(_) => self.engine.rewind(self.cached.len()),
        }
        logits
    }

    /// Clears the cache, after the weights have changed.
    pub fn clear_cache(&mut self) {
        self.cached.clear();
        self.engine.rewind(0);
    }

    /// Adds tokens to the cache without computing their logits.
    async fn extend_cache(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<(), EngineError> {
        let added = self.engine.extend_cache(machine, tokens).await;
        match added {
            Ok(()) => self.cached.extend_from_slice(tokens),
            Err(_) => self.engine.rewind(self.cached.len()),
        }
        added
    }
}

/// A generation in progress.
struct Generation<'a> {
    request: &'a Request,
    clock: Clock,
    report: GenerateReport,
    /// Prompt and generated tokens.
    context: Vec<u32>,
}

impl Generation<'_> {
    /// Generates tokens until one of the reasons in [`Stopped`].
    async fn decode(
        &mut self, engine: &mut Engine, machine: &mut Machine, mut queue: DecodeQueue, stop_requested: &dyn Fn() -> bool, output: &mut TextOutput<'_>,
    ) -> Result<(), GenerateError> {
        loop {
            if self.report.tokens >= self.request.max_tokens {
                return self.stop(Stopped::MaxTokens);
            }
            if stop_requested() {
                return self.stop(Stopped::Requested);
            }
            let Some(token) = queue.next(engine, machine).await? else { return self.stop(Stopped::ContextFull) };
            self.count_token();
            if self.request.stop_tokens.contains(&token) {
                return self.stop(Stopped::EndToken);
            }
            self.context.push(token);
            if output.push(token)? {
                return self.stop(Stopped::StopString);
            }
        }
    }

    /// Updates the statistics for one more token.
    fn count_token(&mut self) {
        self.report.tokens += 1;
        let seconds = self.clock.seconds();
        if self.report.tokens == 1 {
            self.report.first_token_seconds = seconds;
        } else {
            let later = (seconds - self.report.first_token_seconds).max(1e-9);
            self.report.tokens_per_second = (self.report.tokens - 1) as f64 / later;
        }
    }

    fn stop(&mut self, why: Stopped) -> Result<(), GenerateError> {
        self.report.stopped = why;
        Ok(())
    }
}

/// Decodes tokens to text and streams it.
struct TextOutput<'a> {
    stream: crate::data::TextStream<'a>,
    scan: StopScan,
    text: String,
    emit: &'a mut dyn FnMut(&str),
}

impl TextOutput<'_> {
    /// Adds a token. Returns true if a stop string was found.
    fn push(&mut self, token: u32) -> Result<bool, TokenizerError> {
        let (text, found) = self.scan.push(&self.stream.push(token)?);
        self.write(&text);
        Ok(found)
    }

    /// Emits the text that was held back.
    fn finish(&mut self) -> Result<(), TokenizerError> {
        let rest = self.stream.finish()?;
        let (text, found) = self.scan.push(&rest);
        self.write(&text);
        if !found {
            let held = self.scan.finish();
            self.write(&held);
        }
        Ok(())
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(text);
            (self.emit)(text);
        }
    }
}
