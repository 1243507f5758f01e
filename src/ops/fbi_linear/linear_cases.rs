//! Test cases of binarized linear layers.

use super::{FbiLinear, FbiLinearInput, FbiLinearWeight, Members};
use crate::graph::{Case, Fill, LINEAR_SIZES, Spec};
use std::sync::Arc;

/// Test cases: packed layers, layers in training, and groups of two and three.
pub(crate) fn cases() -> Vec<Case> {
    let sizes = [
        (65, 65, 33),
        // Multiples of four: a single quad, and tiles of 128 with their edges.
        (9, 4, 4),
        (64, 132, 20),
        (129, 36, 132),
        (193, 68, 40),
    ];
    let groups: [(usize, usize, &[usize]); 13] = [
        (1, 64, &[64, 32, 32]),
        (1, 1100, &[40, 40]),
        (2, 2113, &[32, 33]),
        (3, 33, &[5, 7, 9]),
        (8, 100, &[31, 2]),
        (9, 40, &[64, 32, 32]),
        (20, 65, &[3, 1, 70]),
        (66, 130, &[65, 66]),
        (130, 70, &[33, 31, 64]),
        (64, 64, &[1, 1, 1]),
        (65, 132, &[68, 72]),
        (130, 20, &[4, 100, 36]),
        (257, 12, &[4, 4, 4]),
    ];
    let single = LINEAR_SIZES.into_iter().chain(sizes).map(|(tokens, width, outs)| (tokens, width, vec![outs]));
    let groups = groups.into_iter().map(|(tokens, width, outs)| (tokens, width, outs.to_vec()));
    let fitting = single.chain(groups).flat_map(|(tokens, width, outs)| [packed_case(tokens, width, &outs), training_case(tokens, width, &outs)]);
    let inputs: [(usize, usize, &[usize]); 3] = [(9, 33, &[65]), (130, 70, &[33, 31, 64]), (200, 132, &[68, 72])];
    let fitting = fitting.chain(inputs.map(|(tokens, width, outs)| input_case(tokens, width, outs)));
    let blocks: [(usize, usize, &[usize], usize, usize); 4] =
        [(9, 40, &[64, 32, 32], 0, 64), (70, 33, &[65, 66], 64, 67), (130, 20, &[4, 100, 36], 128, 12), (66, 132, &[300], 64, 192)];
    let fitting = fitting.chain(blocks.map(|(tokens, width, outs, first, rows)| block_case(tokens, width, outs, first, rows)));
    let fitting = fitting.chain([(3, 40, 33), (9, 65, 70), (70, 40, 12)].map(|(tokens, width, out)| beyond_case(tokens, width, out)));
    // The largest α of each layer, in an order of magnitude that f16 has not.
    let scales = [(9, 36, [1e6, 3e-9]), (40, 100, [2e-7, 0.5]), (20, 68, [1e-30, 1e25])];
    fitting.chain(scales.map(|(tokens, width, alphas)| scaled_case(tokens, width, alphas))).collect()
}

/// Two layers with these α, which are beyond f16's range or precision.
fn scaled_case(tokens: usize, width: usize, alphas: [f32; 2]) -> Case {
    let mut case = packed_case(tokens, width, &[20, 44]);
    case.label += &format!(", α of {alphas:?}");
    let alphas = alphas.into_iter().flat_map(|alpha| (0..width).map(move |i| alpha * (1.0 - i as f32 / (2 * width) as f32)));
    case.inputs[2].fill = Fill::Floats(alphas.collect());
    case.inputs[3].fill = Fill::Normal(0.0, 1e-9);
    case
}

/// Activations beyond f16's range: a variant with f16 factors must not return finite, wrong results.
fn beyond_case(tokens: usize, width: usize, out: usize) -> Case {
    let mut case = packed_case(tokens, width, &[out]);
    case.label += ", beyond f16";
    case.inputs[0].fill = Fill::beyond_f16();
    case
}

fn packed_case(tokens: usize, width: usize, outs: &[usize]) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (out, scales) = (members.rows(), Spec::f32(members.count(), width));
    Case::new(format!("{tokens} tokens, {width} → {outs:?}"), FbiLinear { members })
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::signs(out, width), Fill::Signs)
        .input(scales, Fill::Normal(0.5, 0.2))
        .input(scales, Fill::Normal(0.05, 0.2))
}

/// The gradient of x and the partial sums of dα and dβ over 64 tokens, by which tuning verifies variants.
fn input_case(tokens: usize, width: usize, outs: &[usize]) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (out, scales) = (members.rows(), Spec::f32(members.count(), width));
    Case::new(format!("{tokens} tokens, {width} → {outs:?}, gradient of x"), FbiLinearInput { members })
        .input(Spec::f32(tokens, out), Fill::Normal(0.2, 1.0))
        .input(Spec::signs(width, out), Fill::Signs)
        .input(scales, Fill::Normal(0.5, 0.2))
        .input(scales, Fill::Normal(0.05, 0.2))
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .update(scales, Fill::Normal(0.7, 1.0))
        .update(scales, Fill::Normal(0.7, 1.0))
}

/// The gradient of a block of rows of the latent weight.
fn block_case(tokens: usize, width: usize, outs: &[usize], first: usize, rows: usize) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (out, scales) = (members.rows(), Spec::f32(members.count(), width));
    Case::new(format!("{tokens} tokens, {width} → {outs:?}, gradient of {rows} rows from {first} on"), FbiLinearWeight { members, first })
        .input(Spec::f32(tokens, out), Fill::Normal(0.2, 1.0))
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(scales, Fill::Normal(0.5, 0.2))
        .update(Spec::f32(rows, width), Fill::Normal(0.7, 1.0))
}

fn training_case(tokens: usize, width: usize, outs: &[usize]) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (out, scales) = (members.rows(), Spec::f32(members.count(), width));
    let surrogate = members.clone();
    Case::new(format!("{tokens} tokens, {width} → {outs:?}, in training"), FbiLinear { members })
        .variable(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::signs(out, width), Fill::SignsOf(5))
        .parameter(scales, Fill::Normal(0.5, 0.2))
        .parameter(scales, Fill::Normal(0.05, 0.2))
        .input(Spec::signs(width, out), Fill::TransposeOf(1))
        .straight(Spec::f32(out, width), Fill::Latent, Arc::new(move |inputs, specs| straight_through(&surrogate, inputs, specs)))
}

/// The forward pass of the straight-through estimator: the latent weight in place of its sign.
fn straight_through(members: &Members, inputs: &[Vec<f64>], specs: &[Spec]) -> Vec<f64> {
    let (x, alpha, beta, latent) = (&inputs[0], &inputs[2], &inputs[3], &inputs[5]);
    let width = specs[0].cols;
    let layer: Vec<usize> = members.ranges().enumerate().flat_map(|(n, rows)| rows.map(move |_| n)).collect();
    let weight = |o: usize, i: usize| alpha[layer[o] * width + i] * latent[o * width + i] + beta[layer[o] * width + i];
    let product = |x: &[f64], o: usize| x.iter().enumerate().map(|(i, x)| x * weight(o, i)).sum::<f64>();
    x.chunks(width).flat_map(|x| (0..specs[5].rows).map(|o| product(x, o)).collect::<Vec<_>>()).collect()
}
