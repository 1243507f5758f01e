//! Tokens that follow a text, one after the other. On a GPU the next ones are begun before the last
//! has arrived: each finds the one before where it was chosen, so the GPU need not wait for the host.

use super::engine::{Engine, EngineError};
use crate::graph::{Machine, Pending};
use std::collections::VecDeque;

/// Tokens on their way at once. Those begun in vain when a text ends cost the next one their time.
const MAX_IN_FLIGHT: usize = 3;

/// Tokens on their way. If it is dropped, what was begun stays in the engine's cache: rewind that to
/// what was kept.
#[derive(Debug)]
pub struct DecodeQueue {
    in_flight: VecDeque<Pending>,
    /// The token that was given last.
    last: Option<u32>,
    /// Whether the first was given: it is to be seen before others are begun.
    running: bool,
    /// Tokens that may be begun yet.
    left: usize,
}

impl DecodeQueue {
    /// Adds `tokens` to the engine's cache, and begins to choose what follows, `most` tokens at most.
    pub fn new(engine: &mut Engine, machine: &mut Machine, tokens: &[u32], most: usize) -> Result<Self, EngineError> {
        let first = engine.sample(machine, tokens)?;
        let in_flight = if most == 0 { VecDeque::new() } else { VecDeque::from([first]) };
        Ok(Self { in_flight, last: None, running: false, left: most.saturating_sub(1) })
    }

    /// The next token; `None` after the last, or if the cache has no room for another.
    pub async fn next(&mut self, engine: &mut Engine, machine: &mut Machine) -> Result<Option<u32>, EngineError> {
        if let Some(last) = self.last {
            engine.expect_usable(last)?;
        }
        // The CPU device would compute those ahead while somebody waits for this one.
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
