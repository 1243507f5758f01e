//! The results of a trial to compare, and the error relative to its bound.

use crate::graph::{Expect, Spec, TensorId};

/// A result to compare.
pub(super) struct ExpectedResult {
    pub(super) what: String,
    pub(super) location: ResultLocation,
    pub(super) spec: Spec,
    /// The input of which it is the gradient.
    pub(super) input: Option<usize>,
    pub(super) expect: Expect,
}

/// The location of a result.
#[derive(Clone, Copy)]
pub(super) enum ResultLocation {
    /// A persistent operand, by index.
    Memory(usize),
    /// A tensor of the tape.
    Tensor(TensorId),
}

/// Returns the error relative to the bound; infinite if it is NaN.
pub(super) fn error_ratio(error: f64, allowed: f64) -> f64 {
    match error / allowed {
        _ if error == 0.0 => 0.0,
        share if share.is_nan() => f64::INFINITY,
        share => share,
    }
}
