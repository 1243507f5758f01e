//! Verification of a variant of an operation at given shapes, before tuning may select it. While `run` tests all variants
//! on small cases, this tests the shapes of a model, where grids fold, bindings are large, and the oracle would take
//! minutes.

use super::fill::{OperandContents, Random, draw};
use super::trial::{CpuTrial, DeviceResults, Trial, check_results};
use super::{UNIT, UNIT_F16, hard_failure};
use crate::device::Gpu;
use crate::graph::{
    Calculus, Case, CaseInput, CaseUpdate, DynOp, Expect, Fill, GpuMachine, GradientRole, Machine, Spec, Specs, Storage, Traced, Variant, Variants,
};
use crate::ops::FUSIONS;
use std::sync::Arc;

/// Maximum products for the oracle; larger operations are compared with the portable variant.
const MAX_ORACLE_PRODUCTS: f64 = (1u64 << 25) as f64;
/// Relative perturbation of floats to measure an operation's sensitivity: far above the rounding of f32, and small enough
/// that the operation is linear.
const PERTURBATION: f32 = 1.0 / 4096.0;

/// The result of verifying a variant at a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantVerdict {
    /// The largest error relative to the bound.
    pub worst: f64,
    /// The failure, if any; such a variant must not be used.
    pub failure: Option<String>,
}

/// Runs `variant` of `op` on random operands (integers are 0, which is a valid token, target and position), with guard
/// words, and checks the error bound.
///
/// Small shapes are compared with the oracle. Large ones are compared with the portable variant, which `run` compares with
/// the oracle: both may have an error of (n + 8) roundings of every term, where n is at most the sum of the operands'
/// dimensions. The effect of a relative error of every term is measured by perturbing all floats by ±2⁻¹² and running the
/// portable variant again.
pub async fn verify(gpu: &Arc<Gpu>, op: &DynOp, specs: Specs<'_>, variant: &str, seed: u64) -> VariantVerdict {
    let outcome = outcome(gpu, op, specs, variant, seed).await;
    let (worst, failure) = outcome.map_or_else(|(worst, failure)| (worst, Some(failure)), |worst| (worst, None));
    VariantVerdict { worst: worst.min(f64::MAX), failure }
}

async fn outcome(gpu: &Arc<Gpu>, op: &DynOp, specs: Specs<'_>, variant: &str, seed: u64) -> super::CheckResult {
    let candidates = GpuMachine::new(gpu.clone(), FUSIONS).candidates(&**op, specs);
    let Some(chosen) = candidates.iter().find(|candidate| candidate.name == variant) else {
        let names: Vec<&str> = candidates.iter().map(|candidate| candidate.name).collect();
        return Err(hard_failure(format!("{} has no variant {variant} for these shapes. Available: {}", op.name(), names.join(", "))));
    };
    let case = case(op, specs);
    let mut random = Random::new(seed, &[op.name(), "verify"]);
    let contents = OperandContents::draw(&case, &mut random);
    let trial = Trial::forward(&case, &contents).map_err(hard_failure)?;
    let run = async |trial: &Trial, name: &str| {
        let mut machine = Machine::gpu(gpu.clone(), FUSIONS);
        machine.set_variants(Variants::preferring(name));
        trial.run_on(machine).await.map_err(hard_failure)
    };
    let got = run(&trial, variant).await?;
    if products(&trial, specs) <= MAX_ORACLE_PRODUCTS {
        let mut oracle = CpuTrial::<Traced>::new(&trial).map_err(hard_failure)?;
        oracle.run();
        let expected: Vec<_> = (0..trial.results.len()).map(|n| oracle.result(n)).collect();
        return check_results(&trial, &expected, &got, chosen.storage);
    }
    if let Some(place) = got.out_of_bounds.first() {
        return Err(hard_failure(format!("a kernel wrote outside {place}")));
    }
    let portable = run(&trial, Variant::PORTABLE).await?;
    let moved = Trial::forward(&case, &perturb(&case, contents, &mut random)).map_err(hard_failure)?;
    let moved = run(&moved, Variant::PORTABLE).await?;
    compare(&trial, allowed(&trial, specs, chosen), [&got, &portable, &moved])
}

/// Makes a case of the operation with operands of these specs.
fn case(op: &DynOp, specs: Specs<'_>) -> Case {
    let fill = |spec: &Spec| match spec.storage {
        Storage::F32 | Storage::F16 | Storage::Q8 | Storage::SignedLog => Fill::Normal(0.3, 1.0),
        Storage::UnsignedLog => Fill::Uniform(0.01, 1.0),
        Storage::U32 => Fill::Below(1),
        Storage::Signs => Fill::Signs,
    };
    Case {
        label: "the shapes at hand".into(),
        op: op.clone(),
        inputs: specs.inputs.iter().map(|spec| CaseInput { spec: *spec, fill: fill(spec), role: GradientRole::Fixed }).collect(),
        updates: specs.updates.iter().map(|spec| CaseUpdate { spec: *spec, fill: fill(spec), expect: Expect::Reference }).collect(),
        steps: Vec::new(),
        calculus: Calculus::Chain,
    }
}

/// The shapes of a trial's operands and results.
fn shapes<'a>(trial: &'a Trial, specs: Specs<'a>) -> impl Iterator<Item = Spec> {
    specs.inputs.iter().copied().chain(trial.results.iter().map(|result| result.spec))
}

/// An estimate of an operation's products, exact for a matrix product: (m·k · k·n · m·n)^½.
fn products(trial: &Trial, specs: Specs<'_>) -> f64 {
    let mut sizes: Vec<f64> = shapes(trial, specs).map(|spec| spec.elements() as f64).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.iter().rev().take(3).product::<f64>().sqrt()
}

/// The allowed difference between two correct variants, relative to the effect of perturbing every float by
/// ±[`PERTURBATION`].
fn allowed(trial: &Trial, specs: Specs<'_>, variant: &Variant) -> f64 {
    let mut sizes: Vec<usize> = shapes(trial, specs).flat_map(|spec| [spec.rows, spec.cols]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let roundings = sizes.iter().sum::<usize>() as f64 + 8.0;
    // n factors have n − 1 products, each with two operands in f16.
    let factors = specs.inputs.iter().filter(|spec| !matches!(spec.storage, Storage::U32 | Storage::Signs)).count();
    let held = if variant.storage == Storage::F16 { 2.0 * (factors.max(2) - 1) as f64 } else { 0.0 };
    (2.0 * roundings * UNIT + held * UNIT_F16) / f64::from(PERTURBATION)
}

/// Perturbs every f32 by ±[`PERTURBATION`], relative to its value.
fn perturb(case: &Case, contents: OperandContents, random: &mut Random) -> OperandContents {
    let mut shift = |spec: Spec, words: Vec<u32>| match spec.storage {
        Storage::F32 => {
            let directions = draw(Spec::u32(spec.rows, spec.cols), &Fill::Below(2), random);
            let shift = |(word, up): (u32, u32)| (f32::from_bits(word) * (1.0 + if up == 1 { PERTURBATION } else { -PERTURBATION })).to_bits();
            words.into_iter().zip(directions).map(shift).collect()
        }
        _ => words,
    };
    let inputs = contents.inputs.into_iter().zip(&case.inputs).map(|(words, input)| shift(input.spec, words)).collect();
    let updates = contents.updates.into_iter().zip(&case.updates).map(|(words, update)| shift(update.spec, words)).collect();
    OperandContents { inputs, updates }
}

/// Compares a variant's results with those of the portable variant; words must be equal.
fn compare(trial: &Trial, allowed: f64, [got, portable, moved]: [&DeviceResults; 3]) -> super::CheckResult {
    let mut worst: f64 = 0.0;
    for (n, watched) in trial.results.iter().enumerate() {
        let spec = watched.spec;
        let [got, want, moved] = [got, portable, moved].map(|got| &got.results[n]);
        if spec.storage != Storage::F32 {
            if let Some(at) = got.iter().zip(want).position(|(got, want)| got != want) {
                return Err(hard_failure(format!("{} {spec}, word {at}: {:#x}, and {:#x} by the portable variant", watched.what, got[at], want[at])));
            }
            continue;
        }
        let value = |words: &[u32], at: usize| f64::from(f32::from_bits(words[at]));
        let finite = || (0..want.len()).filter(|&at| value(want, at).is_finite() && value(moved, at).is_finite());
        let effect = finite().map(|at| (value(moved, at) - value(want, at)).abs()).fold(0.0, f64::max);
        let size = finite().map(|at| value(want, at).abs()).fold(0.0, f64::max);
        let bound = allowed * effect + 2.0 * UNIT * size;
        for at in finite() {
            let share = super::expected::error_ratio((value(got, at) - value(want, at)).abs(), bound);
            if share > 1.0 {
                let (row, column) = (at / spec.cols, at % spec.cols);
                let failure = format!(
                    "{} {spec}, row {row}, column {column}: {:e}, and {:e} ± {bound:e} by the portable variant",
                    watched.what,
                    value(got, at),
                    value(want, at)
                );
                return Err((share, failure));
            }
            worst = worst.max(share);
        }
    }
    Ok(worst)
}
