//! SwiGLU: silu(gate) ⊙ up, with silu(x) = x / (1 + e⁻ˣ).

use super::check_operands;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid, vectorised};
use crate::params;
use crate::platform::parallel::*;

/// `x (tokens, 2·ff)`, gate and up side by side → `(tokens, ff)`.
#[derive(Clone, Debug)]
pub struct Swiglu;

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    let one = T::from_f32(1.0);
    one / (one + (-x).exp())
}

/// Returns half the columns of the first input.
fn half(specs: Specs<'_>, inputs: usize) -> Result<usize, String> {
    check_operands(specs, &vec![Storage::F32; inputs], &[])?;
    match specs.inputs[0].cols {
        cols if cols.is_multiple_of(2) => Ok(cols / 2),
        _ => Err(format!("{} has no two halves", specs.inputs[0])),
    }
}

impl Op for Swiglu {
    const NAME: &'static str = "swiglu";

    fn key(&self) -> String {
        "Swiglu".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        let wide = half(specs, 1).map_err(Self::shape_error)?;
        Ok(vec![Spec::f32(specs.inputs[0].rows, wide)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let Spec { rows, cols, .. } = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "swiglu/forward",
            operands: vec![Operand::In(0), Operand::Out(0)],
            params: params! { rows: rows, wide: cols / 2 },
            groups: grid((rows * cols / 2).div_ceil(256)),
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let wide = io.inputs[0].spec().cols / 2;
        io.outputs[0].real().par_chunks_mut(wide).zip(io.inputs[0].real().par_chunks(2 * wide)).for_each(|(out, x)| {
            let (gate, up) = x.split_at(wide);
            vectorised(
                #[inline(always)]
                || {
                    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gate * sigmoid(gate) * up;
                    }
                },
            );
        });
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let x = tape.input(0);
        let dx = tape.push(SwigluBackward, &[x, upstream], &[]);
        tape.add_gradient(0, dx.first().copied());
        Rule::Done
    }
}

/// `x (tokens, 2·ff)`, `dy (tokens, ff)` → `dx (tokens, 2·ff)`.
#[derive(Clone, Debug)]
pub struct SwigluBackward;

impl Op for SwigluBackward {
    const NAME: &'static str = "swiglu";

    fn key(&self) -> String {
        "SwigluBackward".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        let wide = half(specs, 2).map_err(Self::shape_error)?;
        if !specs.inputs[1].same_shape(&Spec::f32(specs.inputs[0].rows, wide)) {
            return Err(Self::shape_error(format!("x {} and dy {} do not fit", specs.inputs[0], specs.inputs[1])));
        }
        Ok(vec![specs.inputs[0]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let Spec { rows, cols, .. } = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "swiglu/backward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: params! { rows: rows, wide: cols / 2 },
            groups: grid((rows * cols / 2).div_ceil(256)),
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let wide = io.inputs[1].spec().cols;
        let rows = io.inputs[0].real().par_chunks(2 * wide).zip(io.inputs[1].real().par_chunks(wide));
        io.outputs[0].real().par_chunks_mut(2 * wide).zip(rows).for_each(|(dx, (x, dy))| {
            let ((d_gate, d_up), (gate, up)) = (dx.split_at_mut(wide), x.split_at(wide));
            vectorised(
                #[inline(always)]
                || {
                    let one = T::from_f32(1.0);
                    for ((dg, du), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(gate.iter().zip(up).zip(dy)) {
                        let s = sigmoid(gate);
                        *dg = dy * up * s * (one + gate * (one - s));
                        *du = dy * gate * s;
                    }
                },
            );
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}

/// Test cases: ordinary values, and gates for which e⁻ˣ over- or underflows.
pub(crate) fn cases() -> Vec<Case> {
    let case = |label: &str, rows: usize, wide: usize, x: Fill| Case::new(format!("{rows}×{wide}{label}"), Swiglu).variable(Spec::f32(rows, 2 * wide), x);
    let shapes = [(1, 1), (3, 7), (8, 31), (17, 100), (65, 257)];
    let mut cases: Vec<Case> = shapes.into_iter().map(|(rows, wide)| case("", rows, wide, Fill::Normal(0.5, 2.0))).collect();
    cases.push(case(", large gates", 5, 33, Fill::Uniform(-30.0, 30.0)));
    cases.push(case(", huge gates", 4, 9, Fill::Floats(vec![-200.0, -89.0, 88.0, 100.0, 0.0, -0.0, 1e4, -1e4, 1.5])));
    cases
}
