//! Autoregressive decoding with several tokens in flight. On a GPU the next tokens are started before the last one has
//! arrived on the host: each reads its predecessor in GPU memory, so the GPU does not wait for the host.

use super::engine::{Engine, EngineError};
use crate::graph::{Machine, Pending};
use std::collections::VecDeque;

/// Maximum tokens in flight. Tokens started beyond the end of a text are wasted and delay the next one.
const MAX_IN_FLIGHT: usize = 3;

/// Tokens in flight. After dropping it, rewind the engine's cache to the tokens that are used.
#[derive(Debug)]
pub struct DecodeQueue {
    in_flight: VecDeque<Pending>,
    /// The last token returned.
    last: Option<u32>,
    /// True after the first token, which is returned before others are started.
    running: bool,
    /// Tokens that may still be started.
    left: usize,
}

impl DecodeQueue {
    /// Feeds `tokens` to the engine and starts sampling at most `max_tokens` tokens that follow.
    pub fn new(engine: &mut Engine, machine: &mut Machine, tokens: &[u32], max_tokens: usize) -> Result<Self, EngineError> {
        let first = engine.sample(machine, tokens)?;
        let in_flight = if max_tokens == 0 { VecDeque::new() } else { VecDeque::from([first]) };
        Ok(Self { in_flight, last: None, running: false, left: max_tokens.saturating_sub(1) })
    }

    /// Returns the next token; `None` after the last one, or if the cache is full.
    pub async fn next(&mut self, engine: &mut Engine, machine: &mut Machine) -> Result<Option<u32>, EngineError> {
        if let Some(last) = self.last {
            engine.expect_usable(last)?;
        }
        // The CPU device computes synchronously, so tokens in flight would only delay this one.
        let depth = if self.running && machine.device().is_some() { MAX_IN_FLIGHT } else { 1 };
        while self.in_flight.len() < depth && self.left > 0 && engine.has_room() {
            self.in_flight.push_back(engine.sample_next(machine)?);
            self.left -= 1;
        }
        self.running = true;
        match self.in_flight.pop_front() {
            Some(next) => self.last = Some(next.wait().await?[0][0]),
            None => self.last = None,
        }
        Ok(self.last)
    }
}
