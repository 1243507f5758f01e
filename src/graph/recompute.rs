//! Recompute ("gradient checkpointing"): a block's activations are computed again in front of its
//! gradients, instead of being held from the forward on. The same operations on the same inputs,
//! so the same bits, for the time of about one more forward. Pure.

use super::ids::{BufferId, TensorId};
use super::tape::{BufferInfo, BufferOwner, Node, Tape, TensorInfo};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Which activations are computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// None.
    #[default]
    Off,
    /// What cheap operations give ([`Tape::cheap`]).
    Light,
    /// Everything within a block ([`Tape::block`]).
    On,
}

impl Tape {
    /// Lets gradients read activations computed anew. Of a block only what other operations of the
    /// forward read is held; what a cheap operation gives is held up to the forward's last reader.
    /// Call after [`Tape::backward`]. The last block is left as it is, because its gradients come at
    /// once; so is one with an operation that updates something. Gives the number of operations added.
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
        let (held, gone): (BTreeSet<_>, BTreeSet<_>) = made.partition(|id| others.contains(id) || self.buffers[id.0].kept);
        BlockBuffers { held, recomputed: &gone & &read(&self.nodes[self.forward..]) }
    }

    /// The operations of a block that making `recomputed` takes, in order.
    fn producers(&self, block: &Range<usize>, held: &BTreeSet<BufferId>, recomputed: &BTreeSet<BufferId>) -> Vec<usize> {
        let mut wanted = recomputed.clone();
        let mut nodes = Vec::new();
        for n in block.clone().rev() {
            let node = &self.nodes[n];
            if node.outputs.iter().any(|id| wanted.contains(&self.tensors[id.0].buffer)) {
                wanted.extend(node.inputs.iter().map(|id| self.tensors[id.0].buffer).filter(|id| !held.contains(id)));
                nodes.push(n);
            }
        }
        nodes.reverse();
        nodes
    }
}

/// What becomes of the buffers that a block makes.
struct BlockBuffers {
    /// Other operations of the forward read them, or they are kept: they stay.
    held: BTreeSet<BufferId>,
    /// Only gradients read them: they are made anew.
    recomputed: BTreeSet<BufferId>,
}

/// New buffers and tensors in the place of old ones.
#[derive(Default)]
struct Copies {
    buffers: HashMap<BufferId, BufferId>,
    tensors: HashMap<TensorId, TensorId>,
}

impl Copies {
    /// A node with every operand in one of `buffers` replaced by its copy.
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
            tape.tensors.push(TensorInfo { buffer, ..old });
            TensorId(tape.tensors.len() - 1)
        })
    }
}
