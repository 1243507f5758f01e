//! A machine: the CPU device, a GPU, or a memory counter, with its memory and programs. Functions that wait
//! for a GPU are async; on the CPU they yield to other tasks of the thread.

use super::count::{CountedLaunch, CountedProgram, Counter};
use super::cpu::{CpuMachine, CpuProgram};
use super::execute::{GpuMachine, GpuProgram};
use super::fuse::Fusion;
use super::ids::{MemoryId, TensorId};
use super::machine_error::MachineError;
use super::profile::Timed;
use super::shape::{BufferKind, Spec};
use super::tape::{Tape, TensorLocation};
use super::variants::Variants;
use super::view::View;
use crate::device::{Gpu, Readback};
use crate::platform::yield_now;
use std::sync::Arc;

/// A device that runs tapes.
#[derive(Debug)]
pub enum Machine {
    /// The CPU device.
    Cpu(CpuMachine<f32>),
    /// A GPU.
    Gpu(GpuMachine),
    /// No device: a counter of the memory that a run needs.
    Counting(Counter),
}

/// A tape compiled for a machine.
#[derive(Debug)]
pub enum Program {
    /// For the CPU device.
    Cpu(CpuProgram<f32>),
    /// For a GPU.
    Gpu(GpuProgram),
    /// The counted memory of a tape.
    Counted(CountedProgram),
}

/// A pending read; see [`Machine::read_later`].
#[derive(Debug)]
pub enum Pending {
    /// The values.
    Ready(Vec<Vec<u32>>),
    /// A download from a GPU in progress.
    Coming(Readback),
}

impl Pending {
    /// Waits for the values: one list of words per location.
    pub async fn wait(self) -> Result<Vec<Vec<u32>>, MachineError> {
        match self {
            Pending::Ready(values) => {
                yield_now().await;
                Ok(values)
            }
            Pending::Coming(download) => Ok(download.wait().await?),
        }
    }
}

impl Machine {
    /// Creates a machine of the CPU device.
    pub fn cpu() -> Self {
        Machine::Cpu(CpuMachine::new())
    }

    /// Creates a machine of a GPU with these fusions.
    pub fn gpu(gpu: Arc<Gpu>, fusions: &'static [Fusion]) -> Self {
        Machine::Gpu(GpuMachine::new(gpu, fusions))
    }

    /// Returns the GPU, if it is one.
    pub fn device(&self) -> Option<&Arc<Gpu>> {
        match self {
            Machine::Gpu(gpu) => Some(gpu.gpu()),
            Machine::Cpu(_) | Machine::Counting(_) => None,
        }
    }

    /// Creates a memory counter with tensors of at most `max_words` words.
    pub fn counting(max_words: usize, fusions: &'static [Fusion]) -> Self {
        Machine::Counting(Counter::new(max_words, fusions))
    }

    /// Allocates `words` zeroed words that outlive every tape.
    pub fn allocate(&mut self, kind: BufferKind, words: usize) -> Result<MemoryId, MachineError> {
        match self {
            Machine::Cpu(cpu) => Ok(cpu.allocate(kind, words)),
            Machine::Gpu(gpu) => gpu.allocate(words),
            Machine::Counting(counter) => Ok(counter.allocate(words)),
        }
    }

    /// Sets the variants of programs that are compiled from now on; the CPU has none.
    pub fn set_variants(&mut self, variants: Variants) {
        if let Machine::Gpu(gpu) = self {
            gpu.set_variants(variants);
        }
    }

    /// Returns true if the last run is complete: on a GPU, if it waited for each of its dispatches.
    pub fn has_waited(&self) -> bool {
        match self {
            Machine::Gpu(gpu) => gpu.has_waited(),
            Machine::Cpu(_) | Machine::Counting(_) => true,
        }
    }

    /// Returns an empty counter of the memory that this machine would reserve.
    pub fn counter(&self) -> Counter {
        match self {
            Machine::Cpu(_) => Counter::new(usize::MAX, &[]),
            Machine::Gpu(gpu) => gpu.counter(),
            Machine::Counting(counter) => Counter::new(counter.max_words(), counter.fusions()),
        }
    }

    /// Returns the most words of an allocation, and so of a tensor.
    pub fn max_words(&self) -> usize {
        match self {
            Machine::Cpu(_) => usize::MAX,
            Machine::Gpu(gpu) => gpu.max_words(),
            Machine::Counting(counter) => counter.max_words(),
        }
    }

    /// Writes words (floats as their bits) to `location`.
    pub fn write(&mut self, location: &TensorLocation, words: &[u32]) -> Result<(), MachineError> {
        assert_eq!(words.len(), location.spec.words(), "{} words for {}", words.len(), location.spec);
        match self {
            Machine::Cpu(cpu) => match BufferKind::of(location.spec.storage) {
                BufferKind::Real => cpu.reals_mut(location).copy_from_slice(bytemuck::cast_slice(words)),
                BufferKind::Words => cpu.words_mut(location).copy_from_slice(words),
            },
            Machine::Gpu(gpu) => gpu.write(location, words)?,
            Machine::Counting(_) => {}
        }
        Ok(())
    }

    /// Writes floats to `location`.
    pub fn write_f32(&mut self, location: &TensorLocation, values: &[f32]) -> Result<(), MachineError> {
        self.write(location, bytemuck::cast_slice(values))
    }

    /// Starts a read of the words at `locations`, after all runs so far. Later runs may be started before the
    /// result is awaited.
    pub fn read_later(&mut self, locations: &[TensorLocation]) -> Result<Pending, MachineError> {
        match self {
            Machine::Cpu(cpu) => Ok(Pending::Ready(
                locations
                    .iter()
                    .map(|location| match BufferKind::of(location.spec.storage) {
                        BufferKind::Real => bytemuck::cast_slice(cpu.reals(location)).to_vec(),
                        BufferKind::Words => cpu.words(location).to_vec(),
                    })
                    .collect(),
            )),
            Machine::Gpu(gpu) => Ok(Pending::Coming(gpu.read_later(locations)?)),
            Machine::Counting(_) => Err(MachineError::Counting),
        }
    }

    /// Reads the words at `location`.
    pub async fn read(&mut self, location: &TensorLocation) -> Result<Vec<u32>, MachineError> {
        Ok(self.read_later(&[*location])?.wait().await?.remove(0))
    }

    /// Reads the floats at `location`.
    pub async fn read_f32(&mut self, location: &TensorLocation) -> Result<Vec<f32>, MachineError> {
        Ok(bytemuck::cast_vec(self.read(location).await?))
    }

    /// Plans and compiles a tape.
    pub fn compile(&mut self, tape: Tape) -> Result<Program, MachineError> {
        match self {
            Machine::Cpu(cpu) => Ok(Program::Cpu(cpu.compile(Arc::new(tape))?)),
            Machine::Gpu(gpu) => Ok(Program::Gpu(gpu.compile(Arc::new(tape))?)),
            Machine::Counting(counter) => Ok(Program::Counted(counter.compile(&tape)?)),
        }
    }

    /// Like [`Machine::compile`], with guards around the tensors on a GPU.
    pub(crate) fn compile_guarded(&mut self, tape: Tape) -> Result<Program, MachineError> {
        match self {
            Machine::Cpu(_) | Machine::Counting(_) => self.compile(tape),
            Machine::Gpu(gpu) => Ok(Program::Gpu(gpu.compile_guarded(Arc::new(tape))?)),
        }
    }

    /// Returns the tensors of a guarded program that has run whose guards a kernel overwrote.
    pub(crate) async fn broken_guards(&self, program: &Program) -> Result<Vec<Spec>, MachineError> {
        match (self, program) {
            (Machine::Gpu(gpu), Program::Gpu(program)) => gpu.broken_guards(program).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Runs a program. On a GPU this returns before the run is complete.
    pub fn run(&mut self, program: &mut Program) -> Result<(), MachineError> {
        match (self, program) {
            (Machine::Cpu(cpu), Program::Cpu(program)) => cpu.run(program),
            (Machine::Gpu(gpu), Program::Gpu(program)) => gpu.run(program)?,
            (Machine::Counting(_), _) => return Err(MachineError::Counting),
            _ => return Err(MachineError::Foreign),
        }
        Ok(())
    }

    /// Runs a program and times each of its dispatches; returns an empty list on the CPU.
    pub async fn profile(&mut self, program: &Program) -> Result<Vec<Timed>, MachineError> {
        match (self, program) {
            (Machine::Gpu(gpu), Program::Gpu(program)) => gpu.profile(program).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Waits until all runs so far are complete.
    pub async fn drain(&mut self) -> Result<(), MachineError> {
        match self {
            Machine::Cpu(_) | Machine::Counting(_) => {
                yield_now().await;
                Ok(())
            }
            Machine::Gpu(gpu) => Ok(gpu.gpu().drain().await?),
        }
    }

    /// Reads a kept tensor of a program that has run.
    pub async fn read_tensor(&mut self, program: &Program, tensor: TensorId) -> Result<Vec<u32>, MachineError> {
        match (self, program) {
            (Machine::Cpu(cpu), Program::Cpu(program)) => {
                yield_now().await;
                Ok(match cpu.tensor(program, tensor) {
                    View::Real(data, _) => bytemuck::cast_slice(data).to_vec(),
                    View::Words(data, _) => data.to_vec(),
                })
            }
            (Machine::Gpu(gpu), Program::Gpu(program)) => Ok(gpu.tensor(program, tensor)?.wait().await?.remove(0)),
            _ => Err(MachineError::Foreign),
        }
    }

    /// Bytes allocated by [`Machine::allocate`].
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Machine::Cpu(cpu) => 4 * cpu.memory_words(),
            Machine::Gpu(gpu) => 4 * gpu.memory_words(),
            Machine::Counting(counter) => 4 * counter.memory_words(),
        }
    }

    /// Bytes of one memory.
    pub fn bytes_of(&self, memory: MemoryId) -> u64 {
        match self {
            Machine::Cpu(cpu) => 4 * cpu.words_of(memory) as u64,
            Machine::Gpu(gpu) => 4 * gpu.words_of(memory) as u64,
            Machine::Counting(counter) => 4 * counter.words_of(memory) as u64,
        }
    }

    /// Bytes of the slots of all programs.
    pub fn slot_bytes(&self) -> u64 {
        match self {
            Machine::Cpu(cpu) => 4 * cpu.slot_words(),
            Machine::Gpu(gpu) => 4 * gpu.slot_words(),
            Machine::Counting(counter) => 4 * counter.slot_words(),
        }
    }

    /// Bytes of memory and slots.
    pub fn bytes(&self) -> u64 {
        self.memory_bytes() + self.slot_bytes()
    }
}

impl Program {
    /// Bytes of its slots, most of them shared with other programs.
    pub fn slot_bytes(&self) -> u64 {
        match self {
            Program::Cpu(program) => 4 * program.slot_words(),
            Program::Gpu(program) => 4 * program.slot_words(),
            Program::Counted(counted) => 4 * counted.slot_words,
        }
    }

    /// Dispatches in a run, or operations on the CPU.
    pub fn dispatches(&self) -> usize {
        match self {
            Program::Cpu(program) => program.operations(),
            Program::Gpu(program) => program.dispatches(),
            Program::Counted(counted) => counted.launches.len(),
        }
    }

    /// The dispatches of a run, if they are only counted.
    pub fn launches(&self) -> &[CountedLaunch] {
        match self {
            Program::Cpu(_) | Program::Gpu(_) => &[],
            Program::Counted(counted) => &counted.launches,
        }
    }

    /// Submits in a run; 0 on the CPU.
    pub fn submits(&self) -> usize {
        match self {
            Program::Cpu(_) | Program::Counted(_) => 0,
            Program::Gpu(program) => program.submits(),
        }
    }
}
