//! Prefill and decode: token ids in, logits of the next token or the next token itself out, with a
//! KV cache. A chosen token is where the next forward reads it, so that one can be begun before the
//! host knows what the one before chose.

use super::sampler::{Sampler, Sampling};
use crate::graph::{Class, Home, Machine, MachineError, Pending, Program, ShapeError, Spec, Storage, Tape, TensorId};
use crate::model::{Forward, KvCache, MemoryPlan, Positions, Weights, bytes_of, logits};
use crate::ops::{DRAW, Draw, Embedding, MEMORY, Sample};

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
    /// A token whose row of the embedding is no row of numbers.
    #[error(
        "token id {0} has an embedding that is not finite (NaN or infinite), so nothing can be computed for it. Use a text without this token, or repair the model's file"
    )]
    Unusable(u32),
    /// Nothing to continue.
    #[error("there is no token to continue")]
    Empty,
}

/// Tokens a prefill program takes at once.
const PREFILL_TOKENS: usize = 32;

/// What a token is chosen with: the operands of [`Sample`].
#[derive(Clone, Copy)]
struct SampleOperands {
    draw: Home,
    recent: Home,
    weights: Home,
    /// The token chosen last; the next forward of one token reads it here.
    token: Home,
}

impl SampleOperands {
    fn new(machine: &mut Machine, vocabulary: usize) -> Result<Self, MachineError> {
        let (draw, recent) = (home(machine, Spec::u32(1, DRAW))?, home(machine, Spec::u32(1, MEMORY))?);
        Ok(Self { draw, recent, weights: home(machine, Spec::f32(1, vocabulary))?, token: home(machine, Spec::u32(1, 1))? })
    }
}

/// Which tokens of a forward get logits.
#[derive(Clone, Copy)]
enum LogitRows {
    /// The one that this home holds the number of; what follows it may be chosen.
    Last(Home, SampleOperands),
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
    sample: SampleOperands,
    sampler: Sampler,
    capacity: usize,
    vocabulary: usize,
    /// Tokens that cannot be computed with, in ascending order.
    unusable: Vec<u32>,
    position: usize,
}

impl Engine {
    /// Compiles the programs, and reserves a cache for `capacity` tokens.
    pub fn new(machine: &mut Machine, weights: &Weights, capacity: usize) -> Result<Self, EngineError> {
        let config = &weights.config;
        let positions = Positions::new(machine, config, capacity.max(PREFILL_TOKENS))?;
        let spec = Spec { rows: capacity, cols: config.kv_width(), storage: cache_storage(weights) };
        let layers = (0..config.num_hidden_layers).map(|_| Ok((home(machine, spec)?, home(machine, spec)?))).collect::<Result<_, MachineError>>()?;
        let cache = KvCache { layers };
        let last = home(machine, Spec::u32(1, 1))?;
        let vocabulary = config.vocab_size;
        let sample = SampleOperands::new(machine, vocabulary)?;
        let many = home(machine, Spec::u32(PREFILL_TOKENS, 1))?;
        let mut stage = |tokens| stage(machine, weights, positions, &cache, LogitRows::Last(last, sample), tokens);
        // The larger one first: the other fits into its slots.
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

    /// The same, able to [`score`](Self::score); `weights` are those it was made with.
    pub fn with_scores(self, machine: &mut Machine, weights: &Weights) -> Result<Self, EngineError> {
        let tokens = home(machine, Spec::u32(PREFILL_TOKENS, 1))?;
        let scores = stage(machine, weights, self.positions, &self.cache, LogitRows::All, tokens)?;
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

    /// Whether the cache has room for another token.
    pub fn has_room(&self) -> bool {
        self.position < self.capacity
    }

    /// Ids that tokens have.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The forward of one token.
    pub fn decode_program(&self) -> &Program {
        &self.decode.program
    }

    /// Bytes of activations of each program.
    pub fn slot_bytes(&self) -> [(&'static str, u64); 2] {
        [("prefill", self.prefill.program.slot_bytes()), ("decode", self.decode.program.slot_bytes())]
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

    /// Sets how tokens are chosen from now on, in a text that begins with `text`.
    pub fn set_sampler(&mut self, machine: &mut Machine, sampler: Sampler, text: &[u32]) -> Result<(), EngineError> {
        machine.write(&self.sample.recent, &Sampler::recent(text))?;
        self.sampler = sampler;
        Ok(())
    }

    /// Adds tokens; gives the logits of the one that follows, `vocabulary` of them.
    pub async fn feed(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let stage = self.forward(machine, tokens, false)?;
        Ok(bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?))
    }

    /// Adds tokens, and waits until that is done.
    pub async fn read(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<(), EngineError> {
        self.forward(machine, tokens, false)?;
        Ok(machine.drain().await?)
    }

    /// Adds tokens, and chooses the one that follows: a single word, which arrives later.
    pub fn sample(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Pending, EngineError> {
        self.forward(machine, tokens, true)?;
        Ok(machine.read_later(&[self.sample.token])?)
    }

    /// Adds the token that was chosen last, whether or not it arrived, and chooses the one that follows.
    pub fn sample_next(&mut self, machine: &mut Machine) -> Result<Pending, EngineError> {
        self.check_room(1)?;
        machine.write(&self.sample.draw, &self.sampler.draw(self.position + 1).words())?;
        self.decode.start(machine, &self.positions, self.position)?;
        self.position += 1;
        Ok(machine.read_later(&[self.sample.token])?)
    }

    /// Adds tokens, and may choose the one that follows; gives the stage that ran last.
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

    /// Adds tokens; gives the logits of what follows each of them, `(tokens, vocabulary)`.
    ///
    /// # Panics
    /// Unless it was made [`with_scores`](Self::with_scores).
    pub async fn score(&mut self, machine: &mut Machine, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check(tokens)?;
        let stage = self.scores.as_mut().expect("the engine was made to score");
        let mut logits = Vec::with_capacity(tokens.len() * self.vocabulary);
        for part in tokens.chunks(PREFILL_TOKENS) {
            stage.run(machine, &self.positions, self.position, part)?;
            self.position += part.len();
            let rows: Vec<f32> = bytemuck::cast_vec(machine.read_tensor(&stage.program, stage.logits).await?);
            logits.extend_from_slice(&rows[..part.len() * self.vocabulary]);
        }
        Ok(logits)
    }

    /// Refuses more tokens than the cache has room for.
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

    /// Refuses a token that cannot be computed with.
    pub(super) fn expect_usable(&self, id: u32) -> Result<(), EngineError> {
        if self.unusable.binary_search(&id).is_ok() { Err(EngineError::Unusable(id)) } else { Ok(()) }
    }
}

/// Keys and values are held as the model's matrices are, in halves or in full; in halves only where
/// each half of a head is whole words.
fn cache_storage(weights: &Weights) -> Storage {
    let matrices = weights.home(weights.head()).map_or(Storage::F32, |head| head.spec.storage);
    if matrices == Storage::F32 || !weights.config.head_dim().is_multiple_of(4) { Storage::F32 } else { Storage::F16 }
}

/// A memory of its own.
fn home(machine: &mut Machine, spec: Spec) -> Result<Home, MachineError> {
    Ok(Home { memory: machine.allocate(Class::of(spec.storage), spec.words())?, offset: 0, spec })
}

/// Compiles a forward of as many tokens as that home has. Padding after the last real one is written
/// to the cache but never seen: the next tokens take its place.
fn stage(machine: &mut Machine, weights: &Weights, positions: Positions, cache: &KvCache, scored: LogitRows, tokens: Home) -> Result<Stage, EngineError> {
    let seq = tokens.spec.rows;
    let mut tape = Tape::new();
    let ids = tape.lasting(tokens);
    let mut hidden = Forward { weights, positions, batch: 1, seq, cache: Some(cache) }.hidden(&mut tape, ids)?;
    if let (LogitRows::Last(row, _), true) = (scored, seq > 1) {
        let row = tape.lasting(row);
        hidden = tape.push_one(Embedding, &[hidden, row], &[])?;
    }
    let logits = logits(&mut tape, weights, hidden)?;
    tape.keep(logits);
    if let LogitRows::Last(_, SampleOperands { draw, recent, weights, token }) = scored {
        let [draw, recent, weights, token] = [draw, recent, weights, token].map(|home| tape.lasting(home));
        tape.push(Sample, &[logits, draw], &[recent, weights, token])?;
    }
    Ok(Stage { program: machine.compile(tape)?, tokens, logits })
}

impl Stage {
    /// Runs it for tokens, of which the first is at `position`. The last one is repeated as padding.
    fn run(&mut self, machine: &mut Machine, positions: &Positions, position: usize, tokens: &[u32]) -> Result<(), MachineError> {
        let mut padded = tokens.to_vec();
        padded.resize(self.tokens.spec.rows, tokens.last().copied().unwrap_or_default());
        machine.write(&self.tokens, &padded)?;
        self.start(machine, positions, position)
    }

    /// Runs it for the tokens that are in place.
    fn start(&mut self, machine: &mut Machine, positions: &Positions, position: usize) -> Result<(), MachineError> {
        machine.write(&positions.start, &[position as u32])?;
        machine.run(&mut self.program)
    }
}
