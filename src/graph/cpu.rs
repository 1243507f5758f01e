//! The CPU executor: runs the CPU implementations (twins) of a tape's operations in any [`Real`] type.

use super::ids::{MemoryId, TensorId};
use super::op::{AnyOp, RunCpu};
use super::plan::{BufferSlot, Overlap, Plan, Pool, check_overlaps};
use super::real::Real;
use super::shape::{BufferKind, Spec, Storage};
use super::tape::{BufferOwner, Tape, TensorLocation};
use super::view::{CpuIo, Data, View, ViewMut};
use crate::platform::parallel;
use std::ops::Range;
use std::sync::Arc;

/// The CPU device with the buffers that outlive a tape.
#[derive(Debug, Default)]
pub struct CpuMachine<T> {
    memory: Vec<Data<T>>,
    pool: Pool,
    slots: Vec<Data<T>>,
    /// Words of slots that programs do not share.
    kept_words: u64,
}

/// A tape compiled for the CPU.
#[derive(Debug)]
pub struct CpuProgram<T> {
    tape: Arc<Tape>,
    plan: Plan,
    /// The slots of the plan: own buffers, or shared ones of the machine.
    slots: Vec<CpuSlot<T>>,
    /// The operands of each operation.
    operands: Vec<Operands>,
}

/// The buffer that holds a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// A memory of the machine.
    Memory(usize),
    /// A slot of the program's own.
    Own(usize),
    /// A slot that the machine's programs share.
    Shared(usize),
}

/// A tensor in its buffer.
#[derive(Clone, Copy, Debug)]
struct Located {
    holder: Holder,
    offset: usize,
    spec: Spec,
}

impl Located {
    fn overlaps(&self, other: &Self) -> bool {
        let end = |of: &Self| of.offset + of.spec.words();
        self.holder == other.holder && self.offset < end(other) && other.offset < end(self)
    }
}

/// The operands of an operation.
#[derive(Debug)]
struct Operands {
    inputs: Vec<Located>,
    updates: Vec<Located>,
    outputs: Vec<Located>,
}

impl Operands {
    /// Returns true if no written operand overlaps another one.
    fn are_disjoint(&self) -> bool {
        let written: Vec<&Located> = self.updates.iter().chain(&self.outputs).collect();
        let alone = |(n, one): (usize, &&Located)| !self.inputs.iter().chain(written[..n].iter().copied()).any(|other| one.overlaps(other));
        written.iter().enumerate().all(alone)
    }
}

#[derive(Debug)]
enum CpuSlot<T> {
    Own(Data<T>),
    Shared(usize),
}

impl<T> CpuProgram<T> {
    /// Words in the slots.
    pub fn slot_words(&self) -> u64 {
        self.plan.words()
    }

    /// Operations in a run.
    pub fn operations(&self) -> usize {
        self.tape.nodes.len()
    }
}

/// A pointer to the first element of a tensor, before it is borrowed.
#[derive(Clone, Copy)]
enum DataPointer<T> {
    Real(*mut T),
    Words(*mut u32),
}

impl<T: Real> Data<T> {
    /// Returns a pointer to a tensor in this buffer. It creates no reference to the elements, which would
    /// invalidate pointers to other tensors of the same buffer.
    fn raw(&mut self, offset: usize, spec: Spec) -> DataPointer<T> {
        assert!(offset <= self.len() && spec.words() <= self.len() - offset, "{spec} at {offset} lies outside its buffer of {}", self.len());
        // SAFETY: the offset is inside the buffer.
        unsafe {
            match self {
                Data::Real(x) => DataPointer::Real(x.as_mut_ptr().add(offset)),
                Data::Words(x) => DataPointer::Words(x.as_mut_ptr().add(offset)),
            }
        }
    }
}

impl<T: RunCpu> CpuMachine<T> {
    /// Creates a machine without memory.
    pub fn new() -> Self {
        Self { memory: Vec::new(), pool: Pool::default(), slots: Vec::new(), kept_words: 0 }
    }

    /// Allocates `words` zeroed words that outlive every tape.
    pub fn allocate(&mut self, kind: BufferKind, words: usize) -> MemoryId {
        self.memory.push(Data::zeros(kind, words));
        MemoryId(self.memory.len() - 1)
    }

    /// Words allocated.
    pub fn memory_words(&self) -> u64 {
        self.memory.iter().map(|data| data.len() as u64).sum()
    }

    /// The floats at `location`.
    pub fn reals(&self, location: &TensorLocation) -> &[T] {
        match &self.memory[location.memory.0] {
            Data::Real(data) => &data[range(location)],
            Data::Words(_) => panic!("{} read as f32", location.spec),
        }
    }

    /// The floats at `location`, mutably.
    pub fn reals_mut(&mut self, location: &TensorLocation) -> &mut [T] {
        match &mut self.memory[location.memory.0] {
            Data::Real(data) => &mut data[range(location)],
            Data::Words(_) => panic!("{} written as f32", location.spec),
        }
    }

    /// The words at `location`.
    pub fn words(&self, location: &TensorLocation) -> &[u32] {
        match &self.memory[location.memory.0] {
            Data::Words(data) => &data[range(location)],
            Data::Real(_) => panic!("{} read as words", location.spec),
        }
    }

    /// The words at `location`, mutably.
    pub fn words_mut(&mut self, location: &TensorLocation) -> &mut [u32] {
        match &mut self.memory[location.memory.0] {
            Data::Words(data) => &mut data[range(location)],
            Data::Real(_) => panic!("{} written as words", location.spec),
        }
    }

    /// Words in the slots of all programs.
    pub fn slot_words(&self) -> u64 {
        self.pool.words() + self.kept_words
    }

    /// Words of a memory.
    pub fn words_of(&self, MemoryId(memory): MemoryId) -> usize {
        self.memory[memory].len()
    }

    /// Plans a tape and allocates its slots.
    pub fn compile(&mut self, tape: Arc<Tape>) -> Result<CpuProgram<T>, Overlap> {
        check_overlaps(&tape)?;
        for buffer in &tape.buffers {
            if let BufferOwner::Memory(MemoryId(id)) = buffer.owner {
                assert!(buffer.words <= self.memory[id].len(), "a tensor lies outside memory {id}");
            }
        }
        let plan = Plan::new(&tape);
        let assigned = self.pool.assign(&plan);
        let added = &self.pool.slots()[self.slots.len()..];
        self.slots.extend(added.iter().map(|slot| Data::zeros(slot.kind, slot.words)));
        self.kept_words += plan.kept_words();
        let own = |slot: &BufferSlot| CpuSlot::Own(Data::zeros(slot.kind, slot.words));
        let slots = plan.slots.iter().zip(&assigned).map(|(slot, shared)| shared.map_or_else(|| own(slot), CpuSlot::Shared)).collect();
        let located = |id: &TensorId| {
            let info = &tape.tensors[id.0];
            let holder = match tape.buffers[info.buffer.0].owner {
                BufferOwner::Memory(MemoryId(memory)) => Holder::Memory(memory),
                BufferOwner::Pooled => {
                    let slot = plan.slot_of[info.buffer.0].expect("planned");
                    assigned[slot].map_or(Holder::Own(slot), Holder::Shared)
                }
            };
            Located { holder, offset: info.offset, spec: info.spec }
        };
        let all = |ids: &[TensorId]| ids.iter().map(located).collect();
        let nodes = tape.nodes.iter();
        let operands: Vec<Operands> =
            nodes.map(|node| Operands { inputs: all(&node.inputs), updates: all(&node.updates), outputs: all(&node.outputs) }).collect();
        assert!(operands.iter().all(Operands::are_disjoint), "a plan gave one slot to two operands of an operation");
        Ok(CpuProgram { tape, plan, slots, operands })
    }

    /// Runs every operation of a program, in order.
    pub fn run(&mut self, program: &mut CpuProgram<T>) {
        // On a thread of the pool, so that operations with a single task need no hand-over to another thread.
        parallel::in_pool(|| self.run_nodes(program));
    }

    fn run_nodes(&mut self, program: &mut CpuProgram<T>) {
        let CpuProgram { tape, slots, operands, .. } = program;
        for (node, Operands { inputs, updates, outputs }) in tape.nodes.iter().zip(operands.iter()) {
            let mut raw = |tensor: &Located| {
                let data = match tensor.holder {
                    Holder::Memory(memory) => &mut self.memory[memory],
                    Holder::Shared(slot) => &mut self.slots[slot],
                    Holder::Own(slot) => match &mut slots[slot] {
                        CpuSlot::Own(data) => data,
                        CpuSlot::Shared(_) => unreachable!("located as its own"),
                    },
                };
                (data.raw(tensor.offset, tensor.spec), tensor.spec)
            };
            let inputs: Vec<_> = inputs.iter().map(&mut raw).collect();
            let updates: Vec<_> = updates.iter().map(&mut raw).collect();
            let outputs: Vec<_> = outputs.iter().map(&mut raw).collect();
            // SAFETY: `Data::raw` checked every range. `compile` checked that no written operand overlaps
            // another one. While the views live, no other reference to the elements of the buffers is
            // created, and no buffer is resized.
            let mut io = unsafe {
                CpuIo {
                    inputs: inputs.into_iter().map(|(raw, spec)| view(raw, spec)).collect(),
                    updates: updates.into_iter().map(|(raw, spec)| view_mut(raw, spec)).collect(),
                    outputs: outputs.into_iter().map(|(raw, spec)| view_mut(raw, spec)).collect(),
                }
            };
            T::run(&*node.op as &dyn AnyOp, &mut io);
        }
    }

    /// Returns a kept or persistent tensor of a program that has run.
    pub fn tensor<'a>(&'a self, program: &'a CpuProgram<T>, tensor: TensorId) -> View<'a, T> {
        let info = &program.tape.tensors[tensor.0];
        let buffer = &program.tape.buffers[info.buffer.0];
        assert!(buffer.kept, "tensor was not kept");
        let data = match buffer.owner {
            BufferOwner::Memory(MemoryId(memory)) => &self.memory[memory],
            BufferOwner::Pooled => match &program.slots[program.plan.slot_of[info.buffer.0].expect("planned")] {
                CpuSlot::Own(data) => data,
                CpuSlot::Shared(slot) => &self.slots[*slot],
            },
        };
        let range = info.offset..info.offset + info.spec.words();
        match data {
            Data::Real(data) => View::Real(&data[range], info.spec),
            Data::Words(data) => View::Words(&data[range], info.spec),
        }
    }
}

fn range(location: &TensorLocation) -> Range<usize> {
    location.offset..location.offset + location.spec.words()
}

unsafe fn view<'a, T>(raw: DataPointer<T>, spec: Spec) -> View<'a, T> {
    // SAFETY: the caller's.
    unsafe {
        match raw {
            DataPointer::Real(data) => View::Real(std::slice::from_raw_parts(data, spec.words()), checked(spec, BufferKind::Real)),
            DataPointer::Words(data) => View::Words(std::slice::from_raw_parts(data, spec.words()), checked(spec, BufferKind::Words)),
        }
    }
}

unsafe fn view_mut<'a, T>(raw: DataPointer<T>, spec: Spec) -> ViewMut<'a, T> {
    // SAFETY: the caller's.
    unsafe {
        match raw {
            DataPointer::Real(data) => ViewMut::Real(std::slice::from_raw_parts_mut(data, spec.words()), checked(spec, BufferKind::Real)),
            DataPointer::Words(data) => ViewMut::Words(std::slice::from_raw_parts_mut(data, spec.words()), checked(spec, BufferKind::Words)),
        }
    }
}

fn checked(spec: Spec, kind: BufferKind) -> Spec {
    assert_eq!(BufferKind::of(spec.storage), kind, "{spec} in a buffer of another class");
    debug_assert!(spec.storage != Storage::F32 || kind == BufferKind::Real);
    spec
}
