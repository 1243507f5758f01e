//! RMSNorm: y = g ⊙ x / √(mean(x²) + ε), and its gradient, which recomputes the norm.

use super::check_operands;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, dot, grid, key_float, vectorised};
use crate::params;
use crate::platform::parallel::*;

/// `x (tokens, width)`, `gain (1, width)` → `(tokens, width)`.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// ε, added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    fn check(specs: Specs<'_>, inputs: &[Storage], updates: &[Storage]) -> Result<(), ShapeError> {
        check_operands(specs, inputs, updates).map_err(Self::shape_error)?;
        if specs.inputs[1].elements() != specs.inputs[0].cols {
            return Err(Self::shape_error(format!("x {} and gain {} do not fit", specs.inputs[0], specs.inputs[1])));
        }
        Ok(())
    }

    /// Returns 1 / √(mean(x²) + ε).
    #[inline(always)]
    fn inverse<T: Real>(&self, x: &[T]) -> T {
        let squares = dot(x, x);
        T::from_f32(1.0) / (squares / T::from_f64(x.len() as f64) + T::from_f64(self.epsilon)).sqrt()
    }
}

impl Op for RmsNorm {
    const NAME: &'static str = "rms_norm";

    fn key(&self) -> String {
        format!("RmsNorm {{ epsilon: {} }}", key_float(self.epsilon))
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        Self::check(specs, &[Storage::F32, Storage::F32], &[])?;
        Ok(vec![specs.inputs[0]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let x = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "rms_norm/forward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: params! { rows: x.rows, width: x.cols, epsilon: self.epsilon, add: false },
            groups: grid(x.rows),
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let width = io.inputs[0].spec().cols;
        let (x, gain) = (io.inputs[0].real(), io.inputs[1].real());
        io.outputs[0].real().par_chunks_mut(width).zip(x.par_chunks(width)).for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    let inverse = self.inverse(x);
                    for ((y, &x), &gain) in y.iter_mut().zip(x).zip(gain) {
                        *y = x * inverse * gain;
                    }
                },
            );
        });
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let Some(gain) = tape.accumulator(1) else { return Rule::None("the gain is trained with the rest") };
        let (x, weight) = (tape.input(0), tape.input(1));
        let outputs = tape.push(RmsNormBackward { epsilon: self.epsilon }, &[x, weight, upstream], &[gain]);
        if tape.needs_gradient(0) {
            tape.add_gradient(0, outputs.first().copied());
        }
        Rule::Done
    }
}

/// `x (tokens, width)`, `gain (1, width)`, `dy (tokens, width)` → `dx (tokens, width)` and, as
/// scratch, the inverse norms `(tokens, 1)`; adds to the gain's gradient `(1, width)`.
/// With r the inverse norm: dx = r·(g⊙dy − x·r²·mean(x⊙g⊙dy)), dg = Σ_b dy⊙x·r.
#[derive(Clone, Debug)]
pub struct RmsNormBackward {
    /// ε, added to the mean square.
    pub epsilon: f64,
}

impl RmsNormBackward {
    /// Returns its dispatches, which can add `earlier`, another gradient of `x`, to dx.
    pub(crate) fn launches(&self, x: Spec, earlier: Option<Operand>) -> Vec<Launch> {
        let params = params! { rows: x.rows, width: x.cols, epsilon: self.epsilon, add: earlier.is_some() };
        let inputs = [0, 1, 2].map(Operand::In);
        // Without it, the binding needs some other tensor.
        let earlier = earlier.unwrap_or(Operand::In(2));
        vec![
            Launch {
                kernel: "rms_norm/input",
                operands: inputs.into_iter().chain([earlier, Operand::Out(0), Operand::Out(1)]).collect(),
                params: params.clone(),
                groups: grid(x.rows),
                operations: None,
            },
            Launch {
                kernel: "rms_norm/gain",
                operands: vec![Operand::In(0), Operand::In(2), Operand::Out(1), Operand::Up(0)],
                params,
                groups: grid(x.cols.div_ceil(16)),
                operations: None,
            },
        ]
    }
}

impl Op for RmsNormBackward {
    const NAME: &'static str = "rms_norm";

    fn key(&self) -> String {
        format!("RmsNormBackward {{ epsilon: {} }}", key_float(self.epsilon))
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        RmsNorm::check(specs, &[Storage::F32; 3], &[Storage::F32])?;
        Ok(vec![specs.inputs[0], Spec::f32(specs.inputs[0].rows, 1)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(self.launches(specs.inputs[0], None))
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let width = io.inputs[0].spec().cols;
        let (x, gain, dy) = (io.inputs[0].real(), io.inputs[1].real(), io.inputs[2].real());
        let norm = RmsNorm { epsilon: self.epsilon };
        let [dx, inverses] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let (dx, inverses) = (dx.real(), inverses.real());
        let rows = dx.par_chunks_mut(width).zip(&mut *inverses).zip(x.par_chunks(width)).zip(dy.par_chunks(width));
        rows.for_each(|(((dx, inverse), x), dy)| {
            vectorised(
                #[inline(always)]
                || {
                    let r = norm.inverse(x);
                    *inverse = r;
                    for ((dx, &g), &dy) in dx.iter_mut().zip(gain).zip(dy) {
                        *dx = g * dy;
                    }
                    let pull = r * r * dot(x, dx) / T::from_f64(width as f64);
                    for (dx, &x) in dx.iter_mut().zip(x) {
                        *dx = r * (*dx - x * pull);
                    }
                },
            );
        });
        let sums = io.updates[0].real();
        for ((x, dy), &r) in x.chunks(width).zip(dy.chunks(width)).zip(inverses.iter()) {
            for ((sum, &x), &dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += dy * x * r;
            }
        }
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}

/// Test cases.
pub(crate) fn cases() -> Vec<Case> {
    let case = |label: &str, rows: usize, cols: usize, x: Fill| {
        let norm = RmsNorm { epsilon: 1e-5 };
        Case::new(format!("{rows}×{cols}{label}"), norm).variable(Spec::f32(rows, cols), x).parameter(Spec::f32(1, cols), Fill::Normal(1.1, 0.3))
    };
    let shapes = [(1, 1), (2, 7), (3, 16), (7, 33), (8, 100), (9, 129), (17, 255), (33, 257), (65, 576), (64, 31), (2, 1030)];
    let mut cases: Vec<Case> = shapes.into_iter().map(|(rows, cols)| case("", rows, cols, Fill::Normal(0.2, 1.0))).collect();
    // ε dominates when a row is almost zero.
    cases.push(case(", almost zero", 3, 50, Fill::Normal(0.0, 1e-4)));
    cases.push(case(", zero", 2, 20, Fill::Floats(vec![0.0])));
    cases
}
