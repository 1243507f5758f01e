//! The results of a case: their places, and how far off they may be.

use crate::graph::{Expect, Spec, TensorId};

/// A result.
pub(super) struct ExpectedResult {
    pub(super) what: String,
    pub(super) place: ResultLocation,
    pub(super) spec: Spec,
    /// The input whose gradient it is.
    pub(super) input: Option<usize>,
    pub(super) expect: Expect,
}

/// The place of a result.
#[derive(Clone, Copy)]
pub(super) enum ResultLocation {
    /// In this lasting operand.
    Memory(usize),
    /// In this tensor.
    Tensor(TensorId),
}

/// An error as a share of what is allowed; without end if either is not a number.
pub(super) fn error_ratio(error: f64, allowed: f64) -> f64 {
    match error / allowed {
        _ if error == 0.0 => 0.0,
        share if share.is_nan() => f64::INFINITY,
        share => share,
    }
}
