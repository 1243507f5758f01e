//! Comparison of the oracle's gradients with central differences of its forward pass, both in f64. It detects errors that
//! a kernel shares with its twin.

use super::expected::error_ratio;
use super::fill::{OperandContents, Random};
use super::trial::{CpuTrial, Trial};
use super::{CheckResult, hard_failure};
use crate::graph::{BufferKind, Calculus, Case, Data, ForwardFn, GradientRole, LossFn, Spec};

/// Number of perturbed elements of an operand.
const ELEMENTS_CHECKED: usize = 12;
/// Tolerance of a difference relative to the gradient.
const TOLERANCE: f64 = 1e-6;

pub(super) fn check(case: &Case, contents: &OperandContents, random: &mut Random) -> CheckResult {
    match &case.calculus {
        Calculus::InPlace(loss) => in_place(case, contents, loss, random),
        Calculus::Chain => tape_gradient(case, contents, None, random),
        Calculus::Surrogate(forward) => tape_gradient(case, contents, Some(forward.clone()), random),
    }
}

/// Checks gradients that a backward pass computes.
fn tape_gradient(case: &Case, contents: &OperandContents, surrogate: Option<ForwardFn>, random: &mut Random) -> CheckResult {
    let trial = Trial::gradient(case, contents, random).map_err(hard_failure)?;
    let mut backward = CpuTrial::<f64>::new(&trial).map_err(hard_failure)?;
    let upstream = floats(&trial.memory.last().expect("the upstream gradient").1);
    backward.run();
    let alone = Trial::forward(case, contents).map_err(hard_failure)?;
    let mut forward = CpuTrial::<f64>::new(&alone).map_err(hard_failure)?;
    let mut values = values(case, contents);
    let specs: Vec<Spec> = case.inputs.iter().map(|input| input.spec).collect();
    let mut worst: f64 = 0.0;
    for (result, watched) in trial.results.iter().enumerate() {
        let n = watched.input.expect("a gradient of an input");
        let mut gradient = reals(backward.result(result));
        if let Some(before) = trial.before(result) {
            gradient.iter_mut().zip(floats(before)).for_each(|(after, before)| *after -= before);
        }
        let original = values[n].clone();
        let loss = |moved: &[f64]| {
            let outputs = match (case.inputs[n].role, &surrogate) {
                (GradientRole::Straight, Some(surrogate)) => {
                    values[n].copy_from_slice(moved);
                    surrogate(&values, &specs)
                }
                _ => {
                    forward.operand(n).copy_from_slice(moved);
                    forward.run();
                    reals(forward.result(0))
                }
            };
            outputs.iter().zip(&upstream).map(|(y, dy)| y * dy).sum()
        };
        worst = worst.max(compare(&watched.what, &original, &gradient, loss, random)?);
        if case.inputs[n].role != GradientRole::Straight {
            forward.operand(n).copy_from_slice(&original);
        }
        values[n].copy_from_slice(&original);
    }
    Ok(worst)
}

/// Checks the gradient that an operation itself writes to its first update.
fn in_place(case: &Case, contents: &OperandContents, loss: &LossFn, random: &mut Random) -> CheckResult {
    let trial = Trial::forward(case, contents).map_err(hard_failure)?;
    let mut bench = CpuTrial::<f64>::new(&trial).map_err(hard_failure)?;
    let values = values(case, contents);
    let original = floats(&contents.updates[0]);
    bench.run();
    let gradient = reals(bench.result(0));
    let updates = case.updates.len();
    let loss = |moved: &[f64]| {
        bench.operand(case.inputs.len()).copy_from_slice(moved);
        bench.run();
        let outputs: Vec<Vec<f64>> = (updates..trial.results.len()).map(|n| reals(bench.result(n))).collect();
        loss(&values, &outputs)
    };
    compare("update 0", &original, &gradient, loss, random)
}

/// Perturbs elements of an operand and compares differences of the loss with the gradient.
fn compare(what: &str, original: &[f64], gradient: &[f64], mut loss: impl FnMut(&[f64]) -> f64, random: &mut Random) -> CheckResult {
    let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    // Small relative to the operand, and to 1, the scale on which exponentials are nonlinear.
    let step = (1e-3 * rms(original).min(1.0)).max(1e-7);
    let typical = rms(gradient);
    let mut moved = original.to_vec();
    let mut worst: f64 = 0.0;
    for _ in 0..ELEMENTS_CHECKED.min(original.len()) {
        let at = random.below(original.len() as u32) as usize;
        let mut size: f64 = 0.0;
        let mut difference = |step: f64| {
            let [up, down] = [step, -step].map(|step| {
                moved[at] = original[at] + step;
                loss(&moved)
            });
            moved[at] = original[at];
            size = size.max(up.abs());
            (up - down) / (2.0 * step)
        };
        // Richardson extrapolation: the error of order step² cancels.
        let (coarse, fine) = (difference(step), difference(step / 2.0));
        let expected = (4.0 * fine - coarse) / 3.0;
        let allowed = TOLERANCE * (gradient[at].abs() + typical) + 1e-13 * size / step;
        let share = error_ratio((gradient[at] - expected).abs(), allowed);
        if share > 1.0 {
            let failure = format!("{what}, element {at}: the backward pass gives {:e}, differences give {expected:e} ± {allowed:e}", gradient[at]);
            return Err((share, failure));
        }
        worst = worst.max(share);
    }
    Ok(worst)
}

/// The inputs as f64; empty for inputs of words.
fn values(case: &Case, contents: &OperandContents) -> Vec<Vec<f64>> {
    let value = |(input, words): (&crate::graph::CaseInput, &Vec<u32>)| match BufferKind::of(input.spec.storage) {
        BufferKind::Real => floats(words),
        BufferKind::Words => Vec::new(),
    };
    case.inputs.iter().zip(&contents.inputs).map(value).collect()
}

fn floats(words: &[u32]) -> Vec<f64> {
    words.iter().map(|&word| f64::from(f32::from_bits(word))).collect()
}

fn reals(data: Data<f64>) -> Vec<f64> {
    match data {
        Data::Real(values) => values,
        Data::Words(_) => panic!("a gradient of words"),
    }
}
