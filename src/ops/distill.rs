//! The loss: softmax cross-entropy of the student's logits against the teacher's distribution
//! (autoregressive distillation), against token ids, or a mix of both, and its gradient in place.

use super::{bits, expect};
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, dot, grid, sum, vectorised};
use rayon::prelude::*;

/// Terms a row of logits is reported in: cross-entropy against the teacher, cross-entropy against
/// the token, KL divergence from the teacher, and (reserved) 0.
pub const TERMS: usize = 4;

/// What is minimised: `(1 − next_token) · τ²·CE(teacher, student) + next_token · CE(token, student)`,
/// the first with both logits divided by the temperature τ. τ² keeps the gradient's size (Hinton
/// et al., arXiv 1503.02531); the paper has τ = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Share of next-token cross-entropy: 0 for `ad`, 1 for `ar`, ½ for `mix`.
    pub next_token: f64,
    /// τ of the distillation.
    pub temperature: f64,
}

/// Inputs: `tokens (rows, 1)`, `weights (rows, 1)`, `scale (1, 1)`, and unless `next_token` is all,
/// the teacher's logits `(rows, vocabulary)`. Update: the student's logits, which become
/// `scale · weight · d loss / d logits` if `gradient`. Output: the [`TERMS`] of each row.
#[derive(Clone, Debug)]
pub struct Distill {
    /// What is minimised.
    pub objective: Objective,
    /// Whether logits become their gradient; they are left alone otherwise.
    pub gradient: bool,
}

impl Op for Distill {
    const NAME: &'static str = "distill";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        let inputs: &[Storage] = if specs.inputs.len() == 4 { &[U32, F32, F32, F32] } else { &[U32, F32, F32] };
        expect(specs, inputs, &[F32]).map_err(Self::refuse)?;
        let logits = specs.updates[0];
        if specs.inputs[0].rows != logits.rows || specs.inputs[1].rows != logits.rows {
            return Err(Self::refuse(format!("{} tokens for logits {logits}", specs.inputs[0].rows)));
        }
        match specs.inputs.get(3) {
            Some(teacher) if !teacher.same_shape(&logits) => Err(Self::refuse(format!("teacher's logits {teacher}, student's {logits}"))),
            None if self.objective.next_token < 1.0 => Err(Self::refuse("distillation needs a teacher")),
            _ => Ok(vec![Spec::f32(logits.rows, TERMS)]),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let logits = specs.updates[0];
        let taught = specs.inputs.len() == 4;
        let mut operands = vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Up(0), Operand::Out(0)];
        if taught {
            operands.push(Operand::In(3));
        }
        Variant::portable(vec![Launch {
            kernel: if taught { "distill/taught" } else { "distill/untaught" },
            operands,
            params: vec![logits.rows as u32, logits.cols as u32, u32::from(self.gradient), bits(self.objective.next_token), bits(self.objective.temperature)],
            groups: grid(logits.rows),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (tokens, weights, scale) = (io.inputs[0].words(), io.inputs[1].real(), io.inputs[2].real()[0]);
        let teacher = io.inputs.get(3).map(|view| view.real());
        let vocabulary = io.updates[0].spec().cols;
        let rows = io.updates[0].real().par_chunks_mut(vocabulary).zip(io.outputs[0].real().par_chunks_mut(TERMS)).enumerate();
        rows.for_each(|(row, (logits, terms))| {
            let teacher = teacher.map(|teacher| &teacher[row * vocabulary..(row + 1) * vocabulary]);
            self.row(logits, teacher, tokens[row] as usize, scale * weights[row], terms);
        });
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it gives the gradient of the logits itself")
    }
}

impl Distill {
    fn row<T: Real>(&self, logits: &mut [T], teacher: Option<&[T]>, token: usize, factor: T, terms: &mut [T]) {
        let Objective { next_token, temperature } = self.objective;
        let token = if token < logits.len() { token } else { 0 };
        let n = logits.len();
        T::with_scratch(3 * n, |scratch| {
            let (plain, rest) = scratch.split_at_mut(n);
            let (student, taught) = rest.split_at_mut(n);
            let lse = vectorised(
                #[inline(always)]
                || softmax(logits, T::from_f32(1.0), plain),
            );
            terms.copy_from_slice(&[T::ZERO, lse - logits[token], T::ZERO, T::ZERO]);
            if let Some(teacher) = teacher {
                let (inverse, square) = (T::from_f64(1.0 / temperature), T::from_f64(temperature * temperature));
                vectorised(
                    #[inline(always)]
                    || {
                        let (lse_s, lse_t) = (softmax(logits, inverse, student), softmax(teacher, inverse, taught));
                        // CE = lse_s − Σ p_t·s/τ; the entropy of p_t is lse_t − Σ p_t·t/τ.
                        let cross = lse_s - dot(taught, logits) * inverse;
                        let entropy = lse_t - dot(taught, teacher) * inverse;
                        terms[0] = square * cross;
                        terms[2] = square * (cross - entropy);
                    },
                );
            }
            if !self.gradient {
                return;
            }
            let hard = factor * T::from_f64(next_token);
            vectorised(
                #[inline(always)]
                || {
                    for (d, &p) in logits.iter_mut().zip(&*plain) {
                        *d = hard * p;
                    }
                    if teacher.is_some() {
                        let soft = factor * T::from_f64((1.0 - next_token) * temperature);
                        for (d, (&s, &t)) in logits.iter_mut().zip(student.iter().zip(&*taught)) {
                            *d += soft * (s - t);
                        }
                    }
                },
            );
            logits[token] += -hard;
        });
    }
}

/// softmax(scale · logits) into `out`; gives the log-sum-exp.
#[inline(always)]
fn softmax<T: Real>(logits: &[T], scale: T, out: &mut [T]) -> T {
    let top = logits[1..].iter().fold(logits[0], |top, &x| top.max(x)) * scale;
    for (p, &x) in out.iter_mut().zip(logits) {
        *p = (x * scale - top).exp();
    }
    let total = sum(out);
    let inverse = T::from_f32(1.0) / total;
    for p in out.iter_mut() {
        *p = *p * inverse;
    }
    top + total.ln()
}

/// `terms (rows, 4)`, `weights (rows, 1)`: adds Σ_rows weight·terms to the update `(1, 4)`.
#[derive(Clone, Debug)]
pub struct LossSum;

impl Op for LossSum {
    const NAME: &'static str = "distill";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        expect(specs, &[Storage::F32, Storage::F32], &[Storage::F32]).map_err(Self::refuse)?;
        if specs.inputs[0].cols != TERMS || specs.updates[0].elements() != TERMS || specs.inputs[0].rows != specs.inputs[1].rows {
            return Err(Self::refuse(format!("terms {}, weights {}, sum {}", specs.inputs[0], specs.inputs[1], specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(vec![Launch {
            kernel: "distill/sum",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: vec![specs.inputs[0].rows as u32],
            groups: [1, 1, 1],
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (terms, weights) = (io.inputs[0].real(), io.inputs[1].real());
        let mut sums = [T::ZERO; TERMS];
        for (terms, &weight) in terms.chunks(TERMS).zip(weights) {
            for (sum, &term) in sums.iter_mut().zip(terms) {
                *sum += weight * term;
            }
        }
        for (total, sum) in io.updates[0].real().iter_mut().zip(sums) {
            *total += sum;
        }
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("losses are differentiated where they are computed")
    }
}

/// What it is tried with: every objective, weights of zero, ids out of range, a loss scale.
pub(crate) fn cases() -> Vec<Case> {
    let objective = |next_token, temperature| Objective { next_token, temperature };
    let mut cases = Vec::new();
    for (rows, vocabulary) in [(1, 1), (2, 3), (3, 33), (5, 257), (8, 100), (9, 1000), (33, 65)] {
        for objective in [objective(0.0, 1.0), objective(1.0, 1.0), objective(0.5, 1.0), objective(0.0, 2.0), objective(0.25, 0.5)] {
            cases.push(case(rows, vocabulary, objective, true, 1.5));
        }
        cases.push(case(rows, vocabulary, objective(0.5, 1.0), false, 1.5));
    }
    // Logits far apart: most probabilities vanish.
    cases.push(case(4, 50, objective(0.5, 1.0), true, 40.0));
    cases.extend([1, 7, 300].map(|rows| {
        let case = Case::new(format!("sum of {rows} rows"), LossSum).input(Spec::f32(rows, TERMS), Fill::Normal(2.0, 1.0));
        case.input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.0, 0.5])).update(Spec::f32(1, TERMS), Fill::Normal(5.0, 1.0))
    }));
    cases
}

fn case(rows: usize, vocabulary: usize, objective: Objective, gradient: bool, deviation: f32) -> Case {
    let Objective { next_token, temperature } = objective;
    let label = format!("{rows}×{vocabulary}, next {next_token}, τ {temperature}{}, ±{deviation}", if gradient { "" } else { ", no gradient" });
    let logits = Spec::f32(rows, vocabulary);
    let case = Case::new(label, Distill { objective, gradient })
        .input(Spec::u32(rows, 1), Fill::Below(vocabulary as u32 + 1))
        .input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.5, 0.0, 2.0]))
        .input(Spec::f32(1, 1), Fill::Floats(vec![1024.0]));
    let case = if next_token < 1.0 { case.input(logits, Fill::Normal(-0.3, deviation)) } else { case };
    let case = case.update(logits, Fill::Normal(0.4, deviation));
    if !gradient {
        return case;
    }
    case.in_place(move |inputs, outputs| {
        let rows = outputs[0].chunks(TERMS).zip(&inputs[1]);
        rows.map(|(terms, weight)| inputs[2][0] * weight * ((1.0 - next_token) * terms[0] + next_token * terms[1])).sum()
    })
}
