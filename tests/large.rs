//! One optimizer step of the 130M preset, the paper's smallest model: a Vulkan adapter compared with the CPU device.

use pollster::block_on;
use signet::data::Batch;
use signet::device::{Backend, Checks, Gpu, adapters};
use signet::graph::{Machine, Recompute, Storage};
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use signet::ops::{Control, FUSIONS, Objective};
use signet::rng::Key;
use signet::train::{Step, StepReport, StepShape};
use std::sync::Arc;

const SEQ: usize = 64;

fn one_step(machine: &mut Machine) -> StepReport {
    let config = ModelConfig::preset("130M", 32_000).unwrap();
    let student = Weights::allocate(machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).unwrap();
    init_from_dense(machine, &student, &mut init_dense(&config, 1)).unwrap();
    let teacher = Weights::allocate(machine, &config, Linears::Dense, Purpose::Inference(Storage::F32)).unwrap();
    init_from_dense(machine, &teacher, &mut init_dense(&config, 2)).unwrap();
    let shape = StepShape { batch: 1, seq: SEQ, objective: Objective::AD, recompute: Recompute::Off };
    let mut step = Step::new(machine, student, Some(teacher), shape).unwrap();
    let key = Key::new(3, "tokens");
    let window: Vec<u32> = (0..=SEQ as u64).map(|i| (key.bits(i) % 32_000) as u32).collect();
    let control = Control {
        rate: 3e-4,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        decay: 0.1,
        correction1: [0.1; 2],
        correction2: [0.05f32.sqrt(); 2],
        clip: 1.0,
        inverse_scale: 1.0,
        threshold: f32::MAX,
        step: 1.0,
    };
    step.begin(machine).unwrap();
    step.micro(machine, &Batch::from_windows(&[&window]), 1, 1.0).unwrap();
    block_on(step.update(machine, &control).unwrap().wait()).unwrap()
}

#[test]
fn a_step_of_130m_on_vulkan_equals_the_cpu_device() {
    let adapters = block_on(adapters());
    let vulkan =
        adapters.iter().find(|adapter| adapter.info.backend == Backend::Vulkan).expect("no Vulkan adapter: Debian's mesa-vulkan-drivers has a software one");
    let cpu = one_step(&mut Machine::cpu());
    let gpu = one_step(&mut Machine::gpu(Arc::new(block_on(Gpu::open(vulkan, Checks::Off)).unwrap()), FUSIONS));
    println!("{vulkan}\nloss {} and {}, norm {} and {}", cpu.losses.ad(), gpu.losses.ad(), cpu.norm, gpu.norm);
    // Two f32 computations of a mean over 64 rows of 32,000 logits, each through some 12 · 2,048 terms.
    assert!((cpu.losses.ad() - gpu.losses.ad()).abs() <= 1e-5 * cpu.losses.ad());
    assert!((cpu.losses.kl() - gpu.losses.kl()).abs() <= 1e-5 * cpu.losses.ad());
    assert!((cpu.norm - gpu.norm).abs() <= 1e-4 * cpu.norm);
    assert!(cpu.taken && gpu.taken);
    // AdamW's first step changes every weight by the learning rate, independent of the gradient's size: a
    // flip differs only if a weight ends within rounding of zero, or the gradient itself is rounding error.
    let total: u32 = cpu.flips.iter().sum();
    let differing: u32 = cpu.flips.iter().zip(&gpu.flips).map(|(a, b)| a.abs_diff(*b)).sum();
    println!("flips {total}, differing {differing}");
    assert!(total > 100_000 && f64::from(differing) <= 1e-3 * f64::from(total));
}
