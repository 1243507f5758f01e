//! Kernel timings relative to measured peak rates, dispatch counts, and the cost of a dispatch.

use super::BenchProgress;
use crate::graph::{BufferKind, GpuMachine, Machine, Program, Recompute, Spec, Storage, Tape, TensorLocation, Timed, Variants};
use crate::model::{Linears, ModelConfig, Purpose, Weights};
use crate::ops::{Add, FUSIONS, Matmul, Objective};
use crate::platform::Clock;
use crate::train::{Step, StepShape};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All dispatches of a kernel in a run of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelRow {
    /// The kernel's name.
    pub kernel: String,
    /// Number of dispatches.
    pub dispatches: usize,
    /// Total seconds.
    pub seconds: f64,
    /// Bytes read and written, counting every operand once.
    pub bytes: u64,
    /// Arithmetic operations.
    pub operations: f64,
    /// Fraction of the copy bandwidth.
    pub bandwidth: f64,
    /// Fraction of the f32 rate.
    pub rate: f64,
}

/// Measured peak rates of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Copy bandwidth in bytes per second, read and written.
    pub bandwidth: f64,
    /// f32 operations per second of the fastest dense product.
    pub operations: f64,
}

/// Dispatch counts, in layers and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchCounts {
    /// Decoding a token: per layer.
    pub decode_layer: usize,
    /// Decoding a token: outside layers.
    pub decode_rest: usize,
    /// Training, forward and backward: per layer of the student.
    pub train_layer: usize,
    /// Training, forward and backward: outside layers, without a teacher.
    pub train_rest: usize,
}

/// Times the kernels of programs, slowest first. Empty on the CPU.
pub(super) async fn time_kernels(machine: &mut Machine, programs: &[&Program], rates: Rates) -> Result<Vec<KernelRow>> {
    const RUNS: usize = 3;
    let mut rows: BTreeMap<&str, KernelRow> = BTreeMap::new();
    for program in programs {
        let mut best: Vec<Timed> = machine.profile(program).await?;
        for _ in 1..RUNS {
            for (best, timed) in best.iter_mut().zip(machine.profile(program).await?) {
                best.seconds = best.seconds.min(timed.seconds);
            }
        }
        for timed in best {
            let empty = KernelRow { kernel: timed.kernel.into(), dispatches: 0, seconds: 0.0, bytes: 0, operations: 0.0, bandwidth: 0.0, rate: 0.0 };
            let row = rows.entry(timed.kernel).or_insert(empty);
            row.dispatches += 1;
            row.seconds += timed.seconds;
            row.bytes += timed.work.bytes;
            row.operations += timed.work.operations;
        }
    }
    let mut rows: Vec<KernelRow> = rows.into_values().collect();
    for row in &mut rows {
        let seconds = row.seconds.max(1e-12);
        row.bandwidth = row.bytes as f64 / seconds / rates.bandwidth;
        row.rate = row.operations / seconds / rates.operations;
    }
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(rows)
}

/// Measures peak rates: a copy of a large vector, and the fastest variant of a dense f32 product.
pub(super) async fn rates(machine: &mut Machine) -> Result<Rates> {
    let bandwidth = bandwidth(machine).await?;
    let Machine::Gpu(gpu) = machine else { return Ok(Rates { bandwidth, operations: f64::INFINITY }) };
    let n = if gpu.gpu().info().device_type == wgpu::DeviceType::Cpu { 256 } else { 2048 };
    let specs = [Spec::f32(n, n); 2];
    let names: Vec<&'static str> = {
        let candidates = gpu.candidates(&Matmul::LINEAR, crate::graph::Specs { inputs: &specs, updates: &[] });
        candidates.iter().filter(|variant| variant.storage == Storage::F32).map(|variant| variant.name).collect()
    };
    let mut best = 0f64;
    for name in names {
        let mut alone = GpuMachine::new(gpu.gpu().clone(), FUSIONS);
        alone.set_variants(Variants::preferring(name));
        let mut alone = Machine::Gpu(alone);
        let mut tape = Tape::new();
        let memory = alone.allocate(BufferKind::Real, 2 * n * n)?;
        let [a, b] = [0, n * n].map(|offset| tape.persistent(TensorLocation { memory, offset, spec: specs[0] }));
        tape.push_one(Matmul::LINEAR, &[a, b], &[])?;
        let program = alone.compile(tape)?;
        for _ in 0..4 {
            let seconds: f64 = alone.profile(&program).await?.iter().map(|timed| timed.seconds).sum();
            best = best.max(2.0 * (n as f64).powi(3) / seconds);
        }
    }
    Ok(Rates { bandwidth, operations: best })
}

/// Counts the dispatches of a model's programs with portable variants, without a device.
pub fn dispatch_counts(config: &ModelConfig, batch: usize, seq: usize) -> Result<DispatchCounts> {
    let count = |layers: usize| -> Result<[usize; 2]> {
        let config = ModelConfig { num_hidden_layers: layers, ..config.clone() };
        let mut machine = Machine::counting(usize::MAX, FUSIONS);
        let weights = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Inference(Storage::F16))?;
        let decode = crate::infer::Engine::new(&mut machine, &weights, 64)?.decode_program().dispatches();
        let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(crate::model::Moments::F32))?;
        let shape = StepShape { batch, seq, objective: Objective::AR, recompute: Recompute::Off };
        Ok([decode, Step::new(&mut machine, student, None, shape)?.micro_program().dispatches()])
    };
    let (one, two) = (count(1)?, count(2)?);
    let [decode_layer, train_layer] = [0, 1].map(|n| two[n] - one[n]);
    Ok(DispatchCounts { decode_layer, decode_rest: one[0] - decode_layer, train_layer, train_rest: one[1] - train_layer })
}

/// Measures the cost of a dependent dispatch in seconds, from a long and a short chain of small additions.
pub async fn dispatch_cost(machine: &mut Machine, progress: BenchProgress<'_>) -> Result<f64> {
    const LONG: usize = 1025;
    const SHORT: usize = 1;
    const RUNS: usize = 6;
    let mut done = 0;
    let mut chain = async |length: usize| -> Result<f64> {
        let spec = Spec::f32(1, 64);
        let mut tape = Tape::new();
        let first = tape.persistent(TensorLocation { memory: machine.allocate(BufferKind::Real, spec.words())?, offset: 0, spec });
        let mut last = first;
        for _ in 0..length {
            last = tape.push_one(Add, &[last, first], &[])?;
        }
        tape.keep(last);
        let mut program = machine.compile(tape)?;
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            progress(done, 2 * RUNS, "timing chains of dispatches")?;
            done += 1;
            let clock = Clock::start();
            machine.run(&mut program)?;
            machine.drain().await?;
            best = best.min(clock.seconds());
        }
        Ok(best)
    };
    Ok((chain(LONG).await? - chain(SHORT).await?).max(0.0) / (LONG - SHORT) as f64)
}

/// Measures the copy bandwidth in bytes per second: adding a vector of 128 MiB (or the largest binding) to itself, with one
/// stream read and one written; the best of several runs.
pub(super) async fn bandwidth(machine: &mut Machine) -> Result<f64> {
    const RUNS: usize = 6;
    const COPIES: usize = 4;
    let cols = 16 << 10;
    let rows = ((32 << 20) / cols).min(machine.max_words() / cols);
    let spec = Spec::f32(rows, cols);
    let location = TensorLocation { memory: machine.allocate(BufferKind::Real, spec.words())?, offset: 0, spec };
    let mut tape = Tape::new();
    let source = tape.persistent(location);
    let mut copy = tape.push_one(Add, &[source, source], &[])?;
    for _ in 1..COPIES {
        copy = tape.push_one(Add, &[source, source], &[])?;
    }
    let end = tape.rows(copy, 0, 1);
    tape.keep(end);
    let mut program = machine.compile(tape)?;
    let mut best = 0f64;
    for _ in 0..RUNS {
        let clock = Clock::start();
        machine.run(&mut program)?;
        // Reading a row waits for completion.
        machine.read_tensor(&program, end).await?;
        best = best.max((COPIES * 2 * 4 * spec.words()) as f64 / clock.seconds());
    }
    Ok(best)
}
