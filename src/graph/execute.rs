//! The GPU executor. Compiling a tape creates slots, parameters, pipelines and bind groups, so that a run
//! only records and submits.

use super::count::Counter;
use super::fuse::{Fusion, fuse};
use super::ids::{MemoryId, TensorId};
use super::machine_error::MachineError;
use super::op::{AnyOp, Launch, Operand, Specs, Variant};
use super::params::encode_params;
use super::plan::{BufferSlot, Plan, Pool, check_overlaps};
use super::shape::Spec;
use super::submits::{self, Split};
use super::tape::{BufferOwner, Node, Tape, TapeTensor, TensorLocation};
use super::variants::Variants;
use super::work::Work;
use crate::device::{Access, Bound, Dispatch, Gpu, Kernel, Readback, kernel};
use crate::platform::{Clock, IN_PAGE};
use std::collections::HashMap;
use std::sync::Arc;

/// Alignment of the offsets of bound ranges, in bytes: WebGPU's guaranteed limit, so that a tape that runs on
/// one adapter runs on all.
const ALIGN: u64 = 256;
/// The contents of guarded slots before a run: a NaN, so that elements left unwritten show.
const GUARD: u32 = 0x7fc0_5eed;

/// A GPU with the memory that outlives a tape.
#[derive(Debug)]
pub struct GpuMachine {
    gpu: Arc<Gpu>,
    fusions: &'static [Fusion],
    memory: Vec<wgpu::Buffer>,
    words: u64,
    variants: Variants,
    /// True if variants with known failures on this adapter are candidates.
    allow_known_failures: bool,
    pool: Pool,
    slots: Vec<wgpu::Buffer>,
    /// Words of slots that programs do not share.
    kept_words: u64,
    /// Longest expected duration of a submit, in seconds.
    max_submit_seconds: f64,
    /// Of kernels that took too long: measured by assumed duration.
    slowdowns: HashMap<&'static str, f64>,
    /// True if the last run waited for each of its dispatches.
    waited: bool,
}

/// A tape compiled for a GPU.
#[derive(Debug)]
pub struct GpuProgram {
    tape: Arc<Tape>,
    plan: Plan,
    slots: Vec<wgpu::Buffer>,
    /// Guard bytes before and after each slot, and after each persistent tensor.
    margin: u64,
    dispatches: Vec<Dispatch>,
    works: Vec<Work>,
    /// The chosen variant of each operation with several.
    variants: Variants,
    /// Measured duration of each dispatch, after the first run.
    seconds: Vec<f64>,
    /// The ends of the submits of a run; empty before the program has run twice.
    submit_ends: Vec<usize>,
}

impl GpuProgram {
    /// Words in the slots.
    pub fn slot_words(&self) -> u64 {
        self.plan.words()
    }

    /// Dispatches in a run.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// The dispatches of a run.
    pub(super) fn recorded(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// The work of each dispatch.
    pub(super) fn works(&self) -> &[Work] {
        &self.works
    }

    /// Submits of a run, from the third run on.
    pub fn submits(&self) -> usize {
        self.submit_ends.len()
    }
}

impl GpuMachine {
    /// Creates a machine without memory.
    pub fn new(gpu: Arc<Gpu>, fusions: &'static [Fusion]) -> Self {
        Self {
            gpu,
            fusions,
            memory: Vec::new(),
            words: 0,
            variants: Variants::default(),
            max_submit_seconds: submits::MAX_SUBMIT_SECONDS,
            slowdowns: HashMap::new(),
            waited: false,
            pool: Pool::default(),
            slots: Vec::new(),
            kept_words: 0,
            allow_known_failures: false,
        }
    }

    /// Sets the variants of programs that are compiled from now on.
    pub fn set_variants(&mut self, variants: Variants) {
        self.variants = variants;
    }

    /// Returns a counter of the memory that this machine would reserve.
    pub fn counter(&self) -> Counter {
        Counter::new(self.max_words(), self.fusions)
    }

    /// Returns the most words of an allocation, and so of a tensor.
    pub fn max_words(&self) -> usize {
        usize::try_from(self.gpu.max_binding_bytes() / 4).unwrap_or(usize::MAX)
    }

    /// Makes variants with known failures candidates, for the conformance suite.
    pub(crate) fn allow_known_failures(&mut self) {
        self.allow_known_failures = true;
    }

    /// Returns the variants of an operation that this GPU supports and that have no known failures.
    pub fn candidates(&self, op: &dyn AnyOp, specs: Specs<'_>) -> Vec<Variant> {
        op.variants(specs).into_iter().filter(|variant| self.can_run(variant)).collect()
    }

    fn can_run(&self, variant: &Variant) -> bool {
        let runs = |kernel| if self.allow_known_failures { self.gpu.missing_requirements(kernel).is_none() } else { self.gpu.can_run(kernel) };
        variant.launches.iter().all(|launch| kernel(launch.kernel).is_none_or(runs))
    }

    pub(super) fn fused(&self, tape: &Tape) -> Arc<Tape> {
        Arc::new(fuse(tape, self.fusions, |variants| variants.iter().any(|variant| self.can_run(variant))))
    }

    /// Returns the GPU.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Allocates `words` zeroed words that outlive every tape.
    pub fn allocate(&mut self, words: usize) -> Result<MemoryId, MachineError> {
        let buffer = self.gpu.storage(&format!("memory {}", self.memory.len()), 4 * words as u64)?;
        self.memory.push(buffer);
        self.words += words as u64;
        Ok(MemoryId(self.memory.len() - 1))
    }

    /// Words allocated.
    pub fn memory_words(&self) -> u64 {
        self.words
    }

    /// Words in the slots of all programs.
    pub fn slot_words(&self) -> u64 {
        self.pool.words() + self.kept_words
    }

    /// Words of a memory.
    pub fn words_of(&self, MemoryId(memory): MemoryId) -> usize {
        (self.memory[memory].size() / 4) as usize
    }

    /// Writes words to `location`, before any later run.
    pub fn write(&mut self, location: &TensorLocation, words: &[u32]) -> Result<(), MachineError> {
        Ok(self.gpu.write(&self.memory[location.memory.0], 4 * location.offset as u64, words)?)
    }

    /// Starts a download of the words at `locations`, after all runs so far.
    pub fn read_later(&self, locations: &[TensorLocation]) -> Result<Readback, MachineError> {
        let bound = |location: &TensorLocation| Bound {
            buffer: &self.memory[location.memory.0],
            offset: 4 * location.offset as u64,
            bytes: 4 * location.spec.words() as u64,
        };
        Ok(self.gpu.download(&locations.iter().map(bound).collect::<Vec<_>>())?)
    }

    /// Fuses, plans and compiles a tape.
    pub fn compile(&mut self, tape: Arc<Tape>) -> Result<GpuProgram, MachineError> {
        let tape = self.fused(&tape);
        let plan = Plan::new(&tape);
        let slots = self.slots(&plan)?;
        self.compile_with(tape, plan, slots, 0)
    }

    /// Like [`GpuMachine::compile`], with guarded slots: see [`GpuMachine::broken_guards`].
    pub fn compile_guarded(&self, tape: Arc<Tape>) -> Result<GpuProgram, MachineError> {
        let tape = self.fused(&tape);
        let plan = Plan::new(&tape);
        let slot = |(n, slot): (usize, &BufferSlot)| self.gpu.storage(&format!("slot {n}"), 4 * slot.words as u64 + 2 * ALIGN);
        let slots = plan.slots.iter().enumerate().map(slot).collect::<Result<_, _>>()?;
        let program = self.compile_with(tape, plan, slots, ALIGN)?;
        for slot in &program.slots {
            self.gpu.write(slot, 0, &vec![GUARD; slot.size() as usize / 4])?;
        }
        Ok(program)
    }

    /// Returns buffers for the slots of a plan: shared ones of the machine where possible.
    fn slots(&mut self, plan: &Plan) -> Result<Vec<wgpu::Buffer>, MachineError> {
        let make = |what: &str, slot: &BufferSlot| self.gpu.storage(what, 4 * slot.words as u64);
        let assigned = self.pool.assign(plan);
        for n in self.slots.len()..self.pool.slots().len() {
            match make(&format!("slot {n}"), &self.pool.slots()[n]) {
                Ok(buffer) => self.slots.push(buffer),
                Err(error) => {
                    self.pool.truncate(self.slots.len());
                    return Err(error.into());
                }
            }
        }
        let buffer = |(slot, shared): (&BufferSlot, Option<usize>)| shared.map_or_else(|| make("kept slot", slot), |n| Ok(self.slots[n].clone()));
        let buffers = plan.slots.iter().zip(assigned).map(buffer).collect::<Result<_, _>>()?;
        self.kept_words += plan.kept_words();
        Ok(buffers)
    }

    fn compile_with(&self, tape: Arc<Tape>, plan: Plan, slots: Vec<wgpu::Buffer>, margin: u64) -> Result<GpuProgram, MachineError> {
        check_overlaps(&tape)?;
        for buffer in &tape.buffers {
            if let BufferOwner::Memory(MemoryId(id)) = buffer.owner {
                assert!(4 * buffer.words as u64 <= self.memory[id].size(), "a tensor lies outside memory {id}");
            }
        }
        let mut program = GpuProgram {
            tape: tape.clone(),
            plan,
            slots,
            margin,
            dispatches: Vec::new(),
            works: Vec::new(),
            variants: Variants::default(),
            seconds: Vec::new(),
            submit_ends: Vec::new(),
        };
        self.record(&mut program)?;
        Ok(program)
    }

    /// Creates a program's dispatches, long ones in bands.
    fn record(&self, program: &mut GpuProgram) -> Result<(), MachineError> {
        let tape = program.tape.clone();
        let mut launches = Vec::new();
        let mut works = Vec::new();
        for node in &tape.nodes {
            let (inputs, updates) = tape.specs_of(node);
            let outputs: Vec<Spec> = node.outputs.iter().map(|&id| tape.spec(id)).collect();
            for launch in self.pick(&tape, node, &mut program.variants)?.launches {
                let kernel = self.check_launch(node, &launch)?;
                let work = Work::of(&launch, Specs { inputs: &inputs, updates: &updates }, &outputs);
                let split = match kernel.bands {
                    false => Split::None,
                    true if kernel.folded => Split::Folded,
                    true => Split::Rows,
                };
                let seconds = submits::assumed_seconds(&work) * self.slowdowns.get(kernel.name).unwrap_or(&1.0);
                for (band, share) in submits::bands(launch, split, seconds, self.max_submit_seconds) {
                    launches.push((node, kernel, band));
                    works.push(work.share(share));
                }
            }
        }
        let params = self.params(&launches)?;
        let mut dispatches = Vec::new();
        for (n, (node, kernel, launch)) in launches.iter().enumerate() {
            let operands = self.operands(program, node, kernel, launch)?;
            let words = Bound { buffer: &params, offset: n as u64 * ALIGN, bytes: 4 * (kernel.params.len() as u64).next_multiple_of(4) };
            dispatches.push(self.gpu.dispatch(kernel, words, &operands, launch.groups)?);
        }
        (program.dispatches, program.works) = (dispatches, works);
        Ok(())
    }

    /// Picks the variant of a node; adds it to `chosen` if there are several.
    fn pick(&self, tape: &Tape, node: &Node, chosen: &mut Variants) -> Result<Variant, MachineError> {
        let (inputs, updates) = tape.specs_of(node);
        let specs = Specs { inputs: &inputs, updates: &updates };
        let candidates = self.candidates(&*node.op, specs);
        let choice = candidates.len() > 1;
        let key = Variants::key(&*node.op, specs);
        let none = || MachineError::Compile {
            op: node.op.name(),
            problem: "none of its variants is supported. Use --device cpu, and report this with the output of `signet conform`".into(),
        };
        // A program that is recorded a second time keeps its variants.
        let choices = if chosen.chosen(&key).is_some() { &*chosen } else { &self.variants };
        let variant = choices.pick(&key, candidates).ok_or_else(none)?;
        if choice {
            chosen.choose(key, variant.name);
        }
        Ok(variant)
    }

    /// Returns the kernel of a launch, after checking its operands and workgroups.
    fn check_launch(&self, node: &Node, launch: &Launch) -> Result<&'static Kernel, MachineError> {
        let refuse = |problem: String| MachineError::Compile { op: node.op.name(), problem: format!("{}: {problem}", launch.kernel) };
        let kernel = kernel(launch.kernel).ok_or_else(|| refuse("no shader has this entry point".into()))?;
        let access = |operand: &Operand| match operand {
            Operand::In(_) => Access::Read,
            Operand::Up(_) | Operand::Out(_) => Access::Write,
        };
        let given: Vec<Access> = launch.operands.iter().map(access).collect();
        if kernel.operands != given {
            return Err(refuse(format!("the launch binds {given:?}, the shader {:?}", kernel.operands)));
        }
        if encode_params(kernel, &launch.params).map_err(refuse)?.len() as u64 * 4 > ALIGN {
            return Err(refuse("its parameters have more than 64 words".into()));
        }
        let max = self.gpu.max_workgroups();
        if launch.groups.iter().any(|&groups| groups == 0 || groups > max) {
            return Err(refuse(format!("{:?} workgroups exceed the limit of {max} per dimension. Use a smaller batch", launch.groups)));
        }
        Ok(kernel)
    }

    /// Creates one buffer with the parameters of every launch, each at an aligned offset.
    fn params(&self, launches: &[(&Node, &Kernel, Launch)]) -> Result<wgpu::Buffer, MachineError> {
        const STRIDE: usize = ALIGN as usize / 4;
        let mut blocks = vec![0; STRIDE * launches.len().max(1)];
        for (block, (node, kernel, launch)) in blocks.chunks_mut(STRIDE).zip(launches) {
            let refuse = |problem| MachineError::Compile { op: node.op.name(), problem: format!("{}: {problem}", launch.kernel) };
            let words = encode_params(kernel, &launch.params).map_err(refuse)?;
            block[..words.len()].copy_from_slice(&words);
        }
        let buffer = self.gpu.uniform("parameters", 4 * blocks.len() as u64)?;
        self.gpu.write(&buffer, 0, &blocks)?;
        Ok(buffer)
    }

    /// Returns the bound ranges of a launch's operands: exactly the tensors.
    fn operands<'a>(&'a self, program: &'a GpuProgram, node: &Node, kernel: &Kernel, launch: &Launch) -> Result<Vec<Bound<'a>>, MachineError> {
        let mut bounds: Vec<Bound<'a>> = Vec::new();
        for operand in &launch.operands {
            let (role, n, id) = match *operand {
                Operand::In(n) => ("input", n, node.inputs[n]),
                Operand::Up(n) => ("update", n, node.updates[n]),
                Operand::Out(n) => ("output", n, node.outputs[n]),
            };
            let spec = program.tape.spec(id);
            let refuse = |problem: String| MachineError::Compile { op: node.op.name(), problem: format!("{}: {role} {n} {spec}: {problem}", launch.kernel) };
            let bound = self.bound(program, id);
            if bound.bytes == 0 || !bound.offset.is_multiple_of(ALIGN) {
                return Err(refuse(format!("{} bytes at offset {}; it must not be empty, and must start at a multiple of {ALIGN}", bound.bytes, bound.offset)));
            }
            let max = self.gpu.max_binding_bytes();
            if bound.bytes > max {
                return Err(refuse(format!(
                    "{} bytes, where this GPU binds {max} (max_storage_buffer_binding_size); use a smaller model or batch",
                    bound.bytes
                )));
            }
            let access = kernel.operands[bounds.len()];
            let clash = bounds.iter().zip(kernel.operands).any(|(other, &theirs)| other.buffer == bound.buffer && theirs != access);
            if clash {
                return Err(refuse("its buffer is bound both read-only and read-write, which WebGPU forbids. Allocate separate memory for one of them".into()));
            }
            // Guarded programs bind the guard behind the tensor too: otherwise the driver would drop an
            // out-of-bounds write, and it would not show.
            let bytes = (bound.bytes + program.margin).min(bound.buffer.size() - bound.offset);
            bounds.push(Bound { bytes, ..bound });
        }
        Ok(bounds)
    }

    fn bound<'a>(&'a self, program: &'a GpuProgram, tensor: TensorId) -> Bound<'a> {
        let info = &program.tape.tensors[tensor.0];
        let (buffer, first) = match program.tape.buffers[info.buffer.0].owner {
            BufferOwner::Memory(MemoryId(id)) => (&self.memory[id], 0),
            BufferOwner::Pooled => (&program.slots[program.plan.slot_of[info.buffer.0].expect("planned")], program.margin),
        };
        Bound { buffer, offset: first + 4 * info.offset as u64, bytes: 4 * info.spec.words() as u64 }
    }

    /// Sets the longest expected duration of a submit, in seconds, for programs that are compiled from now on; the
    /// default is [`MAX_SUBMIT_SECONDS`](submits::MAX_SUBMIT_SECONDS).
    pub fn set_max_submit_seconds(&mut self, seconds: f64) {
        self.max_submit_seconds = seconds;
    }

    /// Submits every dispatch of a program, in order. The first two runs wait for each dispatch and time it
    /// (a driver may finish compiling in the first), so that later runs can be split into short submits.
    pub fn run(&mut self, program: &mut GpuProgram) -> Result<(), MachineError> {
        self.waited = !IN_PAGE && program.submit_ends.is_empty() && !program.dispatches.is_empty();
        if !program.submit_ends.is_empty() || program.dispatches.is_empty() {
            return Ok(self.gpu.run(&program.dispatches, &program.submit_ends)?);
        }
        let second_run = !program.seconds.is_empty();
        program.seconds.resize(program.dispatches.len(), f64::INFINITY);
        self.gpu.finish()?;
        for (dispatch, seconds) in program.dispatches.iter().zip(&mut program.seconds) {
            let clock = Clock::start();
            self.gpu.run(std::slice::from_ref(dispatch), &[1])?;
            self.gpu.finish()?;
            *seconds = seconds.min(clock.seconds());
        }
        if !second_run {
            return Ok(());
        }
        // Dispatches that took too long are split further and timed again.
        let cut = program.dispatches.len();
        let mut is_too_long = false;
        for ((dispatch, work), &seconds) in program.dispatches.iter().zip(&program.works).zip(&program.seconds) {
            if seconds > self.max_submit_seconds && kernel(dispatch.kernel()).is_some_and(|kernel| kernel.bands) {
                is_too_long = true;
                let slowdown = self.slowdowns.entry(dispatch.kernel()).or_insert(1.0);
                *slowdown = slowdown.max(seconds / submits::assumed_seconds(work));
            }
        }
        if is_too_long {
            self.record(program)?;
        }
        match program.dispatches.len() == cut {
            true => program.submit_ends = submits::submit_ends(&program.seconds, self.max_submit_seconds),
            false => program.seconds.clear(),
        }
        Ok(())
    }

    /// Returns true if the last run waited for each of its dispatches, so that it is complete.
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// Starts a download of a kept or persistent tensor of a program that has run.
    pub fn tensor(&self, program: &GpuProgram, tensor: TensorId) -> Result<Readback, MachineError> {
        let info = &program.tape.tensors[tensor.0];
        assert!(program.tape.buffers[info.buffer.0].kept, "tensor was not kept");
        Ok(self.gpu.download(&[self.bound(program, tensor)])?)
    }

    /// Returns the tensors of a guarded program that has run whose guards a kernel overwrote.
    pub async fn broken_guards(&self, program: &GpuProgram) -> Result<Vec<Spec>, MachineError> {
        let bounds: Vec<_> = program.slots.iter().map(|slot| Bound { buffer: slot, offset: 0, bytes: slot.size() }).collect();
        let slots = self.gpu.download(&bounds)?.wait().await?;
        let edge = program.margin as usize / 4;
        let broken = |words: &[u32]| words[..edge].iter().chain(&words[words.len() - edge..]).any(|&word| word != GUARD);
        let of_slot = |slot: usize| {
            let in_slot = move |tensor: &&TapeTensor| program.plan.slot_of[tensor.buffer.0] == Some(slot);
            program.tape.tensors.iter().filter(in_slot).map(|tensor| tensor.spec)
        };
        Ok(slots.iter().enumerate().filter(|(_, words)| broken(words)).flat_map(|(slot, _)| of_slot(slot)).collect())
    }
}
