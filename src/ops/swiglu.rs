//! SwiGLU: silu(gate) ⊙ up, with silu(x) = x / (1 + e⁻ˣ).

use super::{TASK, expect};
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid, vectorised};
use rayon::prelude::*;

/// `gate (tokens, ff)`, `up (tokens, ff)` → `(tokens, ff)`.
#[derive(Clone, Debug)]
pub struct Swiglu;

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    let one = T::from_f32(1.0);
    one / (one + (-x).exp())
}

fn same(specs: Specs<'_>, inputs: usize) -> Result<(), String> {
    expect(specs, &vec![Storage::F32; inputs], &[])?;
    if specs.inputs.iter().any(|spec| !spec.same_shape(&specs.inputs[0])) {
        return Err(format!("operands differ: {:?}", specs.inputs));
    }
    Ok(())
}

impl Op for Swiglu {
    const NAME: &'static str = "swiglu";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        same(specs, 2).map_err(Self::refuse)?;
        Ok(vec![specs.inputs[0]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let n = specs.inputs[0].elements();
        Variant::portable(vec![Launch {
            kernel: "swiglu/forward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: vec![n as u32],
            groups: grid(n.div_ceil(256)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (gate, up) = (io.inputs[0].real(), io.inputs[1].real());
        io.outputs[0].real().par_chunks_mut(TASK).zip(gate.par_chunks(TASK)).zip(up.par_chunks(TASK)).for_each(|((out, gate), up)| {
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

    fn backward(&self, tape: &mut Backward<'_>) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let (gate, up) = (tape.input(0), tape.input(1));
        let outputs = tape.push(SwigluBackward, &[gate, up, upstream], &[]);
        for n in 0..2 {
            if tape.wants(n) {
                tape.give(n, outputs.get(n).copied());
            }
        }
        Rule::Done
    }
}

/// `gate`, `up`, `dy`, all `(tokens, ff)` → `dgate`, `dup`.
#[derive(Clone, Debug)]
pub struct SwigluBackward;

impl Op for SwigluBackward {
    const NAME: &'static str = "swiglu";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        same(specs, 3).map_err(Self::refuse)?;
        Ok(vec![specs.inputs[0]; 2])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let n = specs.inputs[0].elements();
        Variant::portable(vec![Launch {
            kernel: "swiglu/backward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Out(0), Operand::Out(1)],
            params: vec![n as u32],
            groups: grid(n.div_ceil(256)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (gate, up, dy) = (io.inputs[0].real(), io.inputs[1].real(), io.inputs[2].real());
        let [d_gate, d_up] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let operands = gate.par_chunks(TASK).zip(up.par_chunks(TASK)).zip(dy.par_chunks(TASK));
        d_gate.real().par_chunks_mut(TASK).zip(d_up.real().par_chunks_mut(TASK)).zip(operands).for_each(|((d_gate, d_up), ((gate, up), dy))| {
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

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it is a gradient itself")
    }
}

/// What it is tried with: ordinary values, and gates at which e⁻ˣ over- or underflows.
pub(crate) fn cases() -> Vec<Case> {
    let case = |label: &str, rows: usize, cols: usize, gate: Fill| {
        let spec = Spec::f32(rows, cols);
        Case::new(format!("{rows}×{cols}{label}"), Swiglu).variable(spec, gate).variable(spec, Fill::Normal(-0.4, 1.0))
    };
    let shapes = [(1, 1), (3, 7), (8, 31), (17, 100), (65, 257)];
    let mut cases: Vec<Case> = shapes.into_iter().map(|(rows, cols)| case("", rows, cols, Fill::Normal(0.5, 2.0))).collect();
    cases.push(case(", large gates", 5, 33, Fill::Uniform(-30.0, 30.0)));
    cases.push(case(", huge gates", 4, 9, Fill::Floats(vec![-200.0, -89.0, 88.0, 100.0, 0.0, -0.0, 1e4, -1e4])));
    cases
}
