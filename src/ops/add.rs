//! The sum of two tensors: the residual connection, and sums of gradients.

use super::{TASK, check_operands};
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};
use crate::params;
use crate::platform::parallel::*;

/// `(n, width) + (n, width) → (n, width)`.
#[derive(Clone, Debug)]
pub struct Add;

impl Op for Add {
    const NAME: &'static str = "add";

    fn key(&self) -> String {
        "Add".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32, Storage::F32], &[]).map_err(Self::shape_error)?;
        let [a, b] = [specs.inputs[0], specs.inputs[1]];
        if !a.same_shape(&b) {
            return Err(Self::shape_error(format!("{a} and {b} differ")));
        }
        Ok(vec![a])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let n = specs.inputs[0].elements();
        Variant::portable(vec![Launch {
            kernel: "add/forward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: params! { n: n },
            groups: grid(n.div_ceil(256)),
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (a, b) = (io.inputs[0].real(), io.inputs[1].real());
        let out = io.outputs[0].real();
        out.par_chunks_mut(TASK).zip(a.par_chunks(TASK)).zip(b.par_chunks(TASK)).for_each(|((out, a), b)| {
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = a + b;
            }
        });
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let upstream = tape.upstream(0);
        for n in 0..2 {
            if tape.needs_gradient(n) {
                tape.add_gradient(n, upstream);
            }
        }
        Rule::Done
    }
}

/// Test cases.
pub(crate) fn cases() -> Vec<Case> {
    let shapes = [(1, 1), (3, 5), (8, 31), (9, 100), (33, 257), (65, 513)];
    let case = |(rows, cols)| {
        let spec = Spec::f32(rows, cols);
        Case::new(format!("{rows}×{cols}"), Add).variable(spec, Fill::Normal(0.3, 1.0)).variable(spec, Fill::Normal(-0.7, 2.0))
    };
    shapes.into_iter().map(case).collect()
}
