//! The memory planner: assigns slots to a tape's pooled buffers by lifetime. Pure.

use super::ids::{BufferId, TensorId};
use super::shape::BufferKind;
use super::tape::{BufferInfo, BufferOwner, Tape};
use std::collections::BTreeMap;

/// Memory that several buffers of a tape use one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSlot {
    /// Size in words.
    pub words: usize,
    /// The type of its elements.
    pub kind: BufferKind,
    /// True if it is read after the tape has run, so that no other tape may use it.
    pub kept: bool,
}

/// The slots of a tape and their assignment to pooled buffers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All slots.
    pub slots: Vec<BufferSlot>,
    pub(crate) slot_of: Vec<Option<usize>>,
}

impl Plan {
    /// Plans a tape. A buffer occupies its slot from the first operation that uses it to the last, so an
    /// output never shares a slot with an input of the same operation (WebGPU forbids binding one buffer
    /// both read-only and read-write).
    ///
    /// Greedy by size (Pisarchyk & Lee, arXiv 2001.03288): the largest buffers first, each in the smallest
    /// slot that is free for its lifetime; of equal slots the most recently used.
    pub fn new(tape: &Tape) -> Plan {
        let lives = lifetimes(tape);
        let kinds = kinds(tape);
        let mut plan = Plan { slots: Vec::new(), slot_of: vec![None; tape.buffers.len()] };
        // For each slot, the first and last operation of every use; uses never overlap.
        let mut uses: Vec<BTreeMap<usize, usize>> = Vec::new();
        let mut order: Vec<(usize, (usize, usize))> = lives.iter().enumerate().filter_map(|(buffer, life)| Some((buffer, (*life)?))).collect();
        order.sort_by_key(|&(buffer, (first, _))| (std::cmp::Reverse(tape.buffers[buffer].words), first));
        for (buffer, life) in order {
            let BufferInfo { words, kept, .. } = tape.buffers[buffer];
            let kind = kinds[buffer];
            let free = (0..uses.len()).filter(|&slot| !kept && !plan.slots[slot].kept && plan.slots[slot].kind == kind);
            let idle = free.filter_map(|slot| Some((plan.slots[slot].words, idle_since(&uses[slot], life)?, slot)));
            let slot = idle.min().map_or(uses.len(), |(_, _, slot)| slot);
            if slot == uses.len() {
                plan.slots.push(BufferSlot { words, kind, kept });
                uses.push(BTreeMap::new());
            }
            uses[slot].insert(life.0, life.1);
            plan.slot_of[buffer] = Some(slot);
        }
        plan
    }

    /// Words of all slots.
    pub fn words(&self) -> u64 {
        self.slots.iter().map(|slot| slot.words as u64).sum()
    }

    /// Words of the kept slots.
    pub fn kept_words(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.kept).map(|slot| slot.words as u64).sum()
    }
}

/// Returns the number of operations between the last use of a slot and `life`; none if it is in use.
fn idle_since(uses: &BTreeMap<usize, usize>, (first, last): (usize, usize)) -> Option<usize> {
    let before = uses.range(..=last).next_back().map(|(_, &end)| end);
    match before {
        Some(end) => (end < first).then(|| first - end),
        None => Some(usize::MAX),
    }
}

/// The slots of a machine, shared by its programs, since no two run at the same time. Kept slots are not
/// shared.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    slots: Vec<BufferSlot>,
}

impl Pool {
    /// Assigns a slot of the pool to each slot of a plan, except kept ones. The largest come first, each
    /// in the smallest free slot that is large enough, otherwise in a new one. Slots of the pool never grow:
    /// compiled programs have bound them.
    pub fn assign(&mut self, plan: &Plan) -> Vec<Option<usize>> {
        let mut assigned = vec![None; plan.slots.len()];
        let mut taken = vec![false; self.slots.len()];
        let mut order: Vec<usize> = (0..plan.slots.len()).filter(|&n| !plan.slots[n].kept).collect();
        order.sort_by_key(|&n| std::cmp::Reverse(plan.slots[n].words));
        for n in order {
            let BufferSlot { words, kind, .. } = plan.slots[n];
            let fits = |&slot: &usize| !taken[slot] && self.slots[slot].kind == kind && self.slots[slot].words >= words;
            let slot = (0..taken.len()).filter(fits).min_by_key(|&slot| self.slots[slot].words).unwrap_or_else(|| {
                self.slots.push(plan.slots[n]);
                taken.push(false);
                taken.len() - 1
            });
            taken[slot] = true;
            assigned[n] = Some(slot);
        }
        assigned
    }

    /// All slots; [`Pool::assign`] appends new ones.
    pub fn slots(&self) -> &[BufferSlot] {
        &self.slots
    }

    /// Removes the slots from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// Words of all slots.
    pub fn words(&self) -> u64 {
        self.slots.iter().map(|slot| slot.words as u64).sum()
    }
}

/// Returns the first and the last operation that uses each pooled buffer.
fn lifetimes(tape: &Tape) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; tape.buffers.len()];
    for (index, node) in tape.nodes.iter().enumerate() {
        for tensor in node.operands() {
            let BufferId(buffer) = tape.tensors[tensor.0].buffer;
            if tape.buffers[buffer].owner == BufferOwner::Pooled {
                lives[buffer] = Some((lives[buffer].map_or(index, |(first, _)| first), index));
            }
        }
    }
    lives
}

fn kinds(tape: &Tape) -> Vec<BufferKind> {
    let mut kinds = vec![BufferKind::Real; tape.buffers.len()];
    for tensor in &tape.tensors {
        kinds[tensor.buffer.0] = BufferKind::of(tensor.spec.storage);
    }
    kinds
}

/// An error of an operation that writes a tensor which overlaps another of its operands.
#[derive(Debug, thiserror::Error)]
#[error("cannot run operation {index} ({op}): it writes a tensor that overlaps another of its operands")]
pub struct Overlap {
    index: usize,
    op: &'static str,
}

/// Checks that no operation writes a range that overlaps another of its operands. The CPU executor relies on
/// it for soundness, and WebGPU requires it.
pub(crate) fn check_overlaps(tape: &Tape) -> Result<(), Overlap> {
    for (index, node) in tape.nodes.iter().enumerate() {
        let range = |id: &TensorId| {
            let info = &tape.tensors[id.0];
            (info.buffer, info.offset, info.offset + info.spec.words())
        };
        let written: Vec<_> = node.updates.iter().chain(&node.outputs).map(range).collect();
        let read: Vec<_> = node.inputs.iter().map(range).collect();
        let overlap = |a: &(BufferId, usize, usize), b: &(BufferId, usize, usize)| a.0 == b.0 && a.1 < b.2 && b.1 < a.2;
        for (n, range) in written.iter().enumerate() {
            if read.iter().any(|other| overlap(range, other)) || written[..n].iter().any(|other| overlap(range, other)) {
                return Err(Overlap { index, op: node.op.name() });
            }
        }
    }
    Ok(())
}
