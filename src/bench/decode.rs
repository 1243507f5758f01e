//! `bench decode`: decoding speed of a packed model, compared with a dense f16 model of the same shape and with the memory
//! bandwidth of the device.

use super::{BenchProgress, DispatchCounts, KernelRow, Rates};
use crate::graph::{Machine, Storage, TensorLocation};
use crate::infer::{DecodeQueue, Engine, Sampler, Sampling};
use crate::model::{Linears, ModelConfig, Purpose, Role, Weights};
use crate::platform::Clock;
use crate::rng::Key;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Options of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeBench {
    /// Name of a preset, or of a public model with a built-in configuration.
    pub size: String,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens decoded after it.
    pub tokens: usize,
    /// True to time a dense f16 model, too.
    pub dense: bool,
    /// True to time each kernel of the packed model, on a GPU.
    pub kernels: bool,
}

/// Timings of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeSide {
    /// Tokens per second: 1 ÷ the median time of a token.
    pub tokens_per_second: f64,
    /// Seconds from the prompt to the first token.
    pub first_token_seconds: f64,
    /// Prompt tokens per second.
    pub prefill_tokens_per_second: f64,
    /// Bytes of weights read for each token.
    pub bytes_per_token: u64,
    /// Bytes on the device: weights, cache and activations.
    pub memory: u64,
    /// Speed relative to the limit from reading these bytes.
    pub roofline: f64,
}

/// The result of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeReport {
    /// The options.
    pub bench: DecodeBench,
    /// The device.
    pub device: String,
    /// Copy bandwidth in bytes per second, read and written.
    pub bandwidth: f64,
    /// The packed model.
    pub packed: DecodeSide,
    /// The dense model.
    pub dense: Option<DecodeSide>,
    /// Dispatches of a token; none on the CPU.
    pub dispatches: Option<DispatchCounts>,
    /// Measured peak rates of the device, if kernels were timed.
    pub rates: Option<Rates>,
    /// Kernels of a decode step of the packed model.
    pub kernels: Vec<KernelRow>,
}

/// Runs the benchmark. `machine` makes a new machine for each model, so that only one model is in memory.
pub async fn decode(mut machine: impl AsyncFnMut() -> Result<(Machine, String)>, bench: DecodeBench, progress: BenchProgress<'_>) -> Result<DecodeReport> {
    let config = super::shape(&bench.size)?;
    let context = config.max_position_embeddings;
    ensure!(bench.prompt > 0 && bench.tokens > 0, "prompt and tokens must be at least 1");
    ensure!(bench.prompt + bench.tokens + WARM_UP <= context, "{} + {} tokens exceed the context of {context}", bench.prompt, bench.tokens + WARM_UP);
    let of = 1 + progress_parts(&bench) * (1 + usize::from(bench.dense));
    progress(0, of, "measuring memory bandwidth")?;
    let (mut first, device) = machine().await?;
    let bandwidth = super::kernels::bandwidth(&mut first).await?;
    drop(first);
    let mut at = machine().await?.0;
    let mut report = |done: usize| progress(1 + done, of, "timing the packed model");
    let (packed, engine) = time_model(&mut at, &config, Linears::Binary, &bench, bandwidth, &mut report).await?;
    let on_gpu = matches!(at, Machine::Gpu(_));
    let dispatches = if on_gpu { Some(super::dispatch_counts(&config, 1, 64)?) } else { None };
    let (mut rates, mut kernels) = (None, Vec::new());
    if on_gpu && bench.kernels {
        progress(1 + progress_parts(&bench), of, "timing kernels")?;
        let measured = super::kernels::rates(&mut machine().await?.0).await?;
        kernels = super::kernels::time_kernels(&mut at, &[engine.decode_program()], measured).await?;
        rates = Some(measured);
    }
    drop((engine, at));
    let mut dense = None;
    if bench.dense {
        let mut report = |done: usize| progress(1 + progress_parts(&bench) + done, of, "timing the same model dense in f16");
        dense = Some(time_model(&mut machine().await?.0, &config, Linears::Dense, &bench, bandwidth, &mut report).await?.0);
    }
    progress(of, of, "done")?;
    Ok(DecodeReport { bench, device, bandwidth, packed, dense, dispatches, rates, kernels })
}

/// Tokens decoded before timing starts.
const WARM_UP: usize = 2;

/// Allocates the models and programs of the benchmark, without writing weights.
pub fn decode_set_up(machine: &mut Machine, bench: &DecodeBench) -> Result<()> {
    let config = super::shape(&bench.size)?;
    for linears in if bench.dense { &[Linears::Binary, Linears::Dense][..] } else { &[Linears::Binary] } {
        let weights = Weights::allocate(machine, &config, *linears, Purpose::Inference(Storage::F16))?;
        Engine::new(machine, &weights, bench.prompt + bench.tokens + WARM_UP)?;
    }
    Ok(())
}

/// Progress steps of a model: its weights, the prompt twice, and each token.
fn progress_parts(bench: &DecodeBench) -> usize {
    3 + WARM_UP + bench.tokens
}

/// Times a model; `done` is called before each progress step.
async fn time_model(
    machine: &mut Machine, config: &ModelConfig, linears: Linears, bench: &DecodeBench, bandwidth: f64, done: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(DecodeSide, Engine)> {
    done(0)?;
    let weights = Weights::allocate(machine, config, linears, Purpose::Inference(Storage::F16))?;
    fill(machine, &weights)?;
    let bytes_per_token = bytes_per_token(&weights);
    let mut engine = Engine::new(machine, &weights, bench.prompt + bench.tokens + WARM_UP)?;
    let prompt: Vec<u32> = (0..bench.prompt as u64).map(|i| (Key::new(0, "prompt").bits(i) % config.vocab_size as u64) as u32).collect();
    // Warm-up: caches, and pipelines on a GPU.
    done(1)?;
    engine.extend_cache(machine, &prompt).await?;
    engine.rewind(0);
    done(2)?;
    let clock = Clock::start();
    engine.set_sampler(machine, Sampler::new(Sampling::GREEDY, config.vocab_size), &prompt)?;
    let mut queue = DecodeQueue::new(&mut engine, machine, &prompt, 1 + WARM_UP + bench.tokens)?;
    queue.next(&mut engine, machine).await?;
    let first_token_seconds = clock.seconds();
    let mut times = Vec::with_capacity(bench.tokens);
    for n in 0..WARM_UP + bench.tokens {
        done(3 + n)?;
        let clock = Clock::start();
        queue.next(&mut engine, machine).await?;
        if n >= WARM_UP {
            times.push(clock.seconds());
        }
    }
    times.sort_by(f64::total_cmp);
    let tokens_per_second = 1.0 / times[times.len() / 2].max(1e-9);
    let side = DecodeSide {
        tokens_per_second,
        first_token_seconds,
        prefill_tokens_per_second: bench.prompt as f64 / first_token_seconds.max(1e-9),
        bytes_per_token,
        memory: machine.bytes(),
        roofline: tokens_per_second * bytes_per_token as f64 / bandwidth,
    };
    Ok((side, engine))
}

/// Bytes of all tensors, without an untied embedding, of which only one row is read.
fn bytes_per_token(weights: &Weights) -> u64 {
    let words = |location: TensorLocation| 4 * location.spec.words() as u64;
    let signs: u64 = weights.binary.iter().map(|layer| words(layer.signs)).sum();
    let embedding = weights.config.architecture().embedding();
    let read = weights.names().iter().filter(|name| *name != embedding || weights.head() == embedding);
    signs + read.map(|name| words(weights.location(name).expect("named"))).sum::<u64>()
}

/// Writes random weights, small enough that activations stay finite.
fn fill(machine: &mut Machine, weights: &Weights) -> Result<()> {
    let key = Key::new(0, "decode");
    for (n, layer) in weights.binary.iter().enumerate() {
        let (spec, key) = (layer.signs.spec, key.child(n as u64));
        let last = if spec.cols % 32 == 0 { u32::MAX } else { (1 << (spec.cols % 32)) - 1 };
        let ends = |i: u64| (i + 1).is_multiple_of(spec.row_words() as u64);
        let words: Vec<u32> = (0..spec.words() as u64).map(|i| key.bits(i) as u32 & if ends(i) { last } else { u32::MAX }).collect();
        machine.write(&layer.signs, &words)?;
    }
    for name in weights.names() {
        let location = weights.location(name).expect("named");
        let key = Key::new(0, name);
        let words: Vec<u32> = match location.spec.storage {
            // f16 of magnitude 1/64 to 1/32.
            Storage::F16 => (0..location.spec.words() as u64).map(|i| (key.bits(i) as u32 & 0x83ff_83ff) | 0x2400_2400).collect(),
            _ if weights.config.role(name) == Some(Role::Norm) => vec![1f32.to_bits(); location.spec.words()],
            _ => (0..location.spec.words() as u64).map(|i| (0.02 * key.uniform(i) as f32).to_bits()).collect(),
        };
        machine.write(&location, &words)?;
    }
    Ok(())
}
