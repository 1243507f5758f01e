//! Prefill and decode with a KV cache: token ids in, logits of the next token or a sampled token out. A sampled token
//! stays in device memory, where the next forward reads it, so that the latter can start before the host has the token.

use super::sampler::{Sampler, Sampling};
use crate::graph::{BufferKind, Machine, MachineError, Pending, Program, ShapeError, Spec, Storage, Tape, TensorId, TensorLocation};
use crate::model::{Forward, KvCache, MemoryPlan, Positions, Weights, bytes_of, logits};
use crate::ops::{DRAW, Draw, Embedding, MEMORY, Sample};

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// From the machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The shapes of the model's tensors do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The KV cache has no room for the tokens.
    #[error("the context is full: {have} + {more} tokens exceed {capacity}. Start a new conversation, or use a longer context")]
    Full {
        /// Tokens in the cache.
        have: usize,
        /// Tokens to be added.
        more: usize,
        /// Capacity of the cache.
        capacity: usize,
    },
    /// A token outside the vocabulary.
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}")]
    Token {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A token with a non-finite row in the embedding.
    #[error("token id {0} has an embedding that is not finite (NaN or infinite). Use a text without this token, or repair the model file")]
    Unusable(u32),
    /// No tokens were given.
    #[error("cannot generate: the prompt has no tokens")]
    Empty,
}

/// Tokens of the prefill program.
const PREFILL_TOKENS: usize = 32;

/// The operands of [`Sample`].
#[derive(Clone, Copy)]
struct SampleOperands {
    draw: TensorLocation,
    recent: TensorLocation,
    weights: TensorLocation,
    /// The last sampled token, which the next decode step reads.
    token: TensorLocation,
}

impl SampleOperands {
    fn new(machine: &mut Machine, vocabulary: usize) -> Result<Self, MachineError> {
        let (draw, recent) = (allocate(machine, Spec::u32(1, DRAW))?, allocate(machine, Spec::u32(1, MEMORY))?);
        Ok(Self { draw, recent, weights: allocate(machine, Spec::f32(1, vocabulary))?, token: allocate(machine, Spec::u32(1, 1))? })
    }
}

/// The tokens of a forward for which logits are computed.
#[derive(Clone, Copy)]
enum LogitRows {
    /// The token whose index is stored here; the next token may be sampled.
    Last(TensorLocation, SampleOperands),
    /// All tokens.
    All,
}

/// A compiled forward of a fixed number of tokens.
struct Stage {
    program: Program,
    tokens: TensorLocation,
    logits: TensorId,
}

/// An inference engine with its own KV cache. The weights may be in training at the same time.
pub struct Engine {
    decode: Stage,
    prefill: Stage,
    /// Computes logits after every token, for comparisons; optional.
    scores: Option<Stage>,
    cache: KvCache,
    positions: Positions,
    last: TensorLocation,
    sample: SampleOperands,
    sampler: Sampler,
    capacity: usize,
    vocabulary: usize,
    /// Tokens with a non-finite embedding, in ascending order.
    unusable: Vec<u32>,
    position: usize,
}

impl Engine {
    /// Compiles the programs and allocates a KV cache for `capacity` tokens.
    pub fn new(machine: &mut Machine, weights: &Weights, capacity: usize) -> Result<Self, EngineError> {
        let config = &weights.config;
        let positions = Positions::new(machine, config, capacity.max(PREFILL_TOKENS))?;
        let spec = Spec { rows: capacity, cols: config.kv_width(), storage: cache_storage(weights) };
        let layers = (0..config.num_hidden_layers).map(|_| Ok((allocate(machine, spec)?, allocate(machine, spec)?))).collect::<Result<_, MachineError>>()?;
        let cache = KvCache { layers };
        let last = allocate(machine, Spec::u32(1, 1))?;
        let vocabulary = config.vocab_size;
        let sample = SampleOperands::new(machine, vocabulary)?;
        let many = allocate(machine, Spec::u32(PREFILL_TOKENS, 1))?;
        let mut stage = |tokens| stage(machine, weights, positions, &cache, LogitRows::Last(last, sample), tokens);
        // The larger program first: the other reuses its memory.
        let (prefill, decode) = (stage(many)?, stage(sample.token)?);
        let sampler = Sampler::new(Sampling::GREEDY, vocabulary);
        Ok(Self {
            decode,
            prefill,
            scores: None,
            cache,
            positions,
            last,
            sample,
            sampler,
            capacity,
            vocabulary,
            unusable: weights.unusable().to_vec(),
            position: 0,
        })
    }

    /// Adds support for [`score`](Self::score); `weights` must be those of [`new`](Self::new).
    pub fn with_scores(self, machine: &mut Machine, weights: &Weights) -> Result<Self, EngineError> {
        let tokens = allocate(machine, Spec::u32(PREFILL_TOKENS, 1))?;
        let scores = stage(machine, weights, self.positions, &self.cache, LogitRows::All, tokens)?;
        Ok(Self { scores: Some(scores), ..self })
    }

    /// The number of tokens in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The capacity of the cache in tokens.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns true if the cache has room for another token.
    pub fn has_room(&self) -> bool {
        self.position < self.capacity
    }

    /// The vocabulary size.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The program of a decode step.
    pub fn decode_program(&self) -> &Program {
        &self.decode.program
    }

    /// Bytes of activations, by program.
    pub fn slot_bytes(&self) -> [(&'static str, u64); 2] {
        [("prefill", self.prefill.program.slot_bytes()), ("decode", self.decode.program.slot_bytes())]
    }

    /// Bytes of the KV cache.
    pub fn cache_bytes(&self, machine: &Machine) -> u64 {
        bytes_of(machine, self.cache.layers.iter().flat_map(|(keys, values)| [keys.memory, values.memory]))
    }

    /// The memory plan of the engine and its `weights`, if nothing else is allocated on the machine.
    pub fn memory(&self, machine: &Machine, weights: &Weights) -> MemoryPlan {
        let mut plan = MemoryPlan::default();
        plan.add_model(machine, "model", weights);
        plan.add("KV cache", self.cache_bytes(machine));
        plan.complete(machine, self.slot_bytes().map(|(name, bytes)| (name.to_string(), bytes)).to_vec())
    }

    /// Removes all tokens from `position` on.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Sets the sampler for a text that begins with `text`.
    pub fn set_sampler(&mut self, machine: &mut Machine, sampler: Sampler, text: &[u32]) -> Result<(), EngineError> {
        machine.write(&self.sample.recent, &Sampler::recent(text))?;
        self.sampler = sampler;
        Ok(())
    }

    /// Adds tokens and returns the logits of the next one, `(vocabulary)`.
    pub async fn feed(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let stage = self.forward(machine, tokens, false)?;
        Ok(bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?))
    }

    /// Adds tokens to the KV cache without reading their logits, and waits for completion.
    pub async fn extend_cache(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<(), EngineError> {
        self.forward(machine, tokens, false)?;
        Ok(machine.drain().await?)
    }

    /// Adds tokens and samples the next one, without waiting for it.
    pub fn sample(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Pending, EngineError> {
        self.forward(machine, tokens, true)?;
        Ok(machine.read_later(&[self.sample.token])?)
    }

    /// Adds the last sampled token, even if it has not arrived on the host, and samples the next one.
    pub fn sample_next(&mut self, machine: &mut Machine) -> Result<Pending, EngineError> {
        self.check_room(1)?;
        machine.write(&self.sample.draw, &self.sampler.draw(self.position + 1).words())?;
        self.decode.start(machine, &self.positions, self.position)?;
        self.position += 1;
        Ok(machine.read_later(&[self.sample.token])?)
    }

    /// Adds tokens and optionally samples the next one. Returns the stage that ran last.
    fn forward(&mut self, machine: &mut Machine, tokens: &[u32], chooses: bool) -> Result<&Stage, EngineError> {
        self.check(tokens)?;
        let mut rest = tokens;
        loop {
            let count = rest.len().min(PREFILL_TOKENS);
            let (part, later) = rest.split_at(count);
            let draw = if chooses && later.is_empty() { self.sampler.draw(self.position + count).words() } else { Draw::NONE };
            machine.write(&self.sample.draw, &draw)?;
            let stage = if count == 1 { &mut self.decode } else { &mut self.prefill };
            machine.write(&self.last, &[count as u32 - 1])?;
            stage.run(machine, &self.positions, self.position, part)?;
            self.position += count;
            rest = later;
            if rest.is_empty() {
                return Ok(if count == 1 { &self.decode } else { &self.prefill });
            }
        }
    }

    /// Adds tokens and returns the logits after each of them, `(tokens, vocabulary)`.
    ///
    /// # Panics
    /// Unless it was made [`with_scores`](Self::with_scores).
    pub async fn score(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check(tokens)?;
        let stage = self.scores.as_mut().expect("the engine supports scoring");
        let mut logits = Vec::with_capacity(tokens.len() * self.vocabulary);
        for part in tokens.chunks(PREFILL_TOKENS) {
            stage.run(machine, &self.positions, self.position, part)?;
            self.position += part.len();
            let rows: Vec<f32> = bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?);
            logits.extend_from_slice(&rows[..part.len() * self.vocabulary]);
        }
        Ok(logits)
    }

    /// Checks that the cache has room for `more` tokens.
    fn check_room(&self, more: usize) -> Result<(), EngineError> {
        let Self { position: have, capacity, .. } = *self;
        if have + more > capacity { Err(EngineError::Full { have, more, capacity }) } else { Ok(()) }
    }

    fn check(&self, tokens: &[u32]) -> Result<(), EngineError> {
        if tokens.is_empty() {
            return Err(EngineError::Empty);
        }
        self.check_room(tokens.len())?;
        match tokens.iter().find(|&&id| id as usize >= self.vocabulary) {
            Some(&id) => Err(EngineError::Token { id, vocabulary: self.vocabulary }),
            None => tokens.iter().try_for_each(|id| self.expect_usable(*id)),
        }
    }

    /// Checks that the embedding of a token is finite.
    pub(super) fn expect_usable(&self, id: u32) -> Result<(), EngineError> {
        if self.unusable.binary_search(&id).is_ok() { Err(EngineError::Unusable(id)) } else { Ok(()) }
    }
}

/// Storage of keys and values: f16 if the model's matrices are not in f32 and each half of a head is whole words, else f32.
fn cache_storage(weights: &Weights) -> Storage {
    let matrices = weights.location(weights.head()).map_or(Storage::F32, |head| head.spec.storage);
    if matrices == Storage::F32 || !weights.config.head_dim().is_multiple_of(4) { Storage::F32 } else { Storage::F16 }
}

/// Allocates a tensor.
fn allocate(machine: &mut Machine, spec: Spec) -> Result<TensorLocation, MachineError> {
    Ok(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec })
}

/// Compiles a forward of as many tokens as `tokens` has. Padding is written to the cache but never read, since the next
/// tokens overwrite it.
fn stage(
    machine: &mut Machine, weights: &Weights, positions: Positions, cache: &KvCache, scored: LogitRows, tokens: TensorLocation,
) -> Result<Stage, EngineError> {
    let seq = tokens.spec.rows;
    let mut tape = Tape::new();
    let ids = tape.persistent(tokens);
    let mut hidden = Forward { weights, positions, batch: 1, seq, cache: Some(cache) }.hidden(&mut tape, ids)?;
    if let (LogitRows::Last(row, _), true) = (scored, seq > 1) {
        let row = tape.persistent(row);
        hidden = tape.push_one(Embedding, &[hidden, row], &[])?;
    }
    let logits = logits(&mut tape, weights, hidden)?;
    tape.keep(logits);
    if let LogitRows::Last(_, SampleOperands { draw, recent, weights, token }) = scored {
        let [draw, recent, weights, token] = [draw, recent, weights, token].map(|location| tape.persistent(location));
        tape.push(Sample, &[logits, draw], &[recent, weights, token])?;
    }
    Ok(Stage { program: machine.compile(tape)?, tokens, logits })
}

impl Stage {
    /// Runs it for tokens from `position` on, padded with the last one.
    fn run(&mut self, machine: &mut Machine, positions: &Positions, position: usize, tokens: &[u32]) -> Result<(), MachineError> {
        let mut padded = tokens.to_vec();
        padded.resize(self.tokens.spec.rows, tokens.last().copied().unwrap_or_default());
        machine.write(&self.tokens, &padded)?;
        self.start(machine, positions, position)
    }

    /// Runs it for the tokens already in device memory.
    fn start(&mut self, machine: &mut Machine, positions: &Positions, position: usize) -> Result<(), MachineError> {
        machine.write(&positions.start, &[position as u32])?;
        machine.run(&mut self.program)
    }
}
