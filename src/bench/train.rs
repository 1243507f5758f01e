//! `bench train`: FBI-LLM training steps (teacher forward, student forward and backward, clipping, AdamW) on random tokens.

use super::{BenchProgress, DispatchCounts, KernelRow, Rates, Spread};
use crate::data::Batches;
use crate::graph::{Machine, Recompute, Storage};
use crate::model::{ConfigError, Linears, MatrixStorage, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use crate::ops::{Control, Objective};
use crate::platform::Clock;
use crate::rng::Key;
use crate::train::{Precision, Step, StepShape};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Options of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainBench {
    /// Name of a preset.
    pub size: String,
    /// Sequences per step.
    pub batch: usize,
    /// Tokens per sequence.
    pub seq: usize,
    /// Timed steps, after two for warm-up.
    pub steps: usize,
    /// Storage of the teacher's matrices.
    pub teacher_storage: MatrixStorage,
    /// Storage of AdamW's moments.
    pub moments: Moments,
    /// Precision of products on a GPU: with f16, tuning also tries kernels with factors in f16, such as those for matrix units.
    #[serde(default)]
    pub precision: Precision,
    /// True to time each kernel, on a GPU.
    pub kernels: bool,
    /// True to recompute activations instead of storing them.
    pub recompute: bool,
}

/// The result of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainBenchReport {
    /// The options.
    pub bench: TrainBench,
    /// The student's parameters: latent weights, α, β and the rest.
    pub parameters: usize,
    /// The device.
    pub device: String,
    /// Tokens per second.
    pub tokens_per_s: Spread,
    /// Bytes allocated on the device.
    pub memory: u64,
    /// Minimum bytes for weights, gradients, two moments, teacher and saved activations.
    pub needed: u64,
    /// Dispatches; none on the CPU.
    pub dispatches: Option<DispatchCounts>,
    /// Submissions per step.
    pub submits: usize,
    /// Measured peak rates of the device, if kernels were timed.
    pub rates: Option<Rates>,
    /// Kernels of a step.
    pub kernels: Vec<KernelRow>,
}

fn is_small(size: &str) -> bool {
    matches!(size, "tiny" | "5M")
}

/// Vocabulary size for a preset: FBI-LLM's, or a smaller one for small models.
pub fn vocabulary(size: &str) -> usize {
    if is_small(size) { 4096 } else { 32_000 }
}

/// Shape of a benchmarked model: a preset, or a public model with a built-in configuration.
pub fn shape(size: &str) -> Result<ModelConfig, ConfigError> {
    ModelConfig::teacher(size).map_or_else(|| ModelConfig::preset(size, vocabulary(size)), Ok)
}

impl TrainBench {
    /// Sequences in a step of a size, where no other number is asked for.
    pub fn usual_batch(size: &str) -> usize {
        if is_small(size) { 4 } else { 1 }
    }
}

/// Times training steps; `progress` is called after each.
pub async fn train(machine: &mut Machine, device: &str, bench: TrainBench, progress: BenchProgress<'_>) -> Result<TrainBenchReport> {
    const WARM_UP: usize = 2;
    anyhow::ensure!(bench.batch > 0 && bench.seq > 0 && bench.steps > 0, "batch, seq and steps must be at least 1");
    let config = ModelConfig::preset(&bench.size, vocabulary(&bench.size))?;
    let mut step = train_set_up(machine, &bench)?;
    init_from_dense(machine, &step.student, &mut init_dense(&config, 1))?;
    if let Some(teacher) = &step.teacher {
        init_from_dense(machine, teacher, &mut init_dense(&config, 2))?;
    }
    let parameters = step.student.names().iter().map(|name| step.student.location(name).expect("named").spec.elements()).sum();
    let key = Key::new(0, "bench");
    let tokens: Vec<u32> = (0..(bench.batch * bench.seq * 4 + bench.seq * 2) as u64).map(|i| (key.bits(i) % config.vocab_size as u64) as u32).collect();
    let batches = Batches::new(0, tokens.len(), bench.batch, bench.seq);
    let mut rates = Vec::new();
    for n in 0..WARM_UP + bench.steps {
        let clock = Clock::start();
        step.begin(machine)?;
        step.micro(machine, &batches.batch(n as u64, |range| anyhow::Ok(tokens[range].to_vec()))?, 1, 1.0)?;
        step.update(machine, &control(n as i32 + 1))?.wait().await?;
        if n >= WARM_UP {
            rates.push((bench.batch * bench.seq) as f64 / clock.seconds());
        }
        progress(n + 1, WARM_UP + bench.steps, "timing steps")?;
    }
    let memory = machine.bytes();
    let needed = required_bytes(&config, &bench, parameters as u64);
    let on_gpu = matches!(machine, Machine::Gpu(_));
    let dispatches = if on_gpu { Some(super::dispatch_counts(&config, bench.batch, bench.seq)?) } else { None };
    let measured = if on_gpu && bench.kernels { Some(super::kernels::rates(machine).await?) } else { None };
    let kernels = match measured {
        Some(rates) => super::kernels::time_kernels(machine, &step.programs(), rates).await?,
        None => Vec::new(),
    };
    let submits = step.programs().iter().map(|program| program.submits()).sum();
    let tokens_per_s = Spread::of(&rates);
    Ok(TrainBenchReport { bench, parameters, device: device.into(), tokens_per_s, memory, needed, dispatches, submits, rates: measured, kernels })
}

/// Allocates the models and programs of the benchmark, without writing weights.
pub fn train_set_up(machine: &mut Machine, bench: &TrainBench) -> Result<Step> {
    let config = ModelConfig::preset(&bench.size, vocabulary(&bench.size))?;
    let student = Weights::allocate(machine, &config, Linears::Binary, Purpose::Training(bench.moments))?;
    let teacher = Weights::allocate(machine, &config, Linears::Dense, Purpose::Inference(bench.teacher_storage.storage()))?;
    let shape =
        StepShape { batch: bench.batch, seq: bench.seq, objective: Objective::AD, recompute: if bench.recompute { Recompute::On } else { Recompute::Off } };
    Ok(Step::new(machine, student, Some(teacher), shape)?)
}

fn control(step: i32) -> Control<f32> {
    Control {
        rate: 3e-4,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        decay: 0.1,
        correction1: [1.0 - 0.9f32.powi(step); 2],
        correction2: [(1.0 - 0.95f32.powi(step)).sqrt(); 2],
        clip: 1.0,
        inverse_scale: 1.0,
        threshold: f32::MAX,
        step: step as f32,
    }
}

/// Minimum bytes: two floats per parameter (weight, gradient) and two moments, the teacher, and 6·width + 2·kv_width +
/// 3·feed-forward + heads floats per token and layer.
fn required_bytes(config: &ModelConfig, bench: &TrainBench, parameters: u64) -> u64 {
    let words = |storage: Storage, count: u64| storage.row_words(count as usize) as u64;
    let tokens = bench.batch as u64 * bench.seq as u64;
    let moments = match bench.moments {
        Moments::F32 => 2 * parameters,
        Moments::Q8 => 2 * words(Storage::SignedLog, parameters),
    };
    let teacher = words(bench.teacher_storage.storage(), config.parameters());
    let saved = 6 * config.hidden_size + 2 * config.kv_width() + 3 * config.intermediate_size + config.num_attention_heads;
    4 * (2 * parameters + moments + teacher + tokens * config.num_hidden_layers as u64 * saved as u64)
}
