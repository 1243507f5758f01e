//! Training with matrix units against training in f32: the losses of a small model, on the device of `matrices`, where
//! matrices are loops. The tolerance is the spread of the f32 run over seeds.

use super::matrices;
use signet::data::Batch;
use signet::graph::{Machine, Recompute, Variants};
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use signet::ops::{Control, FUSIONS, Objective};
use signet::rng::Key;
use signet::train::{Step, StepShape};

const SHAPE: StepShape = StepShape { batch: 2, seq: 24, objective: Objective::AR, recompute: Recompute::Off };
const STEPS: u64 = 30;
/// Steps at the end whose mean loss is compared.
const LAST: usize = 10;
/// Seeds of the f32 run.
const SEEDS: u64 = 6;
/// The loss scale that precision f16 asks for.
const LOSS_SCALE: f32 = 1024.0;

fn config() -> ModelConfig {
    ModelConfig {
        model_type: "llama".into(),
        hidden_size: 32,
        intermediate_size: 68,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: Some(1),
        head_dim: None,
        vocab_size: 60,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: false,
    }
}

/// Windows of a text in which a token mostly determines the next.
fn batch(seed: u64, step: u64) -> Batch {
    let key = Key::new(seed, "text");
    let mut id = key.bits(step) % 60;
    let windows: Vec<Vec<u32>> = (0..SHAPE.batch as u64)
        .map(|row| {
            let next = |n: u64| {
                let bits = key.bits((step * 8 + row) * 64 + n + 1000);
                id = if bits.is_multiple_of(8) { bits / 8 % 60 } else { (id * 7 + 11) % 60 };
                id as u32
            };
            (0..=SHAPE.seq as u64).map(next).collect()
        })
        .collect();
    Batch::from_windows(&windows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Trains the model, and returns the loss of each step.
fn losses(mut machine: Machine, seed: u64, scale: f32) -> Vec<f64> {
    let config = config();
    let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).expect("allocates");
    init_from_dense(&mut machine, &student, &mut init_dense(&config, seed)).expect("writes");
    let mut step = Step::new(&mut machine, student, None, SHAPE).expect("plans");
    let mut losses = Vec::new();
    for n in 0..STEPS {
        let correction = |beta: f32| 1.0 - beta.powi(n as i32 + 1);
        let control = Control {
            rate: 3e-3,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            decay: 0.0,
            correction1: [correction(0.9); 2],
            correction2: [correction(0.95).sqrt(); 2],
            clip: 1.0,
            inverse_scale: 1.0 / scale,
            threshold: f32::MAX,
            step: (n + 1) as f32,
        };
        step.begin(&mut machine).expect("begins");
        step.micro(&mut machine, &batch(seed, n), 1, scale).expect("runs");
        let report = pollster::block_on(step.update(&mut machine, &control).expect("updates").wait()).expect("reports");
        losses.push(report.losses.minimised(SHAPE.objective));
    }
    losses
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_run_with_matrices_tracks_the_f32_run() {
    let runs: Vec<Vec<f64>> = (1..=SEEDS).map(|seed| losses(Machine::cpu(), seed, 1.0)).collect();
    let ends: Vec<f64> = runs.iter().map(|run| mean(&run[run.len() - LAST..])).collect();
    let spread = (ends.iter().map(|end| (end - mean(&ends)).powi(2)).sum::<f64>() / (ends.len() - 1) as f64).sqrt();
    let learned = runs[0][0] - ends[0];
    assert!(learned > 10.0 * spread, "the loss fell by {learned}, and spreads by {spread} over seeds: this text shows nothing");
    for (variant, gpu) in [("cooperative-16", matrices::gpu::<32>()), ("cooperative-8", matrices::gpu::<32>())] {
        let mut machine = Machine::gpu(gpu.clone(), FUSIONS);
        machine.set_variants(Variants::preferring(variant));
        let run = losses(machine, 1, LOSS_SCALE);
        let (end, early) = (mean(&run[run.len() - LAST..]), (run[0] - runs[0][0]).abs());
        println!("{variant}: {end:.4}, f32 {:.4}, spread over seeds {spread:.4}; first step off by {early:.1e}", ends[0]);
        assert!((end - ends[0]).abs() < spread, "{variant}: {end}, and {} ± {spread} in f32", ends[0]);
        let kernel = |part: &str| gpu.compiled().iter().any(|name| name.starts_with(part));
        let used = ["forward", "input", "weight"].map(|entry| kernel(&format!("fbi_linear.coop/{entry}")));
        assert!(used.iter().all(|&used| used) && kernel("matmul.coop/tiled"), "{variant} did not run: {:?}", gpu.compiled());
    }
}
