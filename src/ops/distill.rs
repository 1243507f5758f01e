//! The loss and its gradient in place: a divergence between the distributions of teacher and student
//! (autoregressive distillation), the next token's cross-entropy, or a mix. The teacher has its full
//! distribution, or its top-k tokens and one bucket for the others.

mod distill_cases;
mod divergence;
mod term;
mod top;

pub(crate) use distill_cases::cases;
pub use divergence::{DIVERGENCE_CHOICES, DIVERGENCE_HELP, Divergence, DivergenceInfo};
pub use term::{TERMS, Term};
pub use top::{DistillTop, MAX_TOP_K};

use super::check_operands;
use crate::graph::{
    Backward, CpuIo, Launch, Op, Operand, Params, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, dot, grid, key_float, sum, vectorised,
};
use crate::params;
use crate::platform::parallel::*;
use divergence::FullRow;

/// The training objective: `(1 − next_token) · τ²·D(teacher, student) + next_token · CE(token, student)`,
/// D with both logits divided by the temperature τ. τ² keeps the scale of the gradient (Hinton et al.,
/// arXiv 1503.02531); the paper has τ = 1 and the forward KL divergence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Weight of next-token cross-entropy: 0 for `ad`, 1 for `ar`, ½ for `mix`.
    pub next_token: f64,
    /// The divergence D.
    pub divergence: Divergence,
    /// The temperature τ.
    pub temperature: f64,
}

impl Objective {
    /// Distillation as in the paper.
    pub const AD: Self = Self { next_token: 0.0, divergence: Divergence::Forward, temperature: 1.0 };
    /// Next-token cross-entropy only.
    pub const AR: Self = Self { next_token: 1.0, ..Self::AD };
    /// Half of both.
    pub const MIX: Self = Self { next_token: 0.5, ..Self::AD };

    /// Returns it as part of [`Op::key`].
    fn key(&self) -> String {
        let divergence = self.divergence.info().key;
        let (next_token, temperature) = (key_float(self.next_token), key_float(self.temperature));
        format!("Objective {{ next_token: {next_token}, divergence: {divergence}, temperature: {temperature} }}")
    }

    /// Returns the loss of a row, or of a mean over rows, from its terms.
    pub fn loss(&self, terms: &[f64]) -> f64 {
        let hard = self.next_token;
        let soft = terms[self.divergence.minimised_term().index()];
        // A term with weight 0 may be unknown or infinite.
        (if hard < 1.0 { (1.0 - hard) * soft } else { 0.0 }) + if hard > 0.0 { hard * terms[Term::Ar.index()] } else { 0.0 }
    }
}

/// Inputs: `tokens (rows, 1)`, `weights (rows, 1)`, `scale (1, 1)`, and unless `next_token` is 1,
/// the teacher's logits `(rows, vocabulary)`. Update: the student's logits, which become
/// `scale · weight · d loss / d logits` if `gradient`. Output: the [`TERMS`] of each row.
#[derive(Clone, Debug)]
pub struct Distill {
    /// The training objective.
    pub objective: Objective,
    /// True if the logits are replaced by their gradient; otherwise they do not change.
    pub gradient: bool,
}

impl Op for Distill {
    const NAME: &'static str = "distill";

    fn key(&self) -> String {
        format!("Distill {{ objective: {}, gradient: {} }}", self.objective.key(), self.gradient)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        let inputs: &[Storage] = if specs.inputs.len() == 4 { &[U32, F32, F32, F32] } else { &[U32, F32, F32] };
        check_operands(specs, inputs, &[F32]).map_err(Self::shape_error)?;
        let logits = specs.updates[0];
        if specs.inputs[0].rows != logits.rows || specs.inputs[1].rows != logits.rows {
            return Err(Self::shape_error(format!("{} tokens for logits {logits}", specs.inputs[0].rows)));
        }
        match specs.inputs.get(3) {
            Some(teacher) if !teacher.same_shape(&logits) => Err(Self::shape_error(format!("teacher's logits {teacher}, student's {logits}"))),
            None if self.objective.next_token < 1.0 => Err(Self::shape_error("distillation needs a teacher")),
            _ => Ok(vec![Spec::f32(logits.rows, TERMS)]),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let logits = specs.updates[0];
        let has_teacher = specs.inputs.len() == 4;
        let mut operands = vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Up(0), Operand::Out(0)];
        if has_teacher {
            operands.push(Operand::In(3));
        }
        Variant::portable(vec![Launch {
            kernel: if has_teacher { "distill/with_teacher" } else { "distill/without_teacher" },
            operands,
            params: params(self.objective, self.gradient, logits, 0),
            groups: grid(logits.rows),
            operations: Some(operations(logits, has_teacher, self.gradient)),
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

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("it gives the gradient of the logits itself")
    }
}

/// The parameters of the loss kernels.
fn params(objective: Objective, gradient: bool, logits: Spec, kept: usize) -> Params {
    let Objective { next_token, divergence, temperature } = objective;
    params! {
        rows: logits.rows,
        vocabulary: logits.cols,
        gradient: gradient,
        next_token: next_token,
        temperature: temperature,
        kept: kept,
        divergence: divergence as u32,
    }
}

/// Returns the arithmetic operations of the loss kernels: of each logit 4 in the log-sum-exp, 12 in the sums at
/// temperature τ, 10 in each divergence beyond, and 12 in the gradient, with an exponential as one.
fn operations(logits: Spec, has_teacher: bool, gradient: bool) -> f64 {
    let of_each = match (has_teacher, gradient) {
        (false, false) => 4.0,
        (false, true) => 8.0,
        (true, false) => 26.0,
        (true, true) => 28.0,
    };
    of_each * logits.elements() as f64
}

/// Returns the divergences that are reported besides those that always are: the training objective, or all without a gradient.
fn reported(objective: Objective, gradient: bool) -> impl Iterator<Item = Divergence> {
    Divergence::ALL.into_iter().filter(move |&divergence| !divergence.info().always && (!gradient || objective.divergence == divergence))
}

impl Distill {
    fn row<T: Real>(&self, logits: &mut [T], teacher: Option<&[T]>, token: usize, factor: T, terms: &mut [T]) {
        let Objective { next_token, temperature, .. } = self.objective;
        let token = if token < logits.len() { token } else { 0 };
        let n = logits.len();
        T::with_scratch(2 * n, |scratch| {
            let (plain, soft_gradient) = scratch.split_at_mut(n);
            let lse = vectorised(
                #[inline(always)]
                || softmax(logits, T::from_f32(1.0), plain),
            );
            terms.fill(T::ZERO);
            terms[Term::Ar.index()] = lse - logits[token];
            if let Some(teacher) = teacher {
                self.divergence_terms(logits, teacher, soft_gradient, terms);
            }
            if !self.gradient {
                return;
            }
            let hard = factor * T::from_f64(next_token);
            let soft = factor * T::from_f64((1.0 - next_token) * temperature);
            vectorised(
                #[inline(always)]
                || {
                    for (d, &p) in logits.iter_mut().zip(&*plain) {
                        *d = hard * p;
                    }
                    if teacher.is_some() {
                        for (d, &soft_gradient) in logits.iter_mut().zip(&*soft_gradient) {
                            *d += soft * soft_gradient;
                        }
                    }
                },
            );
            logits[token] += -hard;
        });
    }

    /// Writes the divergences to `terms`; `soft_gradient` becomes τ times the gradient of the objective's divergence.
    fn divergence_terms<T: Real>(&self, logits: &[T], teacher: &[T], soft_gradient: &mut [T], terms: &mut [T]) {
        let Objective { divergence, temperature, .. } = self.objective;
        let (inverse, square) = (T::from_f64(1.0 / temperature), T::from_f64(temperature * temperature));
        T::with_scratch(logits.len(), |teacher_p| {
            let shift = vectorised(
                #[inline(always)]
                || {
                    let (lse_s, lse_t) = (softmax(logits, inverse, soft_gradient), softmax(teacher, inverse, teacher_p));
                    // CE = lse_s − Σ p_t·s/τ; the entropy of p_t is lse_t − Σ p_t·t/τ.
                    let cross = lse_s - dot(teacher_p, logits) * inverse;
                    let entropy = lse_t - dot(teacher_p, teacher) * inverse;
                    terms[Term::Ad.index()] = square * cross;
                    terms[Term::KL.index()] = square * (cross - entropy);
                    lse_s - lse_t
                },
            );
            let row = FullRow { student: logits, teacher, p: teacher_p, inverse, shift };
            let mut mean = T::ZERO;
            for other in reported(self.objective, self.gradient) {
                let (value, of_it) = other.full_value(&row, soft_gradient);
                terms[Term::Of(other).index()] = square * value;
                if other == divergence {
                    mean = of_it;
                }
            }
            divergence.full_gradient(&row, mean, soft_gradient);
        });
    }
}

/// Writes softmax(scale · logits) to `out`; returns the log-sum-exp.
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

/// `terms (rows, TERMS)`, `weights (rows, 1)`: adds Σ_rows weight·terms to the update `(1, TERMS)`.
#[derive(Clone, Debug)]
pub struct LossSum;

impl Op for LossSum {
    const NAME: &'static str = "distill";

    fn key(&self) -> String {
        "LossSum".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32, Storage::F32], &[Storage::F32]).map_err(Self::shape_error)?;
        if specs.inputs[0].cols != TERMS || specs.updates[0].elements() != TERMS || specs.inputs[0].rows != specs.inputs[1].rows {
            return Err(Self::shape_error(format!("terms {}, weights {}, sum {}", specs.inputs[0], specs.inputs[1], specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Variant::portable(vec![Launch {
            kernel: "distill/sum",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: params! { rows: specs.inputs[0].rows },
            groups: [1, 1, 1],
            operations: None,
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

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("losses are differentiated where they are computed")
    }
}
