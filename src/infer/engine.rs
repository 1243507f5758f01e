//! Prefill and decode: token ids in, logits of the next token out, with a KV cache.

use crate::graph::{Class, Home, Machine, MachineError, Program, ShapeError, Spec, Storage, Tape, TensorId};
use crate::model::{Forward, KvCache, MemoryPlan, Positions, Weights, bytes_of, logits};
use crate::ops::Embedding;

/// Why a model could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine's own.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The model's tensors do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// More tokens than the cache has room for.
    #[error("the context is full: {have} tokens and {more} more do not fit into {capacity}. Start anew, or ask for a longer context")]
    Full {
        /// Tokens in the cache.
        have: usize,
        /// Tokens to be added.
        more: usize,
        /// Room.
        capacity: usize,
    },
    /// A token the model does not know.
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}")]
    Token {
        /// The id.
        id: u32,
        /// Ids there are.
        vocabulary: usize,
    },
    /// Nothing to continue.
    #[error("there is no token to continue")]
    Empty,
}

/// Tokens a prefill program takes at once.
const CHUNK: usize = 32;

/// Which tokens of a forward get logits.
#[derive(Clone, Copy)]
enum Scored {
    /// The one that this home holds the number of.
    One(Home),
    /// Every one.
    All,
}

/// A compiled forward of some tokens.
struct Stage {
    program: Program,
    tokens: Home,
    logits: TensorId,
}

/// A model that continues text. The cache belongs to it; the weights may be training meanwhile.
pub struct Engine {
    decode: Stage,
    prefill: Stage,
    /// Gives logits after each token; only where texts are compared.
    scores: Option<Stage>,
    cache: KvCache,
    positions: Positions,
    last: Home,
    capacity: usize,
    vocabulary: usize,
    position: usize,
}

impl Engine {
    /// Compiles the programs, and reserves a cache for `capacity` tokens.
    pub fn new(machine: &mut Machine, weights: &Weights, capacity: usize) -> Result<Self, EngineError> {
        let config = &weights.config;
        let positions = Positions::new(machine, config.rope_theta, config.head_dim(), capacity.max(CHUNK))?;
        let spec = Spec { rows: capacity, cols: config.kv_width(), storage: cache_storage(weights) };
        let mut rows = || machine.allocate(Class::of(spec.storage), spec.words()).map(|memory| Home { memory, offset: 0, spec });
        let layers = (0..config.num_hidden_layers).map(|_| Ok((rows()?, rows()?))).collect::<Result<_, MachineError>>()?;
        let cache = KvCache { layers };
        let last = Home { memory: machine.allocate(Class::Words, 1)?, offset: 0, spec: Spec::u32(1, 1) };
        let mut stage = |seq| stage(machine, weights, positions, &cache, Scored::One(last), seq);
        // The larger one first: the other fits into its slots.
        let (prefill, decode) = (stage(CHUNK)?, stage(1)?);
        Ok(Self { decode, prefill, scores: None, cache, positions, last, capacity, vocabulary: config.vocab_size, position: 0 })
    }

    /// The same, able to [`score`](Self::score); `weights` are those it was made with.
    pub fn with_scores(self, machine: &mut Machine, weights: &Weights) -> Result<Self, EngineError> {
        let scores = stage(machine, weights, self.positions, &self.cache, Scored::All, CHUNK)?;
        Ok(Self { scores: Some(scores), ..self })
    }

    /// Tokens in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Tokens the cache has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The forward of one token.
    pub fn decode_program(&self) -> &Program {
        &self.decode.program
    }

    /// Bytes of activations of each program.
    pub fn slot_bytes(&self) -> [(&'static str, u64); 2] {
        [("prefill", self.prefill.program.slot_bytes()), ("decode", self.decode.program.slot_bytes())]
    }

    /// Dispatches for one token; operations, on the CPU.
    pub fn dispatches(&self) -> usize {
        self.decode.program.dispatches()
    }

    /// Bytes of the KV cache.
    pub fn cache_bytes(&self, machine: &Machine) -> u64 {
        bytes_of(machine, self.cache.layers.iter().flat_map(|(keys, values)| [keys.memory, values.memory]))
    }

    /// What an engine for `weights` takes, with them, of the machine it was made on, if that held
    /// nothing before.
    pub fn memory(&self, machine: &Machine, weights: &Weights) -> MemoryPlan {
        let mut plan = MemoryPlan::default();
        plan.add_model(machine, "model", weights);
        plan.add("KV cache", self.cache_bytes(machine));
        plan.complete(machine, self.slot_bytes().map(|(name, bytes)| (name.to_string(), bytes)).to_vec())
    }

    /// Forgets every token from `position` on.
    pub fn rewind(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    /// Adds tokens; gives the logits of the one that follows, `vocabulary` of them.
    pub async fn feed(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check(tokens)?;
        let mut rest = tokens;
        loop {
            let (stage, count) = if rest.len() == 1 { (&mut self.decode, 1) } else { (&mut self.prefill, rest.len().min(CHUNK)) };
            machine.write(&self.last, &[count as u32 - 1])?;
            stage.run(machine, &self.positions, self.position, &rest[..count])?;
            self.position += count;
            rest = &rest[count..];
            if rest.is_empty() {
                return Ok(bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?));
            }
        }
    }

    /// Adds tokens; gives the logits of what follows each of them, `(tokens, vocabulary)`.
    ///
    /// # Panics
    /// Unless it was made [`with_scores`](Self::with_scores).
    pub async fn score(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check(tokens)?;
        let stage = self.scores.as_mut().expect("the engine was made to score");
        let mut logits = Vec::with_capacity(tokens.len() * self.vocabulary);
        for part in tokens.chunks(CHUNK) {
            stage.run(machine, &self.positions, self.position, part)?;
            self.position += part.len();
            let rows: Vec<f32> = bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?);
            logits.extend_from_slice(&rows[..part.len() * self.vocabulary]);
        }
        Ok(logits)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), EngineError> {
        if tokens.is_empty() {
            return Err(EngineError::Empty);
        }
        if self.position + tokens.len() > self.capacity {
            return Err(EngineError::Full { have: self.position, more: tokens.len(), capacity: self.capacity });
        }
        match tokens.iter().find(|&&id| id as usize >= self.vocabulary) {
            Some(&id) => Err(EngineError::Token { id, vocabulary: self.vocabulary }),
            None => Ok(()),
        }
    }
}

/// Keys and values are held as the model's matrices are, in halves or in full; in halves only where
/// each half of a head is whole words.
fn cache_storage(weights: &Weights) -> Storage {
    let matrices = weights.home(weights.head()).map_or(Storage::F32, |head| head.spec.storage);
    if matrices == Storage::F32 || !weights.config.head_dim().is_multiple_of(4) { Storage::F32 } else { Storage::F16 }
}

/// Compiles a forward of `seq` tokens. Padding after the last real one is written to the cache but
/// never seen: the next tokens take its place.
fn stage(machine: &mut Machine, weights: &Weights, positions: Positions, cache: &KvCache, scored: Scored, seq: usize) -> Result<Stage, EngineError> {
    let spec = Spec::u32(seq, 1);
    let tokens = Home { memory: machine.allocate(Class::Words, seq)?, offset: 0, spec };
    let mut tape = Tape::new();
    let ids = tape.lasting(tokens);
    let row = match scored {
        Scored::One(row) => Some(tape.lasting(row)),
        Scored::All => None,
    };
    let mut hidden = Forward { weights, positions, batch: 1, seq, cache: Some(cache) }.hidden(&mut tape, ids)?;
    if let (Some(row), true) = (row, seq > 1) {
        hidden = tape.push_one(Embedding, &[hidden, row], &[])?;
    }
    let logits = logits(&mut tape, weights, hidden)?;
    tape.keep(logits);
    Ok(Stage { program: machine.compile(tape)?, tokens, logits })
}

impl Stage {
    /// Runs it for tokens, of which the first is at `position`.
    fn run(&mut self, machine: &mut Machine, positions: &Positions, position: usize, tokens: &[u32]) -> Result<(), MachineError> {
        let mut padded = tokens.to_vec();
        padded.resize(self.tokens.spec.rows, 0);
        machine.write(&self.tokens, &padded)?;
        machine.write(&positions.start, &[position as u32])?;
        machine.run(&mut self.program)
    }
}
