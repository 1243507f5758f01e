//! `bench matmul`: dense products and FBI-Linear at the shapes of a model.

use super::{BenchProgress, Spread};
use crate::graph::{BufferKind, Machine, Spec, Tape, TensorId, TensorLocation, Variants};
use crate::ops::{FbiLinear, Matmul, Members};
use crate::platform::Clock;
use crate::rng::Key;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Timing of a product.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MatmulReport {
    /// `dense f32`, `dense f16` or `signs`.
    pub kind: String,
    /// The variant; empty on the CPU.
    pub variant: String,
    /// Tokens, inputs, outputs.
    pub shape: [usize; 3],
    /// GFLOP/s, with 2 · tokens · in · out operations.
    pub gflops: Spread,
}

/// Tokens, inputs, outputs: linear layers of the 130M model in training, and its head and decoding.
const SHAPES: [[usize; 3]; 5] = [[256, 768, 768], [256, 768, 2048], [256, 2048, 768], [1, 768, 2048], [1, 768, 32_000]];
/// The least number of timed runs of each product, and seconds of warm-up and of timed runs: the first product of a process
/// also waits for threads and memory.
const RUNS: usize = 7;
const WARM_UP: f64 = 0.05;
const TIMED: f64 = 0.15;

/// Times all products and passes each result to `timed`.
pub async fn matmul(machine: &mut Machine, timed: &mut dyn FnMut(&MatmulReport), progress: BenchProgress<'_>) -> Result<Vec<MatmulReport>> {
    let mut products = Vec::new();
    for shape in SHAPES {
        for kind in ["dense f32", "dense f16", "signs"] {
            products.extend(variants(machine, kind, shape)?.into_iter().map(|variant| (shape, kind, variant)));
        }
    }
    let (mut reports, of) = (Vec::new(), products.len());
    for (n, (shape, kind, variant)) in products.into_iter().enumerate() {
        progress(n, of, &format!("timing {kind} {variant}"))?;
        machine.set_variants(Variants::preferring(&variant));
        let report = MatmulReport { kind: kind.into(), gflops: time(machine, kind, shape).await?, variant, shape };
        timed(&report);
        reports.push(report);
    }
    progress(of, of, "done")?;
    Ok(reports)
}

/// Variants of a product that a machine supports.
fn variants(machine: &Machine, kind: &str, shape: [usize; 3]) -> Result<Vec<String>> {
    let Machine::Gpu(gpu) = machine else { return Ok(vec![String::new()]) };
    let mut counting = Machine::counting(usize::MAX, &[]);
    let (tape, _) = record(&mut counting, kind, shape)?;
    let choice = tape.choices().into_values().next();
    let names = choice.map(|(choice, _)| gpu.candidates(&*choice.op, choice.specs()).iter().map(|variant| variant.name.to_string()).collect());
    Ok(names.unwrap_or_else(|| vec!["portable".into()]))
}

fn record(machine: &mut Machine, kind: &str, [tokens, inputs, outputs]: [usize; 3]) -> Result<(Tape, TensorId)> {
    let mut tape = Tape::new();
    let x = filled(machine, &mut tape, Spec::f32(tokens, inputs))?;
    let y = match kind {
        "signs" => {
            let signs = filled(machine, &mut tape, Spec::signs(outputs, inputs))?;
            let (alpha, beta) = (filled(machine, &mut tape, Spec::f32(1, inputs))?, filled(machine, &mut tape, Spec::f32(1, inputs))?);
            tape.push_one(FbiLinear { members: Members::new(&[outputs])? }, &[x, signs, alpha, beta], &[])?
        }
        _ => {
            let spec = if kind == "dense f16" { Spec::f16(outputs, inputs) } else { Spec::f32(outputs, inputs) };
            let weight = filled(machine, &mut tape, spec)?;
            tape.push_one(Matmul::LINEAR, &[x, weight], &[])?
        }
    };
    Ok((tape, y))
}

async fn time(machine: &mut Machine, kind: &str, shape: [usize; 3]) -> Result<Spread> {
    let (mut tape, y) = record(machine, kind, shape)?;
    let [tokens, inputs, outputs] = shape;
    tape.keep(y);
    let mut program = machine.compile(tape)?;
    let (warm_up, mut rates) = (Clock::start(), Vec::new());
    let mut timed = None;
    loop {
        let clock = Clock::start();
        machine.run(&mut program)?;
        machine.drain().await?;
        let seconds = clock.seconds();
        match &timed {
            None if warm_up.seconds() < WARM_UP => {}
            None => timed = Some(Clock::start()),
            Some(timed) => {
                rates.push(2e-9 * (tokens * inputs * outputs) as f64 / seconds);
                if rates.len() >= RUNS && timed.seconds() >= TIMED {
                    return Ok(Spread::of(&rates));
                }
            }
        }
    }
}

/// Allocates a persistent tensor with small random values.
fn filled(machine: &mut Machine, tape: &mut Tape, spec: Spec) -> Result<TensorId> {
    let location = TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec };
    let key = Key::new(0, "matmul");
    let words: Vec<u32> = match spec.storage {
        crate::graph::Storage::F32 => (0..spec.words() as u64).map(|i| ((key.uniform(i) - 0.5) as f32).to_bits()).collect(),
        // f16 of magnitude 1 to 2: random mantissa, fixed exponent.
        crate::graph::Storage::F16 => (0..spec.words() as u64).map(|i| (key.bits(i) as u32 & 0x83ff_83ff) | 0x3c00_3c00).collect(),
        _ => (0..spec.words() as u64).map(|i| key.bits(i) as u32).collect(),
    };
    machine.write(&location, &words)?;
    Ok(tape.persistent(location))
}
