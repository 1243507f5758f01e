//! The tape: tensors, the buffers they are views of, and the operations in order.

use super::ids::{BufferId, MemoryId, TensorId};
use super::op::{DynOp, Op, ShapeError, Specs};
use super::shape::Spec;
use super::variants::Variants;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// The location of a persistent tensor, which outlives tapes: a range of a buffer that a [machine](super::Machine)
/// (the CPU or a GPU) owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorLocation {
    /// The machine's buffer.
    pub memory: MemoryId,
    /// Offset in the buffer, in 32-bit words.
    pub offset: usize,
    /// Shape and storage.
    pub spec: Spec,
}

impl TensorLocation {
    /// Rows `first..first + rows` of this tensor.
    pub fn rows(&self, first: usize, rows: usize) -> TensorLocation {
        assert!(first + rows <= self.spec.rows, "rows {first}..{} are outside a tensor of {:?}", first + rows, self.spec);
        TensorLocation { offset: self.offset + first * self.spec.row_words(), spec: Spec { rows, ..self.spec }, ..*self }
    }
}

/// The owner of a buffer, which decides how long it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferOwner {
    /// The machine: the buffer outlives the tape.
    Memory(MemoryId),
    /// The memory plan, which assigns the buffer a slot from its first to its last use.
    Pooled,
}

/// A buffer, of which tensors are views.
#[derive(Clone, Debug)]
pub(crate) struct BufferInfo {
    pub(crate) owner: BufferOwner,
    /// Size in 32-bit words.
    pub(crate) words: usize,
    /// True if it is read after the tape has run; then no other buffer reuses its slot.
    pub(crate) kept: bool,
}

/// A tensor on a tape: a view of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct TapeTensor {
    pub(crate) buffer: BufferId,
    /// Offset in the buffer, in 32-bit words.
    pub(crate) offset: usize,
    pub(crate) spec: Spec,
    /// True if its gradient is computed.
    pub(crate) needs_gradient: bool,
    /// For a parameter, the tensor that accumulates its gradient.
    pub(crate) accumulator: Option<TensorId>,
}

/// One operation with its operands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) op: DynOp,
    pub(crate) inputs: Vec<TensorId>,
    /// The operands that are read and written in place.
    pub(crate) updates: Vec<TensorId>,
    pub(crate) outputs: Vec<TensorId>,
}

/// An operation with the shapes of its operands on a tape.
#[derive(Clone, Debug)]
pub struct ShapedOp {
    /// The operation.
    pub op: DynOp,
    /// Shape and storage of each input.
    pub inputs: Vec<Spec>,
    /// Shape and storage of each operand that is read and written in place.
    pub updates: Vec<Spec>,
}

impl ShapedOp {
    /// Returns the operands' shapes and storages.
    pub fn specs(&self) -> Specs<'_> {
        Specs { inputs: &self.inputs, updates: &self.updates }
    }
}

impl Node {
    /// Returns its inputs, updates and outputs.
    pub(crate) fn operands(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.inputs.iter().chain(&self.updates).chain(&self.outputs).copied()
    }
}

/// A recording of operations, which a [machine](super::Machine) plans and runs on the CPU or a GPU.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    pub(crate) buffers: Vec<BufferInfo>,
    pub(crate) tensors: Vec<TapeTensor>,
    pub(crate) nodes: Vec<Node>,
    /// Ranges of operations: see [`Tape::block`].
    pub(crate) blocks: Vec<Range<usize>>,
    /// Ranges of operations: see [`Tape::cheap`].
    pub(crate) cheap: Vec<Range<usize>>,
    /// Number of operations of the forward pass; set by [`Tape::backward`], otherwise 0.
    pub(crate) forward: usize,
    /// The buffers that the machine owns.
    memory_buffers: HashMap<MemoryId, BufferId>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a persistent tensor without a gradient.
    pub fn persistent(&mut self, location: TensorLocation) -> TensorId {
        let end = location.offset + location.spec.words();
        let buffers = &mut self.buffers;
        let buffer = *self.memory_buffers.entry(location.memory).or_insert_with(|| {
            buffers.push(BufferInfo { owner: BufferOwner::Memory(location.memory), words: 0, kept: true });
            BufferId(buffers.len() - 1)
        });
        let info = &mut self.buffers[buffer.0];
        info.words = info.words.max(end);
        self.tensor(buffer, location.offset, location.spec, false, None)
    }

    /// Adds a persistent tensor whose gradient is accumulated in `gradient`.
    pub fn parameter(&mut self, location: TensorLocation, gradient: TensorLocation) -> TensorId {
        let accumulator = self.persistent(gradient);
        let id = self.persistent(location);
        let info = &mut self.tensors[id.0];
        info.needs_gradient = true;
        info.accumulator = Some(accumulator);
        id
    }

    /// Adds a persistent tensor whose gradient is not accumulated, but returned by [`Tape::backward`].
    pub fn variable(&mut self, location: TensorLocation) -> TensorId {
        let id = self.persistent(location);
        self.tensors[id.0].needs_gradient = true;
        id
    }

    /// Adds a view of rows `first..first + rows` of a tensor. No gradient flows through it.
    pub fn rows(&mut self, tensor: TensorId, first: usize, rows: usize) -> TensorId {
        let info = self.tensors[tensor.0].clone();
        assert!(first + rows <= info.spec.rows, "rows {first}..{} are outside a tensor of {:?}", first + rows, info.spec);
        let offset = info.offset + first * info.spec.row_words();
        self.tensor(info.buffer, offset, Spec { rows, ..info.spec }, false, None)
    }

    /// Adds a tensor whose rows are written by several operations, each through a view of some rows ([`Tape::rows`]). Like
    /// an output, it shares memory with tensors that are used at other times.
    pub fn scratch(&mut self, spec: Spec) -> TensorId {
        self.pooled(spec, false)
    }

    /// Records `op` and returns its outputs.
    pub fn push<O: Op>(&mut self, op: O, inputs: &[TensorId], updates: &[TensorId]) -> Result<Vec<TensorId>, ShapeError> {
        self.push_dyn(Arc::new(op), inputs, updates)
    }

    /// Records `op` and returns its only output.
    pub fn push_one<O: Op>(&mut self, op: O, inputs: &[TensorId], updates: &[TensorId]) -> Result<TensorId, ShapeError> {
        let outputs = self.push(op, inputs, updates)?;
        assert_eq!(outputs.len(), 1, "{} has {} outputs", O::NAME, outputs.len());
        Ok(outputs[0])
    }

    pub(crate) fn push_dyn(&mut self, op: DynOp, inputs: &[TensorId], updates: &[TensorId]) -> Result<Vec<TensorId>, ShapeError> {
        let specs = |ids: &[TensorId]| ids.iter().map(|&id| self.spec(id)).collect::<Vec<_>>();
        let (in_specs, up_specs) = (specs(inputs), specs(updates));
        let out_specs = op.outputs(Specs { inputs: &in_specs, updates: &up_specs })?;
        let needs_gradient = inputs.iter().any(|id| self.tensors[id.0].needs_gradient);
        let outputs: Vec<TensorId> = out_specs.into_iter().map(|spec| self.pooled(spec, needs_gradient)).collect();
        self.nodes.push(Node { op, inputs: inputs.to_vec(), updates: updates.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Marks the operations from index `first` ([`Tape::next_node`] before they were recorded) as a block
    /// whose activations the backward pass can recompute; see [`Tape::recompute`].
    pub fn block(&mut self, first: usize) {
        self.blocks.push(first..self.nodes.len());
    }

    /// Marks the operations from index `first` as cheap: recomputing their outputs costs less than storing
    /// them; see [`Recompute::Light`](super::Recompute::Light).
    pub fn cheap(&mut self, first: usize) {
        self.cheap.push(first..self.nodes.len());
    }

    /// Keeps a tensor's contents readable after the tape has run.
    pub fn keep(&mut self, tensor: TensorId) {
        let buffer = self.tensors[tensor.0].buffer;
        self.buffers[buffer.0].kept = true;
    }

    /// Shape and storage of a tensor.
    pub fn spec(&self, tensor: TensorId) -> Spec {
        self.tensors[tensor.0].spec
    }

    /// Returns the accumulator of a parameter's gradient.
    pub fn accumulator(&self, tensor: TensorId) -> Option<TensorId> {
        self.tensors[tensor.0].accumulator
    }

    /// Returns the index of the next operation, for [`Tape::block`] and [`Tape::cheap`].
    pub fn next_node(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the operations that have several kernel variants for their shapes, by [`Variants::key`], each
    /// with the number of its occurrences.
    pub fn choices(&self) -> BTreeMap<String, (ShapedOp, usize)> {
        let mut choices = BTreeMap::new();
        for node in &self.nodes {
            let (inputs, updates) = self.specs_of(node);
            let choice = ShapedOp { op: node.op.clone(), inputs, updates };
            let key = Variants::key(&*choice.op, choice.specs());
            if choice.op.variants(choice.specs()).len() > 1 {
                choices.entry(key).or_insert((choice, 0)).1 += 1;
            }
        }
        choices
    }

    /// Specs of a node's inputs and updates.
    pub(crate) fn specs_of(&self, node: &Node) -> (Vec<Spec>, Vec<Spec>) {
        let specs = |ids: &[TensorId]| ids.iter().map(|&id| self.spec(id)).collect::<Vec<_>>();
        (specs(&node.inputs), specs(&node.updates))
    }

    fn pooled(&mut self, spec: Spec, needs_gradient: bool) -> TensorId {
        self.buffers.push(BufferInfo { owner: BufferOwner::Pooled, words: spec.words(), kept: false });
        self.tensor(BufferId(self.buffers.len() - 1), 0, spec, needs_gradient, None)
    }

    fn tensor(&mut self, buffer: BufferId, offset: usize, spec: Spec, needs_gradient: bool, accumulator: Option<TensorId>) -> TensorId {
        self.tensors.push(TapeTensor { buffer, offset, spec, needs_gradient, accumulator });
        TensorId(self.tensors.len() - 1)
    }
}
