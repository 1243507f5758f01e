//! Gradient checkpointing: the activations of a block are recomputed before its gradients, instead of
//! being stored since the forward pass. The operations and inputs are the same, and so are the bits; the
//! cost is about one more forward pass. Pure.

use super::ids::{BufferId, TensorId};
use super::tape::{BufferInfo, BufferOwner, Node, Tape, TapeTensor};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// The activations that are recomputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// None.
    #[default]
    Off,
    /// The outputs of cheap operations ([`Tape::cheap`]).
    Light,
    /// All activations within a block ([`Tape::block`]).
    On,
}

impl Tape {
    /// Recomputes activations for the gradients; call it after [`Tape::backward`]. Of a block, only buffers
    /// that other operations of the forward pass read are stored; outputs of cheap operations are stored up
    /// to their last reader in the forward pass. The last block is not recomputed, because its gradients
    /// follow at once, nor is a block with updates. Returns the number of operations added.
    pub fn recompute(&mut self, which: Recompute) -> usize {
        let before = self.nodes.len();
        let ranges = match which {
            Recompute::Off => Vec::new(),
            Recompute::Light => self.cheap.clone(),
            Recompute::On => self.blocks.clone(),
        };
        let mut blocks: Vec<(Range<usize>, BlockBuffers)> = ranges.into_iter().map(|block| (block.clone(), self.block_buffers(&block, which))).collect();
        blocks.retain(|(_, buffers)| !buffers.recomputed.is_empty());
        if which == Recompute::On {
            blocks.pop();
        }
        for (block, buffers) in blocks {
            self.recompute_block(&block, &buffers);
        }
        self.nodes.len() - before
    }

    fn recompute_block(&mut self, block: &Range<usize>, BlockBuffers { held, recomputed }: &BlockBuffers) {
        let nodes = self.producers(block, held, recomputed);
        let reads_recomputed = |node: &Node| node.operands().any(|id| recomputed.contains(&self.tensors[id.0].buffer));
        let first = (self.forward..self.nodes.len()).find(|&n| reads_recomputed(&self.nodes[n]));
        let (Some(first), false) = (first, nodes.iter().any(|&n| !self.nodes[n].updates.is_empty())) else { return };
        let mut copies = Copies::default();
        let made: BTreeSet<BufferId> = nodes.iter().flat_map(|&n| &self.nodes[n].outputs).map(|id| self.tensors[id.0].buffer).collect();
        let cloned: Vec<Node> = nodes.iter().map(|&n| copies.node(self, &made, self.nodes[n].clone())).collect();
        for n in first..self.nodes.len() {
            self.nodes[n] = copies.node(self, recomputed, self.nodes[n].clone());
        }
        self.nodes.splice(first..first, cloned);
    }

    fn block_buffers(&self, block: &Range<usize>, which: Recompute) -> BlockBuffers {
        let buffer = |id: TensorId| self.tensors[id.0].buffer;
        let read = |nodes: &[Node]| nodes.iter().flat_map(Node::operands).map(buffer).collect::<BTreeSet<_>>();
        let made = self.nodes[block.clone()].iter().flat_map(|node| &node.outputs).map(|&id| buffer(id));
        let others = match which {
            Recompute::Light => BTreeSet::new(),
            _ => &read(&self.nodes[..block.start]) | &read(&self.nodes[block.end..self.forward]),
        };
        let (held, freed): (BTreeSet<_>, BTreeSet<_>) = made.partition(|id| others.contains(id) || self.buffers[id.0].kept);
        BlockBuffers { held, recomputed: &freed & &read(&self.nodes[self.forward..]) }
    }

    /// Returns the operations of a block that `recomputed` depends on, in order.
    fn producers(&self, block: &Range<usize>, held: &BTreeSet<BufferId>, recomputed: &BTreeSet<BufferId>) -> Vec<usize> {
        let mut needed = recomputed.clone();
        let mut nodes = Vec::new();
        for n in block.clone().rev() {
            let node = &self.nodes[n];
            if node.outputs.iter().any(|id| needed.contains(&self.tensors[id.0].buffer)) {
                needed.extend(node.inputs.iter().map(|id| self.tensors[id.0].buffer).filter(|id| !held.contains(id)));
                nodes.push(n);
            }
        }
        nodes.reverse();
        nodes
    }
}

/// The output buffers of a block.
struct BlockBuffers {
    /// Stored: other operations of the forward pass read them, or they are kept.
    held: BTreeSet<BufferId>,
    /// Recomputed: only gradients read them.
    recomputed: BTreeSet<BufferId>,
}

/// Copies of buffers and tensors for the recomputed operations.
#[derive(Default)]
struct Copies {
    buffers: HashMap<BufferId, BufferId>,
    tensors: HashMap<TensorId, TensorId>,
}

impl Copies {
    /// Replaces the operands of a node that are in `buffers` by their copies.
    fn node(&mut self, tape: &mut Tape, buffers: &BTreeSet<BufferId>, mut node: Node) -> Node {
        for id in node.inputs.iter_mut().chain(&mut node.updates).chain(&mut node.outputs) {
            if buffers.contains(&tape.tensors[id.0].buffer) {
                *id = self.tensor(tape, *id);
            }
        }
        node
    }

    fn tensor(&mut self, tape: &mut Tape, id: TensorId) -> TensorId {
        *self.tensors.entry(id).or_insert_with(|| {
            let old = tape.tensors[id.0].clone();
            let buffer = *self.buffers.entry(old.buffer).or_insert_with(|| {
                let words = tape.buffers[old.buffer.0].words;
                tape.buffers.push(BufferInfo { owner: BufferOwner::Pooled, words, kept: false });
                BufferId(tape.buffers.len() - 1)
            });
            tape.tensors.push(TapeTensor { buffer, ..old });
            TensorId(tape.tensors.len() - 1)
        })
    }
}
