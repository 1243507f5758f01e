//! LLaMA on a tape: tokens to the last hidden state, for training, evaluation and decoding alike.

use super::weights::{Linears, Weights};
use crate::graph::{Home, Machine, MachineError, ShapeError, Spec, Tape, TensorId};
use crate::ops::{Add, Attention, CacheWrite, Embedding, FbiLinear, Matmul, RmsNorm, Rope, Swiglu};

/// What every forward of a model reads besides its weights.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// cos of every position's angles, `(positions, head_dim/2)`.
    pub cos: Home,
    /// sin of the same.
    pub sin: Home,
    /// Position of the first token of each sequence, `(1, 1)`.
    pub start: Home,
}

impl Positions {
    /// Makes the tables for `positions` positions, in f64: angle = position · θ^(−2j/head_dim).
    pub fn new(machine: &mut Machine, theta: f64, head_dim: usize, positions: usize) -> Result<Self, MachineError> {
        let half = head_dim / 2;
        let spec = Spec::f32(positions, half);
        let angle = |i: usize| (i / half) as f64 * theta.powf(-2.0 * (i % half) as f64 / head_dim as f64);
        let mut table = |f: fn(f64) -> f64| -> Result<Home, MachineError> {
            let home = Home { memory: machine.allocate(crate::graph::Class::Real, spec.words())?, offset: 0, spec };
            machine.write_f32(&home, &(0..spec.elements()).map(|i| f(angle(i)) as f32).collect::<Vec<_>>())?;
            Ok(home)
        };
        let (cos, sin) = (table(f64::cos)?, table(f64::sin)?);
        let start = Home { memory: machine.allocate(crate::graph::Class::Words, 1)?, offset: 0, spec: Spec::u32(1, 1) };
        Ok(Self { cos, sin, start })
    }
}

/// Keys and values of earlier tokens, one pair a layer, each `(capacity, kv_width)`.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// Per layer: keys, values.
    pub layers: Vec<(Home, Home)>,
}

/// One forward: how many sequences, how long, and whether it continues a cache.
pub struct Forward<'a> {
    /// The model.
    pub weights: &'a Weights,
    /// Position tables.
    pub positions: Positions,
    /// Sequences.
    pub batch: usize,
    /// Tokens in each.
    pub seq: usize,
    /// In decoding: earlier keys and values. `batch` is 1 then.
    pub cache: Option<&'a KvCache>,
}

impl Forward<'_> {
    /// Records the model up to the final norm: `tokens (batch·seq, 1)` → `(batch·seq, width)`.
    pub fn hidden(&self, tape: &mut Tape, tokens: TensorId) -> Result<TensorId, ShapeError> {
        let embedding = self.weights.tensor(tape, "model.embed_tokens.weight");
        let mut x = tape.push_one(Embedding, &[embedding, tokens], &[])?;
        for layer in 0..self.weights.config.num_hidden_layers {
            let first = tape.len();
            x = self.block(tape, layer, x)?;
            tape.block(first);
        }
        self.norm(tape, "model.norm", x)
    }

    fn block(&self, tape: &mut Tape, layer: usize, x: TensorId) -> Result<TensorId, ShapeError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let normed = self.norm(tape, &name("input_layernorm"), x)?;
        let attended = self.attention(tape, layer, normed)?;
        let x = tape.push_one(Add, &[x, attended], &[])?;
        let normed = self.norm(tape, &name("post_attention_layernorm"), x)?;
        let gate = self.linear(tape, &name("mlp.gate_proj"), normed)?;
        let up = self.linear(tape, &name("mlp.up_proj"), normed)?;
        let wide = tape.push_one(Swiglu, &[gate, up], &[])?;
        let down = self.linear(tape, &name("mlp.down_proj"), wide)?;
        tape.push_one(Add, &[x, down], &[])
    }

    fn attention(&self, tape: &mut Tape, layer: usize, x: TensorId) -> Result<TensorId, ShapeError> {
        let config = &self.weights.config;
        let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
        let start = tape.lasting(self.positions.start);
        let q = self.linear(tape, &name("q_proj"), x)?;
        let k = self.linear(tape, &name("k_proj"), x)?;
        let v = self.linear(tape, &name("v_proj"), x)?;
        let q = self.rotate(tape, q, config.num_attention_heads)?;
        let k = self.rotate(tape, k, config.kv_heads())?;
        let (k, v) = match self.cache {
            None => (k, v),
            Some(cache) => {
                let (keys, values) = cache.layers[layer];
                let (keys, values) = (tape.lasting(keys), tape.lasting(values));
                tape.push(CacheWrite, &[k, start], &[keys])?;
                tape.push(CacheWrite, &[v, start], &[values])?;
                (keys, values)
            }
        };
        let op = Attention { batch: self.batch, heads: config.num_attention_heads, kv_heads: config.kv_heads() };
        let attended = tape.push(op, &[q, k, v, start], &[])?[0];
        self.linear(tape, &name("o_proj"), attended)
    }

    fn rotate(&self, tape: &mut Tape, x: TensorId, heads: usize) -> Result<TensorId, ShapeError> {
        let [cos, sin, start] = [self.positions.cos, self.positions.sin, self.positions.start].map(|home| tape.lasting(home));
        tape.push_one(Rope { heads, seq: self.seq, inverse: false }, &[x, cos, sin, start], &[])
    }

    fn norm(&self, tape: &mut Tape, name: &str, x: TensorId) -> Result<TensorId, ShapeError> {
        let gain = self.weights.tensor(tape, &format!("{name}.weight"));
        tape.push_one(RmsNorm { epsilon: self.weights.config.rms_norm_eps }, &[x, gain], &[])
    }

    fn linear(&self, tape: &mut Tape, name: &str, x: TensorId) -> Result<TensorId, ShapeError> {
        if self.weights.linears == Linears::Dense {
            let weight = self.weights.tensor(tape, &format!("{name}.weight"));
            return tape.push_one(Matmul::LINEAR, &[x, weight], &[]);
        }
        let layer = self.weights.binary.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("no binary layer {name}"));
        let signs = tape.lasting(layer.signs);
        let alpha = self.weights.tensor(tape, &format!("{name}.wscale"));
        let beta = self.weights.tensor(tape, &format!("{name}.wbias"));
        let mut inputs = vec![x, signs, alpha, beta];
        if let Some(transposed) = layer.transposed {
            inputs.push(tape.lasting(transposed));
            inputs.push(self.weights.tensor(tape, &format!("{name}.weight")));
        }
        tape.push_one(FbiLinear, &inputs, &[])
    }
}

/// Records the head: `hidden (rows, width)` → logits `(rows, vocabulary)`.
pub fn logits(tape: &mut Tape, weights: &Weights, hidden: TensorId) -> Result<TensorId, ShapeError> {
    let head = weights.tensor(tape, weights.head());
    tape.push_one(Matmul::LINEAR, &[hidden, head], &[])
}
