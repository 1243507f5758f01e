//! The control block, which the host writes before an optimizer step, and the norm block with its result.

use crate::graph::Real;

/// Words of the control block that the host writes before each optimizer step.
pub const CONTROL: usize = 16;
/// Words of the norm block that [`super::GradNorm`] writes: the norm, the factor that gradients are
/// multiplied by, 1 if the step is taken (else 0), and the bias corrections of both moments.
pub const NORM: usize = 8;

/// The control block of an optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control<T> {
    /// Learning rate.
    pub rate: T,
    /// β₁.
    pub beta1: T,
    /// β₂.
    pub beta2: T,
    /// ε, added to √v̂.
    pub epsilon: T,
    /// Weight decay.
    pub decay: T,
    /// 1 − β₁ᵗ, with t the steps taken, this one included: if the step before was skipped, and if it was
    /// taken. The device chooses, because the host may not have the report of that step yet.
    pub correction1: [T; 2],
    /// √(1 − β₂ᵗ), for the same two.
    pub correction2: [T; 2],
    /// Largest gradient norm; larger gradients are clipped to it.
    pub clip: T,
    /// 1 ÷ loss scale, a power of two.
    pub inverse_scale: T,
    /// Gradient norm above which the step is skipped.
    pub threshold: T,
    /// The step's number, the seed of stochastic rounding of moments in codes.
    pub step: T,
}

impl<T: Real> Control<T> {
    /// Reads the words of the block.
    pub fn read(words: &[T]) -> Self {
        let [rate, beta1, beta2, epsilon, decay, skipped1, skipped2, clip, inverse_scale, threshold, step, taken1, taken2] = std::array::from_fn(|n| words[n]);
        let (correction1, correction2) = ([skipped1, taken1], [skipped2, taken2]);
        Self { rate, beta1, beta2, epsilon, decay, correction1, correction2, clip, inverse_scale, threshold, step }
    }
}

impl Control<f32> {
    /// The words of the block.
    pub fn words(&self) -> [f32; CONTROL] {
        let mut words = [0.0; CONTROL];
        words[..13].copy_from_slice(&[
            self.rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.decay,
            self.correction1[0],
            self.correction2[0],
            self.clip,
            self.inverse_scale,
            self.threshold,
            self.step,
            self.correction1[1],
            self.correction2[1],
        ]);
        words
    }

    /// Returns the bias corrections after `taken` steps; `outstanding` is true if there is one more step
    /// without a report yet.
    pub fn corrections([beta1, beta2]: [f64; 2], taken: u64, outstanding: bool) -> ([f32; 2], [f32; 2]) {
        let at = |more: u64| {
            let t = (taken + 1 + more).min(1 << 30) as i32;
            ((1.0 - beta1.powi(t)) as f32, (1.0 - beta2.powi(t)).sqrt() as f32)
        };
        let (skipped, taken) = (at(0), at(u64::from(outstanding)));
        ([skipped.0, taken.0], [skipped.1, taken.1])
    }
}
