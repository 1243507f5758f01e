//! The fused kernels. Each replaces a sequence of operations, which is its reference, and adds no
//! mathematics.

use super::fbi_linear::{FEW, product_params};
use super::group::Members;
use super::{Add, FbiLinear, RmsNorm, RmsNormBackward, Swiglu};
use crate::graph::{Case, Fill, FusedStep, Fusion, Launch, Operand, Spec, StepOperand, Storage, Variant, grid};
use crate::params;
use std::any::Any;

fn is<O: 'static>(op: &dyn Any) -> bool {
    op.is::<O>()
}

/// All sequences, longer ones first.
pub const FUSIONS: &[Fusion] = &[
    Fusion { name: "fused", sequence: &[is::<RmsNorm>, is::<FbiLinear>, is::<Swiglu>], variants: norm_linear_swiglu },
    Fusion { name: "fused", sequence: &[is::<RmsNorm>, is::<FbiLinear>], variants: norm_linear },
    Fusion { name: "fused", sequence: &[is::<FbiLinear>, is::<Add>], variants: linear_add },
    Fusion { name: "fused", sequence: &[is::<RmsNormBackward>, is::<Add>], variants: norm_backward_add },
];

/// Flags of the operations around the linear layer in `fused/few`.
const NORM: u32 = 1;
const GATED: u32 = 2;
const RESIDUAL: u32 = 4;

/// Rows of a workgroup of `fused/few`, and of its narrow variant.
const ROWS: [usize; 2] = [64, 32];

/// Operands of `fused/few`, and the operations around the linear layer.
struct Few<'a> {
    step: &'a FusedStep,
    members: &'a Members,
    /// Indices of x, signs, α, β, gain, residual; an absent one repeats another input.
    inputs: [usize; 6],
    around: u32,
    epsilon: f64,
}

impl Few<'_> {
    /// Returns the kernel and its narrow variant, for at most 8 tokens.
    fn variants(&self) -> Vec<Variant> {
        let (x, signs) = (self.step.inputs[0], self.step.inputs[1]);
        if x.rows > FEW {
            return Vec::new();
        }
        let params = product_params(self.members, x.rows, signs, params! { around: self.around, epsilon: self.epsilon });
        // A workgroup computes the same rows of both layers of a gated pair.
        let counted = if self.around & GATED == 0 { usize::MAX } else { 1 };
        let groups = |rows: usize| self.members.ranges().take(counted).map(|range| range.len().div_ceil(rows)).sum();
        let variant = |name, kernel, rows| Variant {
            name,
            storage: Storage::F32,
            launches: vec![Launch {
                kernel,
                operands: self.inputs.map(Operand::In).into_iter().chain([Operand::Out(0)]).collect(),
                params: params.clone(),
                groups: grid(groups(rows)),
                operations: Some(2.0 * x.rows as f64 * signs.elements() as f64),
            }],
        };
        vec![variant(Variant::PORTABLE, "fused/few", ROWS[0]), variant("narrow", "fused/few.narrow", ROWS[1])]
    }
}

/// Inputs: x, gain, signs, α, β.
fn norm_linear(steps: &[FusedStep]) -> Vec<Variant> {
    let (Some(norm), Some(linear)) = (steps[0].op::<RmsNorm>(), steps[1].op::<FbiLinear>()) else { return Vec::new() };
    Few { step: &steps[1], members: &linear.members, inputs: [0, 2, 3, 4, 1, 0], around: NORM, epsilon: norm.epsilon }.variants()
}

/// Inputs: x, gain, signs, α, β.
fn norm_linear_swiglu(steps: &[FusedStep]) -> Vec<Variant> {
    let (Some(norm), Some(linear)) = (steps[0].op::<RmsNorm>(), steps[1].op::<FbiLinear>()) else { return Vec::new() };
    let halves: Vec<usize> = linear.members.ranges().map(|range| range.len()).collect();
    match halves[..] {
        [gate, up] if gate == up => {
            Few { step: &steps[1], members: &linear.members, inputs: [0, 2, 3, 4, 1, 0], around: NORM | GATED, epsilon: norm.epsilon }.variants()
        }
        _ => Vec::new(),
    }
}

/// Inputs: x, signs, α, β, in training signsᵀ and the latent weight; then the residual.
fn linear_add(steps: &[FusedStep]) -> Vec<Variant> {
    let Some(linear) = steps[0].op::<FbiLinear>() else { return Vec::new() };
    let residual = steps[0].inputs.len();
    let (x, signs) = (steps[0].inputs[0], steps[0].inputs[1]);
    if x.rows > FEW {
        return linear.tiled(x, signs, Some(Operand::In(residual)));
    }
    Few { step: &steps[0], members: &linear.members, inputs: [0, 1, 2, 3, 0, residual], around: RESIDUAL, epsilon: 1.0 }.variants()
}

/// Inputs: x, gain, dy, and another gradient of x.
fn norm_backward_add(steps: &[FusedStep]) -> Vec<Variant> {
    let Some(norm) = steps[0].op::<RmsNormBackward>() else { return Vec::new() };
    Variant::portable(norm.launches(steps[0].inputs[0], Some(Operand::In(3))))
}

/// Test cases: each sequence as on a tape, for few tokens and for many.
pub(crate) fn cases() -> Vec<Case> {
    let groups: [(usize, usize, &[usize]); 5] = [(1, 64, &[64, 32, 32]), (1, 1100, &[40, 40, 7]), (3, 33, &[5, 7, 9]), (8, 100, &[31, 2]), (5, 2050, &[70])];
    let pairs = [(1, 64, 64), (2, 100, 33), (8, 1030, 65), (1, 7, 3)];
    let residuals = [(1, 64, 64), (4, 129, 31), (8, 96, 130), (7, 1100, 66), (9, 33, 65), (65, 130, 70), (9, 4, 4), (130, 36, 132)];
    let mut cases = Vec::new();
    cases.extend(groups.map(|(tokens, width, outs)| normed_case("norm, linear", tokens, width, outs)));
    cases.extend(pairs.map(|(tokens, width, wide)| normed_case("norm, linear, swiglu", tokens, width, &[wide, wide]).then(Swiglu, &[StepOperand::Previous])));
    cases.extend(residuals.map(|(tokens, width, out)| residual_case(tokens, width, out)));
    cases.extend([(3, 7), (17, 100), (65, 257)].map(|(tokens, width)| gradients_case(tokens, width)));
    cases
}

fn normed_case(what: &str, tokens: usize, width: usize, outs: &[usize]) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (out, scales) = (members.rows(), Spec::f32(members.count(), width));
    Case::new(format!("{what}: {tokens} tokens, {width} → {outs:?}"), RmsNorm { epsilon: 1e-5 })
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::f32(1, width), Fill::Normal(1.1, 0.3))
        .input(Spec::signs(out, width), Fill::Signs)
        .input(scales, Fill::Normal(0.5, 0.2))
        .input(scales, Fill::Normal(0.05, 0.2))
        .then(FbiLinear { members }, &[StepOperand::Previous, StepOperand::Input(2), StepOperand::Input(3), StepOperand::Input(4)])
}

fn residual_case(tokens: usize, width: usize, out: usize) -> Case {
    let (members, scales) = (Members::new(&[out]).expect("one layer"), Spec::f32(1, width));
    Case::new(format!("linear, add: {tokens} tokens, {width} → {out}"), FbiLinear { members })
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::signs(out, width), Fill::Signs)
        .input(scales, Fill::Normal(0.5, 0.2))
        .input(scales, Fill::Normal(0.05, 0.2))
        .input(Spec::f32(tokens, out), Fill::Normal(-0.4, 1.0))
        .then(Add, &[StepOperand::Input(4), StepOperand::Previous])
}

fn gradients_case(tokens: usize, width: usize) -> Case {
    let spec = Spec::f32(tokens, width);
    Case::new(format!("norm's gradient, add: {tokens}×{width}"), RmsNormBackward { epsilon: 1e-5 })
        .input(spec, Fill::Normal(0.2, 1.0))
        .input(Spec::f32(1, width), Fill::Normal(1.1, 0.3))
        .input(spec, Fill::Normal(0.2, 1.0))
        .input(spec, Fill::Normal(-0.3, 1.0))
        .update(Spec::f32(1, width), Fill::Normal(0.5, 1.0))
        .then(Add, &[StepOperand::Input(3), StepOperand::Previous])
}
