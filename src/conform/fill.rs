//! Random contents of operands.

use crate::graph::{Case, Fill, Spec, pack};
use crate::ops::{pack_signs, transpose_signs};

/// A random generator (SplitMix64). Its stream depends on seed and purpose, so that a filter does not change the operands of
/// a case.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64, purpose: &[&str]) -> Self {
        let bytes = purpose.iter().flat_map(|part| part.bytes().chain([0]));
        Self(bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u32
    }

    /// A uniform number in (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) * 2f64.powi(-53)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The contents of a case's operands, as words.
#[derive(Clone)]
pub(super) struct OperandContents {
    pub(super) inputs: Vec<Vec<u32>>,
    pub(super) updates: Vec<Vec<u32>>,
}

impl OperandContents {
    pub(super) fn draw(case: &Case, random: &mut Random) -> Self {
        let inputs: Vec<_> = case.inputs.iter().map(|input| (input.spec, &input.fill)).collect();
        let updates: Vec<_> = case.updates.iter().map(|update| (update.spec, &update.fill)).collect();
        Self { inputs: draw_all(&inputs, random), updates: draw_all(&updates, random) }
    }
}

/// Draws inputs or updates; those derived from others are computed last.
fn draw_all(operands: &[(Spec, &Fill)], random: &mut Random) -> Vec<Vec<u32>> {
    let mut contents: Vec<Vec<u32>> = operands.iter().map(|(spec, fill)| draw(*spec, fill, random)).collect();
    for (n, (spec, fill)) in operands.iter().enumerate() {
        if let Fill::SignsOf(other) = fill {
            contents[n] = signs_of(&contents[*other], *spec);
        }
    }
    for (n, (_, fill)) in operands.iter().enumerate() {
        if let Fill::TransposeOf(other) = fill {
            contents[n] = transpose_of(&contents[*other], operands[*other].0);
        }
    }
    contents
}

/// Draws the words of an operand; empty if it is derived from another.
pub(super) fn draw(spec: Spec, fill: &Fill, random: &mut Random) -> Vec<u32> {
    let n = spec.elements();
    match fill {
        Fill::Normal(mean, deviation) => floats(spec, (0..n).map(|_| (f64::from(*mean) + f64::from(*deviation) * random.normal()) as f32)),
        Fill::Uniform(low, high) => floats(spec, (0..n).map(|_| low + (high - low) * random.unit() as f32)),
        Fill::Latent => floats(spec, (0..n).map(|_| latent(random))),
        Fill::Below(end) => (0..n).map(|_| random.below(*end)).collect(),
        Fill::Signs => {
            let values: Vec<f32> = (0..n).map(|_| random.normal() as f32).collect();
            signs_of(bytemuck::cast_slice(&values), spec)
        }
        Fill::SignsOf(_) | Fill::TransposeOf(_) => Vec::new(),
        Fill::Floats(values) => floats(spec, values.iter().copied().cycle().take(n)),
        Fill::Words(words) => words.iter().copied().cycle().take(spec.words()).collect(),
    }
}

/// Draws a latent weight: one in eight is a zero of either sign, or subnormal.
fn latent(random: &mut Random) -> f32 {
    match random.below(32) {
        0 => 0.0,
        1 => -0.0,
        2 => 1e-40,
        3 => -1e-40,
        _ => (0.002 + 0.02 * random.normal()) as f32,
    }
}

/// Packs floats in the storage of `spec`.
fn floats(spec: Spec, values: impl Iterator<Item = f32>) -> Vec<u32> {
    pack(spec, &values.collect::<Vec<_>>())
}

/// The packed signs of floats of shape `spec`.
pub(super) fn signs_of(latent: &[u32], spec: Spec) -> Vec<u32> {
    let mut signs = vec![0; Spec::signs(spec.rows, spec.cols).words()];
    pack_signs::<f32>(bytemuck::cast_slice(latent), spec.cols, &mut signs);
    signs
}

/// The transpose of packed signs of shape `spec`.
pub(super) fn transpose_of(signs: &[u32], spec: Spec) -> Vec<u32> {
    let mut out = vec![0; Spec::signs(spec.cols, spec.rows).words()];
    transpose_signs(signs, spec.rows, spec.cols, &mut out);
    out
}
