//! The forward pass on a tape, for training, evaluation and decoding: building blocks for architectures, and the head.

use super::config::ModelConfig;
use super::tensors::LayerGroup;
use super::weights::{Linears, Weights};
use crate::graph::{Machine, MachineError, ShapeError, Spec, Tape, TensorId, TensorLocation};
use crate::ops::{Attention, Embedding, FbiLinear, Heads, Join, Matmul, Members, RmsNorm, Rope};

/// Position tables (RoPE) that a forward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Cosines of the angles of every position, `(positions, head_dim/2)`.
    pub cos: TensorLocation,
    /// Sines of the same angles.
    pub sin: TensorLocation,
    /// Position of the first token of each sequence, `(1, 1)`.
    pub start: TensorLocation,
}

impl Positions {
    /// Computes the tables for `positions` positions in f64: angle = position · frequency of the pair.
    pub fn new(machine: &mut Machine, config: &ModelConfig, positions: usize) -> Result<Self, MachineError> {
        let frequencies = config.rope_frequencies();
        let half = frequencies.len();
        let spec = Spec::f32(positions, half);
        let angle = |i: usize| (i / half) as f64 * frequencies[i % half];
        let mut table = |f: fn(f64) -> f64| -> Result<TensorLocation, MachineError> {
            let location = TensorLocation { memory: machine.allocate(crate::graph::BufferKind::Real, spec.words())?, offset: 0, spec };
            // A counting machine stores nothing, so a long table is not computed.
            if !matches!(machine, Machine::Counting(_)) {
                machine.write_f32(&location, &(0..spec.elements()).map(|i| f(angle(i)) as f32).collect::<Vec<_>>())?;
            }
            Ok(location)
        };
        let (cos, sin) = (table(f64::cos)?, table(f64::sin)?);
        let start = TensorLocation { memory: machine.allocate(crate::graph::BufferKind::Words, 1)?, offset: 0, spec: Spec::u32(1, 1) };
        Ok(Self { cos, sin, start })
    }
}

/// A KV cache: keys and values of each layer, both `(capacity, kv_width)`.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// Keys and values by layer.
    pub layers: Vec<(TensorLocation, TensorLocation)>,
}

/// A forward pass over a batch of sequences, optionally with a KV cache.
pub struct Forward<'a> {
    /// The model.
    pub weights: &'a Weights,
    /// Position tables.
    pub positions: Positions,
    /// Sequences in the batch.
    pub batch: usize,
    /// Tokens in each sequence.
    pub seq: usize,
    /// The KV cache in decoding; `batch` must be 1.
    pub cache: Option<&'a KvCache>,
}

impl Forward<'_> {
    /// Records the embedding lookup: `tokens (batch·seq, 1)` → `(batch·seq, width)`.
    pub(super) fn embedding(&self, tape: &mut Tape, tokens: TensorId) -> Result<TensorId, ShapeError> {
        let mut inputs = self.weights.tensors(tape, self.weights.config.architecture().embedding());
        inputs.push(tokens);
        tape.push_one(Embedding, &inputs, &[])
    }

    /// Records every transformer block with `block(tape, layer, x)`.
    pub(super) fn blocks(
        &self, tape: &mut Tape, mut x: TensorId, block: impl Fn(&mut Tape, usize, TensorId) -> Result<TensorId, ShapeError>,
    ) -> Result<TensorId, ShapeError> {
        for layer in 0..self.weights.config.num_hidden_layers {
            let first = tape.next_node();
            x = block(tape, layer, x)?;
            tape.block(first);
        }
        Ok(x)
    }

    /// Records operations that are cheap to recompute in the backward pass.
    pub(super) fn cheap<E>(&self, tape: &mut Tape, record: impl FnOnce(&mut Tape) -> Result<TensorId, E>) -> Result<TensorId, E> {
        let first = tape.next_node();
        let output = record(tape)?;
        tape.cheap(first);
        Ok(output)
    }

    /// Records RoPE and attention: `qkv (tokens, q_width + 2·kv_width)` → `(tokens, q_width)`.
    pub(super) fn attention(&self, tape: &mut Tape, layer: usize, qkv: TensorId) -> Result<TensorId, ShapeError> {
        let config = &self.weights.config;
        let [cos, sin, start] = [self.positions.cos, self.positions.sin, self.positions.start].map(|location| tape.persistent(location));
        let heads = Heads { query: config.num_attention_heads, key_value: config.kv_heads() };
        let rope = Rope { heads, seq: self.seq, inverse: false };
        let cache = self.cache.map(|cache| [cache.layers[layer].0, cache.layers[layer].1].map(|location| tape.persistent(location)));
        let rotated = tape.push_one(rope, &[qkv, cos, sin, start], cache.as_ref().map_or(&[], |cache| &cache[..]))?;
        let attention = Attention { batch: self.batch, heads };
        let outputs = match cache {
            None => tape.push(attention, &[rotated, start], &[])?,
            Some([keys, values]) => tape.push(attention, &[rotated, keys, values, start], &[])?,
        };
        Ok(outputs[0])
    }

    /// Records RMSNorm with the gain called `name` in files.
    pub(super) fn norm(&self, tape: &mut Tape, name: &str, x: TensorId) -> Result<TensorId, ShapeError> {
        let gain = self.weights.tensor(tape, name);
        tape.push_one(RmsNorm { epsilon: self.weights.config.rms_norm_eps }, &[x, gain], &[])
    }

    /// Records the linear layers of a group: `x (tokens, in)` → their concatenated outputs `(tokens, out)`.
    pub(super) fn linear(&self, tape: &mut Tape, group: &LayerGroup, x: TensorId) -> Result<TensorId, ShapeError> {
        let name = &group.name;
        if self.weights.linears == Linears::Dense {
            return product(tape, self.weights, &format!("{name}.weight"), x);
        }
        let binary = self.weights.binary.iter().find(|binary| binary.group == *group).unwrap_or_else(|| panic!("no binary group {name}"));
        let signs = tape.persistent(binary.signs);
        let alpha = self.weights.tensor(tape, &format!("{name}.wscale"));
        let beta = self.weights.tensor(tape, &format!("{name}.wbias"));
        let mut inputs = vec![x, signs, alpha, beta];
        if let Some(transposed) = binary.transposed {
            inputs.push(tape.persistent(transposed));
            inputs.extend(self.weights.tensors(tape, &format!("{name}.weight")));
        }
        let members = Members::new(&group.outs())?;
        tape.push_one(FbiLinear { members }, &inputs, &[])
    }
}

/// Records the head: `hidden (rows, width)` → logits `(rows, vocabulary)`.
pub fn logits(tape: &mut Tape, weights: &Weights, hidden: TensorId) -> Result<TensorId, ShapeError> {
    product(tape, weights, weights.head(), hidden)
}

/// Records a full-precision linear layer; in blocks of rows if the weight is larger than a binding may be.
fn product(tape: &mut Tape, weights: &Weights, name: &str, x: TensorId) -> Result<TensorId, ShapeError> {
    let blocks = weights.tensors(tape, name);
    let parts = blocks.into_iter().map(|block| tape.push_one(Matmul::LINEAR, &[x, block], &[])).collect::<Result<Vec<_>, _>>()?;
    match parts[..] {
        [whole] => Ok(whole),
        _ => tape.push_one(Join, &parts, &[]),
    }
}
