//! Comparison of one training step of a small model with the CPU device: loss, gradients, norm, parameters and sign flips.
//!
//! Both devices may have an error of (n + 8)·u of every term, where n is the number of additions along the longest path of
//! the model, forward and backward. The effect of a relative error of every term is measured: the CPU device repeats the
//! step with every parameter perturbed by ±2⁻¹², and a result may differ by 2·(n + 8)·u ÷ 2⁻¹² of the largest change of
//! any element of its tensor. So no tolerance is chosen by hand. The effect of a gradient error E on AdamW is exact: the
//! update is monotone in the gradient, and lies between those of g − E and g + E.
//!
//! A sign flip may differ only where the CPU device's latent weight after the step is within that bound of zero, so that
//! rounding determines its sign. The flips that a device reports must match its own weights exactly.

use super::{Finding, check_not_stopped};
use crate::data::Batch;
use crate::device::Gpu;
use crate::graph::{Machine, Recompute, Storage};
use crate::model::{BinaryGroup, Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense, load};
use crate::ops::{Control, Objective};
use crate::rng::Key;
use crate::train::{Step, StepShape};
use anyhow::Result;
use std::sync::Arc;

/// Unit roundoff of f32.
const UNIT: f64 = 1.0 / 16_777_216.0;
/// Relative perturbation of parameters.
const PERTURBATION: f64 = 1.0 / 4096.0;
/// Number of perturbed steps, each with other random signs.
const PERTURBATIONS: u64 = 3;
/// Roundings in an AdamW update: a square root, two divisions, and fewer than twenty products and sums.
const UPDATE_ROUNDINGS: f64 = 9.0 + 2.0 * 5.0 + 20.0 + 8.0;
const SHAPE: StepShape = StepShape { batch: 2, seq: 16, objective: Objective::MIX, recompute: Recompute::Off };
const RATE: f32 = 1e-3;
const DECAY: f32 = 0.1;
const EPSILON: f32 = 1e-8;
const CLIP: f32 = 1.0;

/// The results of a step on a device.
#[derive(Clone)]
struct StepResult {
    loss: f64,
    norm: f64,
    flips: Vec<u32>,
    tensors: Vec<ParameterStep>,
}

/// A parameter before and after the step, and its gradient.
#[derive(Clone)]
struct ParameterStep {
    name: String,
    before: Vec<f32>,
    gradient: Vec<f32>,
    after: Vec<f32>,
    /// Index of its flip counter, if it is a latent weight.
    binary: Option<usize>,
}

fn config() -> ModelConfig {
    ModelConfig {
        model_type: "llama".into(),
        hidden_size: 64,
        intermediate_size: 136,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        head_dim: None,
        vocab_size: 211,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: false,
    }
}

/// Additions along the longest path: norms, projections, attention scores, softmax, values and feed-forward of each layer,
/// forward and backward; the head and the loss's sums over the vocabulary; the tokens in a weight's gradient.
fn additions(config: &ModelConfig) -> f64 {
    let layer = 5 * config.hidden_size + config.head_dim() + 2 * SHAPE.seq + config.intermediate_size;
    (2 * config.num_hidden_layers * layer + 2 * (config.hidden_size + 3 * config.vocab_size) + SHAPE.batch * SHAPE.seq) as f64
}

pub(super) async fn check(gpu: &Arc<Gpu>, stop: &dyn Fn() -> bool) -> Result<Finding> {
    let got = step(Machine::gpu(gpu.clone(), crate::ops::FUSIONS), None).await?;
    let (expected, moved) = expected(stop).await?;
    Ok(compare(&expected, &moved, &got))
}

/// Computes the step on the CPU device, and with perturbed parameters.
async fn expected(stop: &dyn Fn() -> bool) -> Result<(StepResult, Vec<StepResult>)> {
    let mut moved = Vec::new();
    for direction in 0..PERTURBATIONS {
        check_not_stopped(stop)?;
        moved.push(step(Machine::cpu(), Some(direction)).await?);
    }
    Ok((step(Machine::cpu(), None).await?, moved))
}

/// Computes the step on a machine; `moved` is the seed of a perturbation of student and teacher.
async fn step(mut machine: Machine, moved: Option<u64>) -> Result<StepResult> {
    let config = config();
    let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(Moments::F32))?;
    init_from_dense(&mut machine, &student, &mut init_dense(&config, 1))?;
    let teacher = Weights::allocate(&mut machine, &config, Linears::Dense, Purpose::Inference(Storage::F32))?;
    load(&mut machine, &teacher, &mut init_dense(&config, 2))?;
    if let Some(direction) = moved {
        perturb(&mut machine, &student, direction).await?;
        perturb(&mut machine, &teacher, PERTURBATIONS + direction).await?;
    }
    let names = student.names().to_vec();
    let mut before = Vec::new();
    for name in &names {
        before.push(machine.read_f32(&student.location(name).expect("named")).await?);
    }
    let mut step = Step::new(&mut machine, student, Some(teacher), SHAPE)?;
    step.begin(&mut machine)?;
    step.micro(&mut machine, &batch(&config), 1, 1.0)?;
    let mut tensors = Vec::new();
    for (name, before) in names.iter().zip(before) {
        let trained = step.student.trained(name).expect("a parameter in training");
        let gradient = machine.read_f32(&trained.gradient).await?;
        let binary = step.student.binary.iter().flat_map(BinaryGroup::layers).position(|(layer, _)| name.strip_suffix(".weight") == Some(layer));
        tensors.push(ParameterStep { name: name.clone(), before, gradient, after: Vec::new(), binary });
    }
    let report = step.update(&mut machine, &control())?.wait().await?;
    for tensor in &mut tensors {
        tensor.after = machine.read_f32(&step.student.trained(&tensor.name).expect("as before").value).await?;
    }
    Ok(StepResult { loss: report.losses.minimised(SHAPE.objective), norm: report.norm, flips: report.flips, tensors })
}

/// Perturbs every parameter by ±[`PERTURBATION`], relative to its value, which changes no sign.
async fn perturb(machine: &mut Machine, weights: &Weights, direction: u64) -> Result<()> {
    for name in weights.names() {
        let location = weights.location(name).expect("named");
        let key = Key::new(direction, name);
        let shift = |(n, value): (usize, f32)| (f64::from(value) * (1.0 + if key.bits(n as u64) & 1 == 1 { PERTURBATION } else { -PERTURBATION })) as f32;
        let values: Vec<f32> = machine.read_f32(&location).await?.into_iter().enumerate().map(shift).collect();
        machine.write_f32(&location, &values)?;
    }
    Ok(())
}

fn batch(config: &ModelConfig) -> Batch {
    let key = Key::new(3, "tokens");
    let ids: Vec<u32> = (0..(SHAPE.batch * (SHAPE.seq + 1)) as u64).map(|n| (key.bits(n) % config.vocab_size as u64) as u32).collect();
    Batch::from_windows(&ids.chunks(SHAPE.seq + 1).collect::<Vec<_>>())
}

/// Optimizer settings of a first step, with the bias corrections of both moments.
fn control() -> Control<f32> {
    Control {
        rate: RATE,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: EPSILON,
        decay: DECAY,
        correction1: [0.1; 2],
        correction2: [0.05f32.sqrt(); 2],
        clip: CLIP,
        inverse_scale: 1.0,
        threshold: f32::MAX,
        step: 1.0,
    }
}

/// The largest error relative to its bound, and the first failure.
#[derive(Default)]
struct Errors {
    worst: f64,
    failure: Option<String>,
}

impl Errors {
    fn check(&mut self, what: impl Fn() -> String, got: f64, expected: f64, allowed: f64) {
        let error = (got - expected).abs();
        let share = match error / allowed {
            _ if error == 0.0 => 0.0,
            share if share.is_nan() => f64::INFINITY,
            share => share,
        };
        if share > 1.0 && self.failure.is_none() {
            self.failure = Some(format!("{} is {got:e}, and {expected:e} ± {allowed:e} on the CPU device", what()));
        }
        self.worst = self.worst.max(share);
    }
}

fn compare(expected: &StepResult, moved: &[StepResult], got: &StepResult) -> Finding {
    let allowed = 2.0 * (additions(&config()) + 8.0) * UNIT / PERTURBATION;
    let allowed_error = |of: &dyn Fn(&StepResult) -> f64| allowed * moved.iter().map(|moved| (of(moved) - of(expected)).abs()).fold(0.0, f64::max);
    let [mut scalars, mut gradients, mut parameters] = <[Errors; 3]>::default();
    let norm_off = allowed_error(&|result| result.norm);
    scalars.check(|| "the loss".into(), got.loss, expected.loss, allowed_error(&|result| result.loss));
    scalars.check(|| "the gradient norm".into(), got.norm, expected.norm, norm_off);
    let mut flips = Errors::default();
    for (n, (want, got_tensor)) in expected.tensors.iter().zip(&got.tensors).enumerate() {
        let of = |at: usize| move |result: &StepResult| f64::from(result.tensors[n].gradient[at]);
        let off = (0..want.gradient.len()).map(|at| allowed_error(&of(at))).fold(0.0, f64::max);
        let mut undecided = 0;
        for at in 0..want.gradient.len() {
            let describe = |what: &str| format!("{what} {at} of {}", want.name);
            gradients.check(|| describe("the gradient of element"), got_tensor.gradient[at].into(), want.gradient[at].into(), off);
            let bound = update_bound(want, at, off, expected.norm, norm_off);
            parameters.check(|| describe("element"), got_tensor.after[at].into(), want.after[at].into(), bound);
            undecided += u32::from(f64::from(want.after[at]).abs() <= bound);
        }
        if let Some(layer) = want.binary {
            let own = got_tensor.before.iter().zip(&got_tensor.after).filter(|(before, after)| (**before > 0.0) != (**after > 0.0)).count();
            flips.check(|| format!("the flips of {} by its own weights", want.name), got.flips[layer].into(), own as f64, 0.0);
            flips.check(|| format!("the flips of {}", want.name), got.flips[layer].into(), expected.flips[layer].into(), undecided.into());
        }
    }
    let total = |result: &StepResult| result.flips.iter().sum::<u32>();
    let outcome = format!(
        "loss {:.6} and norm {:.6} ({:.4} of what is allowed), gradients {:.4} of it, parameters {:.4}, flips {} of {} on the CPU device",
        got.loss,
        got.norm,
        scalars.worst,
        gradients.worst,
        parameters.worst,
        total(got),
        total(expected)
    );
    let failure = [scalars, gradients, parameters, flips].into_iter().find_map(|shares| shares.failure);
    Finding { outcome, failure }
}

/// Error bound of element `at` after the first step of AdamW, for a gradient error of `off`.
fn update_bound(tensor: &ParameterStep, at: usize, off: f64, norm: f64, norm_off: f64) -> f64 {
    let gradient = f64::from(tensor.gradient[at]);
    let scale = (f64::from(CLIP) / norm).min(1.0);
    // The norm has an error, too, and so does the scale of clipping.
    let off = scale * (off + gradient.abs() * norm_off / norm);
    let update = |g: f64| g / (g.abs() + f64::from(EPSILON));
    let (rate, value) = (f64::from(RATE), f64::from(tensor.before[at]).abs());
    rate * (update(scale * gradient + off) - update(scale * gradient - off)) + UPDATE_ROUNDINGS * UNIT * (value + rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_device_passes_and_small_errors_fail() {
        let (expected, moved) = pollster::block_on(expected(&|| false)).expect("a step on the CPU device");
        let failure = |damage: &dyn Fn(&mut StepResult)| {
            let mut got = expected.clone();
            damage(&mut got);
            compare(&expected, &moved, &got).failure
        };
        assert_eq!(failure(&|_| {}), None);
        assert!(expected.flips.iter().sum::<u32>() > 50, "too few flips to tell: {:?}", expected.flips);
        let caught = |damage: &dyn Fn(&mut StepResult), words: &str| {
            let failure = failure(damage).expect("caught");
            assert!(failure.contains(words), "{failure}");
        };
        caught(&|result| result.loss *= 1.0005, "the loss");
        caught(&|result| result.norm *= 1.002, "the gradient norm");
        caught(&|result| result.flips[3] += 1, "the flips of");
        caught(&|result| result.loss = f64::NAN, "the loss is NaN");
        for n in 0..expected.tensors.len() {
            let largest = |values: &[f32]| (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).expect("not empty");
            let at = largest(&expected.tensors[n].gradient);
            caught(&|result| result.tensors[n].gradient[at] *= 0.95, "the gradient of element");
            caught(&|result| result.tensors[n].after[at] = result.tensors[n].before[at], "element");
        }
    }
}
