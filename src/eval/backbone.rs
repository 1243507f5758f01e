//! Hidden states of sequences, computed in one of two ways: in a batch, or one by one after a shared prefix, whose keys and
//! values are cached.

use super::EvalError;
use crate::graph::{BufferKind, Machine, MachineError, Program, Spec, Tape, TensorId, TensorLocation};
use crate::model::{Forward, KvCache, Positions, Weights};
use std::collections::BTreeMap;

/// Tokens of a forward, unless a sequence is longer.
pub(super) const TOKENS: usize = 512;
/// Minimum cost of a forward in tokens: a smaller one takes as long, since it is bound by reading the weights.
const MIN_COST: usize = 32;

pub(super) fn allocate(machine: &mut Machine, spec: Spec) -> Result<TensorLocation, MachineError> {
    Ok(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec })
}

/// The padded length of a sequence of `tokens`: few distinct lengths, with at most an eighth of padding (more for the
/// shortest).
pub(super) fn padded(tokens: usize) -> usize {
    let step = (tokens.next_power_of_two() / 8).max(8);
    tokens.next_multiple_of(step)
}

/// Sequences in a batch, padded to `length`.
pub(super) fn lanes(length: usize) -> usize {
    (TOKENS / length).max(1)
}

/// Length of the common prefix of all sequences.
pub(super) fn shared_prefix(sequences: &[&[u32]]) -> usize {
    let Some((first, others)) = sequences.split_first() else { return 0 };
    let same = |other: &&[u32]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    others.iter().map(same).min().unwrap_or(first.len())
}

/// Returns true if sequences are cheaper after a cached shared prefix than in a batch.
pub(super) fn prefix_is_cheaper(sequences: &[&[u32]]) -> bool {
    let shared_prefix = shared_prefix(sequences);
    let cost = |tokens: usize| padded(tokens).max(MIN_COST);
    let prefixed = cost(shared_prefix) + sequences.iter().map(|sequence| cost(sequence.len() - shared_prefix)).sum::<usize>();
    prefixed < sequences.iter().map(|sequence| padded(sequence.len())).sum::<usize>()
}

/// A forward up to the last hidden state.
struct HiddenProgram {
    program: Program,
    tokens: TensorLocation,
    hidden: TensorId,
}

impl HiddenProgram {
    fn new(machine: &mut Machine, forward: &Forward<'_>) -> Result<Self, EvalError> {
        let tokens = allocate(machine, Spec::u32(forward.batch * forward.seq, 1))?;
        let mut tape = Tape::new();
        let ids = tape.persistent(tokens);
        let hidden = forward.hidden(&mut tape, ids)?;
        tape.keep(hidden);
        Ok(Self { program: machine.compile(tape)?, tokens, hidden })
    }

    /// Returns the hidden state after every token.
    async fn run(&mut self, machine: &mut Machine, ids: &[u32]) -> Result<Vec<f32>, MachineError> {
        machine.write(&self.tokens, ids)?;
        machine.run(&mut self.program)?;
        Ok(bytemuck::cast_vec(machine.read_tensor(&self.program, self.hidden).await?))
    }
}

/// Padded lengths of the forwards that are needed.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// For batched sequences.
    pub(super) batched: std::collections::BTreeSet<usize>,
    /// For parts of sequences with a cached prefix.
    pub(super) prefixed: std::collections::BTreeSet<usize>,
    /// Capacity of the KV cache.
    pub(super) cached: usize,
}

impl Lengths {
    /// Adds the lengths that these sequences need.
    pub(super) fn add(&mut self, sequences: &[&[u32]]) {
        if !prefix_is_cheaper(sequences) {
            self.batched.extend(sequences.iter().map(|sequence| padded(sequence.len())));
            return;
        }
        let shared_prefix = shared_prefix(sequences);
        let parts = std::iter::once(shared_prefix).chain(sequences.iter().map(|sequence| sequence.len() - shared_prefix));
        self.prefixed.extend(parts.flat_map(chunks).map(padded));
        self.cached = sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(0).max(self.cached);
    }
}

/// The chunks in which a long text is read.
fn chunks(tokens: usize) -> impl Iterator<Item = usize> {
    (0..tokens).step_by(TOKENS).map(move |first| TOKENS.min(tokens - first))
}

/// The body of a model, compiled for some lengths.
pub(super) struct Backbone {
    positions: Positions,
    batched: BTreeMap<usize, HiddenProgram>,
    prefixed: BTreeMap<usize, HiddenProgram>,
    width: usize,
}

impl Backbone {
    pub(super) fn new(machine: &mut Machine, weights: &Weights, lengths: &Lengths) -> Result<Self, EvalError> {
        let config = &weights.config;
        let longest = lengths.batched.last().copied().unwrap_or(0).max(lengths.cached + TOKENS);
        let positions = Positions::new(machine, config, longest)?;
        let mut batched = BTreeMap::new();
        // The larger ones first: the others reuse their memory.
        for &length in lengths.batched.iter().rev() {
            batched.insert(length, HiddenProgram::new(machine, &Forward { weights, positions, batch: lanes(length), seq: length, cache: None })?);
        }
        let mut prefixed = BTreeMap::new();
        if lengths.cached > 0 {
            let spec = Spec::f32(lengths.cached, config.kv_width());
            let layer = |_| Ok((allocate(machine, spec)?, allocate(machine, spec)?));
            let cache = KvCache { layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, MachineError>>()? };
            for &length in lengths.prefixed.iter().rev() {
                prefixed.insert(length, HiddenProgram::new(machine, &Forward { weights, positions, batch: 1, seq: length, cache: Some(&cache) })?);
            }
        }
        Ok(Self { positions, batched, prefixed, width: config.hidden_size })
    }

    /// Computes the hidden states `(tokens, width)` of each sequence, in batches of as many as there are lanes, the longest
    /// first.
    pub(super) async fn batched(&mut self, machine: &mut Machine, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, MachineError> {
        machine.write(&self.positions.start, &[0])?;
        let mut states = Vec::with_capacity(sequences.len());
        while let Some(longest) = sequences.get(states.len()) {
            let length = padded(longest.len());
            let stage = self.batched.get_mut(&length).expect("compiled for this length");
            // Causal attention ignores the padding after a sequence.
            let mut ids = vec![0; lanes(length) * length];
            let now = &sequences[states.len()..sequences.len().min(states.len() + lanes(length))];
            for (lane, sequence) in ids.chunks_mut(length).zip(now) {
                lane[..sequence.len()].copy_from_slice(sequence);
            }
            let hidden = stage.run(machine, &ids).await?;
            let lanes = hidden.chunks(length * self.width).zip(now);
            states.extend(lanes.map(|(lane, sequence)| lane[..sequence.len() * self.width].to_vec()));
        }
        Ok(states)
    }

    /// Computes the same, reading the shared prefix once.
    pub(super) async fn prefixed(&mut self, machine: &mut Machine, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, MachineError> {
        let shared_prefix = shared_prefix(sequences);
        let before = self.read(machine, 0, &sequences[0][..shared_prefix]).await?;
        let mut states = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let mut hidden = before.clone();
            hidden.extend(self.read(machine, shared_prefix, &sequence[shared_prefix..]).await?);
            states.push(hidden);
        }
        Ok(states)
    }

    /// Reads tokens from position `first` on, overwriting the cache.
    async fn read(&mut self, machine: &mut Machine, first: usize, tokens: &[u32]) -> Result<Vec<f32>, MachineError> {
        let mut states = Vec::with_capacity(tokens.len() * self.width);
        for (n, part) in tokens.chunks(TOKENS).enumerate() {
            let stage = self.prefixed.get_mut(&padded(part.len())).expect("compiled for this length");
            let mut ids = part.to_vec();
            ids.resize(padded(part.len()), 0);
            machine.write(&self.positions.start, &[(first + n * TOKENS) as u32])?;
            let hidden = stage.run(machine, &ids).await?;
            states.extend_from_slice(&hidden[..part.len() * self.width]);
        }
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_few_with_little_padding() {
        assert_eq!([1, 8, 9, 33, 64, 65, 100, 130, 500, 2000].map(padded), [8, 8, 16, 40, 64, 80, 112, 160, 512, 2048]);
        assert_eq!([8, 112, 512, 2048].map(lanes), [64, 4, 1, 1]);
    }

    #[test]
    fn a_long_shared_prefix_is_read_once() {
        let with = |length: usize, end: u32| (0..length as u32).chain([end; 12]).collect::<Vec<_>>();
        let [long, other, short] = [with(600, 7), with(600, 8), with(20, 9)];
        assert_eq!((shared_prefix(&[&long, &other]), shared_prefix(&[&long, &short]), shared_prefix(&[&short]), shared_prefix(&[])), (600, 20, 32, 0));
        assert!(prefix_is_cheaper(&[&long, &other]) && !prefix_is_cheaper(&[&with(20, 1), &with(20, 2)]) && !prefix_is_cheaper(&[&long]));
        let mut lengths = Lengths::default();
        lengths.add(&[&long, &other]);
        lengths.add(&[&short]);
        assert_eq!((lengths.prefixed.into_iter().collect::<Vec<_>>(), lengths.batched.into_iter().collect::<Vec<_>>()), (vec![16, 96, 512], vec![32]));
        assert_eq!(lengths.cached, 612);
    }
}
