//! Assigns slots to a tape's pooled buffers by lifetime. Pure: no device is touched.

use super::shape::Storage;
use super::tape::{BufferId, BufferInfo, Place, Tape, TensorId};

/// What a slot holds; floats and words never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32-bit floats (any [`super::Real`] on the CPU).
    Real,
    /// 32-bit words: integers, signs, packed halves.
    Words,
}

impl Class {
    /// The class of a storage type.
    pub fn of(storage: Storage) -> Class {
        match storage {
            Storage::F32 => Class::Real,
            Storage::F16 | Storage::U32 | Storage::Signs => Class::Words,
        }
    }
}

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
    pub fn new(tape: &Tape) -> Plan {
        let lives = lifetimes(tape);
        let classes = classes(tape);
        let mut plan = Plan { slots: Vec::new(), slot_of: vec![None; tape.buffers.len()] };
        let mut free: Vec<usize> = Vec::new();
        let mut starts = vec![Vec::new(); tape.nodes.len()];
        let mut ends = vec![Vec::new(); tape.nodes.len()];
        for (buffer, life) in lives.iter().enumerate() {
            if let Some((first, last)) = *life {
                starts[first].push(buffer);
                ends[last].push(buffer);
            }
        }
        for node in 0..tape.nodes.len() {
            for &buffer in &starts[node] {
                let BufferInfo { words, kept, .. } = tape.buffers[buffer];
                let slot = if kept { plan.add(words, classes[buffer], true) } else { plan.take(&mut free, words, classes[buffer]) };
                plan.slot_of[buffer] = Some(slot);
            }
            for &buffer in &ends[node] {
                if !tape.buffers[buffer].kept {
                    free.extend(plan.slot_of[buffer]);
                }
            }
        }
        plan
    }

    /// Words in all slots together.
    pub fn words(&self) -> usize {
        self.slots.iter().map(|slot| slot.words).sum()
    }

    /// Words in the slots that no other tape may use.
    pub fn kept_words(&self) -> usize {
        self.slots.iter().filter(|slot| slot.kept).map(|slot| slot.words).sum()
    }

    /// The smallest free slot that is large enough; else the largest, grown; else a new one.
    fn take(&mut self, free: &mut Vec<usize>, words: usize, class: Class) -> usize {
        let fitting = free.iter().enumerate().filter(|&(_, &slot)| self.slots[slot].class == class);
        let best = fitting
            .clone()
            .filter(|&(_, &slot)| self.slots[slot].words >= words)
            .min_by_key(|&(_, &slot)| self.slots[slot].words)
            .or_else(|| fitting.max_by_key(|&(_, &slot)| self.slots[slot].words))
            .map(|(place, _)| place);
        match best {
            Some(place) => {
                let slot = free.swap_remove(place);
                self.slots[slot].words = self.slots[slot].words.max(words);
                slot
            }
            None => self.add(words, class, false),
        }
    }

    fn add(&mut self, words: usize, class: Class, kept: bool) -> usize {
        self.slots.push(Slot { words, class, kept });
        self.slots.len() - 1
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
    pub fn words(&self) -> usize {
        self.slots.iter().map(|slot| slot.words).sum()
    }
}

/// First and last operation that names each pooled buffer.
fn lifetimes(tape: &Tape) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; tape.buffers.len()];
    for (index, node) in tape.nodes.iter().enumerate() {
        for tensor in node.operands() {
            let BufferId(buffer) = tape.tensors[tensor.0].buffer;
            if tape.buffers[buffer].place == Place::Pooled {
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
