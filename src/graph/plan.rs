//! Assigns slots to a tape's pooled buffers by lifetime. Pure: no device is touched.

use super::ids::{BufferId, TensorId};
use super::shape::Class;
use super::tape::{BufferInfo, BufferOwner, Tape};
use std::collections::BTreeMap;

/// A buffer that several tensors use one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Size in words.
    pub words: usize,
    /// What it holds.
    pub class: Class,
    /// Whether it holds what is read after the tape has run: then no other tape may use it.
    pub kept: bool,
}

/// Slots, and which of them each pooled buffer of the tape has.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All slots.
    pub slots: Vec<Slot>,
    pub(crate) slot_of: Vec<Option<usize>>,
}

impl Plan {
    /// Plans a tape. A buffer holds its slot from the first operation that names it to the last,
    /// so an output never shares one with an input of the same operation (WebGPU forbids one buffer
    /// bound both for reading and for writing).
    ///
    /// The largest buffers choose first, each the smallest slot that is free all its life ("greedy
    /// by size", Pisarchyk & Lee, arXiv 2001.03288); of equal ones that which was used last.
    pub fn new(tape: &Tape) -> Plan {
        let lives = lifetimes(tape);
        let classes = classes(tape);
        let mut plan = Plan { slots: Vec::new(), slot_of: vec![None; tape.buffers.len()] };
        // Of each slot, the last operation of every use by its first: uses never overlap.
        let mut uses: Vec<BTreeMap<usize, usize>> = Vec::new();
        let mut order: Vec<(usize, (usize, usize))> = lives.iter().enumerate().filter_map(|(buffer, life)| Some((buffer, (*life)?))).collect();
        order.sort_by_key(|&(buffer, (first, _))| (std::cmp::Reverse(tape.buffers[buffer].words), first));
        for (buffer, life) in order {
            let BufferInfo { words, kept, .. } = tape.buffers[buffer];
            let class = classes[buffer];
            let free = (0..uses.len()).filter(|&slot| !kept && !plan.slots[slot].kept && plan.slots[slot].class == class);
            let idle = free.filter_map(|slot| Some((plan.slots[slot].words, idle_since(&uses[slot], life)?, slot)));
            let slot = idle.min().map_or(uses.len(), |(_, _, slot)| slot);
            if slot == uses.len() {
                plan.slots.push(Slot { words, class, kept });
                uses.push(BTreeMap::new());
            }
            uses[slot].insert(life.0, life.1);
            plan.slot_of[buffer] = Some(slot);
        }
        plan
    }

    /// Words in all slots together.
    pub fn words(&self) -> u64 {
        self.slots.iter().map(|slot| slot.words as u64).sum()
    }

    /// Words in the slots that no other tape may use.
    pub fn kept_words(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.kept).map(|slot| slot.words as u64).sum()
    }
}

/// How many operations before `life` a slot was last used; none if it is used meanwhile.
fn idle_since(uses: &BTreeMap<usize, usize>, (first, last): (usize, usize)) -> Option<usize> {
    let before = uses.range(..=last).next_back().map(|(_, &end)| end);
    match before {
        Some(end) => (end < first).then(|| first - end),
        None => Some(usize::MAX),
    }
}

/// The slots of a machine. Its programs share them, because no two run at the same time; only what
/// a program keeps is its own.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    slots: Vec<Slot>,
}

impl Pool {
    /// Gives each slot of a plan a place here; none to those that keep something. The largest
    /// choose first, each the smallest free place that is large enough; slots that find none are
    /// added. Places never grow: programs that are compiled already hold them.
    pub fn place(&mut self, plan: &Plan) -> Vec<Option<usize>> {
        let mut places = vec![None; plan.slots.len()];
        let mut taken = vec![false; self.slots.len()];
        let mut order: Vec<usize> = (0..plan.slots.len()).filter(|&n| !plan.slots[n].kept).collect();
        order.sort_by_key(|&n| std::cmp::Reverse(plan.slots[n].words));
        for n in order {
            let Slot { words, class, .. } = plan.slots[n];
            let fits = |&place: &usize| !taken[place] && self.slots[place].class == class && self.slots[place].words >= words;
            let place = (0..taken.len()).filter(fits).min_by_key(|&place| self.slots[place].words).unwrap_or_else(|| {
                self.slots.push(plan.slots[n]);
                taken.push(false);
                taken.len() - 1
            });
            taken[place] = true;
            places[n] = Some(place);
        }
        places
    }

    /// All slots; those added by a [`Pool::place`] come after those that were there.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Forgets the slots from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// Words in all slots together.
    pub fn words(&self) -> u64 {
        self.slots.iter().map(|slot| slot.words as u64).sum()
    }
}

/// First and last operation that names each pooled buffer.
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

fn classes(tape: &Tape) -> Vec<Class> {
    let mut classes = vec![Class::Real; tape.buffers.len()];
    for tensor in &tape.tensors {
        classes[tensor.buffer.0] = Class::of(tensor.spec.storage);
    }
    classes
}

/// A pair of operands that must not overlap does.
#[derive(Debug, thiserror::Error)]
#[error("operation {index} ({op}) writes a tensor that overlaps another of its operands")]
pub struct Overlap {
    index: usize,
    op: &'static str,
}

/// Checks that no operation writes a range that overlaps another of its operands: the executors
/// rely on it (the CPU's for soundness, WebGPU by its rules).
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
