//! The blocks through which the host steers an optimizer step, and learns what came of it.

use crate::graph::Real;

/// Words of the control block that the host writes before each optimizer step.
pub const CONTROL: usize = 16;
/// Words of the norm block that [`super::GradNorm`] writes.
pub const NORM: usize = 4;

/// The control block: what an optimizer step is told by the host.
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
    /// 1 − β₁ᵗ.
    pub correction1: T,
    /// √(1 − β₂ᵗ).
    pub correction2: T,
    /// Largest norm; larger gradients are scaled down to it.
    pub clip: T,
    /// 1 ÷ loss scale, a power of two.
    pub inverse_scale: T,
    /// Norm above which the step is not taken.
    pub threshold: T,
    /// The step's number, by whose chance moments in codes are rounded.
    pub step: T,
}

impl<T: Real> Control<T> {
    /// From the words of the block.
    pub fn read(words: &[T]) -> Self {
        let [rate, beta1, beta2, epsilon, decay, correction1, correction2, clip, inverse_scale, threshold, step] = std::array::from_fn(|n| words[n]);
        Self { rate, beta1, beta2, epsilon, decay, correction1, correction2, clip, inverse_scale, threshold, step }
    }
}

impl Control<f32> {
    /// The words of the block.
    pub fn words(&self) -> [f32; CONTROL] {
        let mut words = [0.0; CONTROL];
        words[..11].copy_from_slice(&[
            self.rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.decay,
            self.correction1,
            self.correction2,
            self.clip,
            self.inverse_scale,
            self.threshold,
            self.step,
        ]);
        words
    }
}
