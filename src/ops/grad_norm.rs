//! The global gradient norm, from which the clipping factor follows and whether the step is taken. Two
//! kernels: squares of each range, then their sum.

use super::check_operands;
use super::control::{CONTROL, Control, NORM};
use crate::graph::{Backward, Case, CpuIo, Expect, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, dot, vectorised};
use crate::params;
use crate::platform::parallel::*;
use std::ops::Range;

/// Partial sums of a range.
pub const PARTIALS: usize = 256;

/// `gradients (1, n)`; replaces the update, [`PARTIALS`] partial sums of squares `(1, 256)`, or those of some of
/// the ranges, if the gradients are a part of a tensor.
#[derive(Clone, Debug)]
pub struct SumSquares {
    /// Elements in a range.
    length: usize,
    /// The ranges.
    ranges: Range<usize>,
}

impl SumSquares {
    /// Sums `elements` gradients in 256 ranges.
    pub fn new(elements: usize) -> Self {
        Self { length: elements.div_ceil(PARTIALS).max(1), ranges: 0..PARTIALS }
    }

    /// Splits the sum over `elements` gradients into parts of whole ranges, each of at most `max` gradients and beginning
    /// at a multiple of `align` of them, with the part's gradients. The sums are the same, since no range is split. Where
    /// such parts do not exist, they are larger than `max`.
    pub fn parts(elements: usize, max: usize, align: usize) -> Vec<(Self, Range<usize>)> {
        let whole = Self::new(elements);
        let aligned = (1..=align).find(|ranges| (ranges * whole.length).is_multiple_of(align)).unwrap_or(align);
        let ranges = (max / whole.length / aligned * aligned).max(aligned);
        if elements <= max || ranges >= PARTIALS {
            return vec![(whole, 0..elements)];
        }
        let used = elements.div_ceil(whole.length);
        let part = |first: usize| {
            let end = if first + ranges >= used { PARTIALS } else { first + ranges };
            let gradients = first * whole.length..elements.min(end * whole.length);
            (Self { ranges: first..end, ..whole.clone() }, gradients)
        };
        (0..used).step_by(ranges).map(part).collect()
    }
}

impl Op for SumSquares {
    const NAME: &'static str = "grad_norm";

    fn key(&self) -> String {
        if self.ranges == (0..PARTIALS) { "SumSquares".into() } else { format!("SumSquares {{ length: {}, ranges: {:?} }}", self.length, self.ranges) }
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32], &[Storage::F32]).map_err(Self::shape_error)?;
        if specs.updates[0].elements() != PARTIALS {
            return Err(Self::shape_error(format!("{PARTIALS} partial sums do not fit {}", specs.updates[0])));
        }
        if specs.inputs[0].elements() > self.ranges.len() * self.length {
            return Err(Self::shape_error(format!("{} in {} ranges of {} elements", specs.inputs[0], self.ranges.len(), self.length)));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(vec![Launch {
            kernel: "grad_norm/squares",
            operands: vec![Operand::In(0), Operand::Up(0)],
            params: params! { n: specs.inputs[0].elements(), length: self.length, first: self.ranges.start },
            groups: [self.ranges.len() as u32, 1, 1],
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let gradients = io.inputs[0].real();
        let chunk = self.length;
        io.updates[0].real()[self.ranges.clone()].par_iter_mut().enumerate().for_each(|(n, partial)| {
            let (first, end) = ((n * chunk).min(gradients.len()), ((n + 1) * chunk).min(gradients.len()));
            let part = &gradients[first..end];
            *partial = vectorised(
                #[inline(always)]
                || dot(part, part),
            );
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("the optimizer is not differentiated")
    }
}

/// `partials (ranges, 256)`, `control (1, 16)`; replaces the update `(1, 8)`, the norm block of the step
/// before: the norm (unscaled), the factor of the gradients, 1 if the step is taken and 0 otherwise, and
/// AdamW's bias corrections for the steps taken so far.
///
/// norm = √Σ ÷ scale; factor = min(1, clip ÷ (norm + 1e-6)) ÷ scale, as PyTorch clips; the step is
/// taken if the norm is finite and at most the guard's threshold.
#[derive(Clone, Debug)]
pub struct GradNorm;

impl Op for GradNorm {
    const NAME: &'static str = "grad_norm";

    fn key(&self) -> String {
        "GradNorm".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32, Storage::F32], &[Storage::F32]).map_err(Self::shape_error)?;
        if specs.inputs[0].cols != PARTIALS || specs.inputs[1].elements() != CONTROL || specs.updates[0].elements() != NORM {
            return Err(Self::shape_error(format!("operands {:?} {:?}", specs.inputs, specs.updates)));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(vec![Launch {
            kernel: "grad_norm/norm",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: params! { n: specs.inputs[0].elements() },
            groups: [1, 1, 1],
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let total = io.inputs[0].real().iter().fold(T::ZERO, |sum, &x| sum + x);
        let control = Control::read(io.inputs[1].real());
        let out = io.updates[0].real();
        let norm = total.sqrt() * control.inverse_scale;
        let one = T::from_f32(1.0);
        let clipped = control.clip / (norm + T::from_f64(1e-6));
        let factor = if clipped < one { clipped } else { one };
        let taken = norm.is_finite() && norm <= control.threshold;
        let before = usize::from(out[2] != T::ZERO);
        out[0] = norm;
        out[1] = factor * control.inverse_scale;
        out[2] = if taken { one } else { T::ZERO };
        out[3] = control.correction1[before];
        out[4] = control.correction2[before];
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("the optimizer is not differentiated")
    }
}

/// Test cases: ranges around the number of partial sums; norms below and above the clip, above the guard's
/// threshold, and not finite.
pub(crate) fn cases() -> Vec<Case> {
    let squares = [1, 7, 255, 256, 257, 1000, 5000, 70_001].map(|n| {
        let gradients = Spec::f32(1, n);
        Case::new(format!("squares of {n}"), SumSquares::new(n)).input(gradients, Fill::Normal(0.1, 1.0)).update(Spec::f32(1, PARTIALS), Fill::Normal(1.0, 1.0))
    });
    let after = |before: f32, label: &str, ranges: usize, partials: Fill, clip: f32, threshold: f32, expect: Expect| {
        let control = Control {
            rate: 1e-3,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            decay: 0.1,
            correction1: [0.1, 0.19],
            correction2: [0.22, 0.31],
            clip,
            inverse_scale: 1.0 / 1024.0,
            threshold,
            step: 1.0,
        };
        Case::new(format!("norm of {ranges} ranges, {label}"), GradNorm)
            .input(Spec::f32(ranges, PARTIALS), partials)
            .input(Spec::f32(1, CONTROL), Fill::Floats(control.words().to_vec()))
            .update_to(Spec::f32(1, NORM), Fill::Floats(vec![3.0, 0.5, before, 0.7, 0.8, 0.9, 1.1, 1.2]), expect)
    };
    let norm = |label: &str, ranges, partials, clip, threshold, expect| after(1.0, label, ranges, partials, clip, threshold, expect);
    let positive = || Fill::Uniform(0.0, 1e6);
    let mut cases = squares.to_vec();
    for (part, gradients) in SumSquares::parts(5000, 1999, 4) {
        let spec = Spec::f32(1, gradients.len());
        let case = Case::new(format!("squares of {gradients:?} of 5000"), part).input(spec, Fill::Normal(0.1, 1.0));
        cases.push(case.update(Spec::f32(1, PARTIALS), Fill::Normal(1.0, 1.0)));
    }
    let huge = Case::new("squares of 300, beyond f32", SumSquares::new(300)).input(Spec::f32(1, 300), Fill::Uniform(1e25, 1e30));
    cases.push(huge.update(Spec::f32(1, PARTIALS), Fill::Normal(1.0, 1.0)));
    cases.extend([
        norm("not clipped", 1, positive(), 1e3, 1e6, Expect::Reference),
        norm("clipped", 3, positive(), 1.0, 1e6, Expect::Reference),
        norm("over the threshold", 33, positive(), 1.0, 1e-3, Expect::Reference),
        norm("no threshold", 5, positive(), 1.0, f32::MAX, Expect::Reference),
        norm("zero", 2, Fill::Floats(vec![0.0]), 1.0, 1e6, Expect::Reference),
        norm("infinite", 2, Fill::Floats(vec![1.0, f32::INFINITY, 2.0]), 1.0, f32::MAX, Expect::Element(2)),
        after(0.0, "after a step that was not taken", 3, positive(), 1.0, 1e6, Expect::Reference),
        norm("not a number", 2, Fill::Floats(vec![1.0, 2.0, f32::NAN]), 1.0, f32::MAX, Expect::Element(2)),
    ]);
    cases
}
