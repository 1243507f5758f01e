//! The loss: softmax cross-entropy of the student's logits against the teacher's distribution
//! (autoregressive distillation), whole or as its likeliest tokens with one bucket for the others,
//! against token ids, or a mix, and its gradient in place.

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
            params: params(self.objective, self.gradient, logits, 0),
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

/// The words of the loss kernels' uniform block.
fn params(objective: Objective, gradient: bool, logits: Spec, kept: usize) -> Vec<u32> {
    vec![logits.rows as u32, logits.cols as u32, u32::from(gradient), bits(objective.next_token), bits(objective.temperature), kept as u32]
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

/// The most tokens that [`DistillTop`] takes: a workgroup holds their ids.
pub const MOST_KEPT: usize = 256;

/// As [`Distill`], with the teacher as its k likeliest tokens and one bucket for all others:
/// `CE = −Σ p·ln q − r·ln Q`, Q the student's probability of all tokens that are not kept. It is at
/// least the entropy of (p, r). The KL divergence `CE − entropy` is at least 0, and never more than
/// that of the whole distributions, since joining tokens can only lose what tells them apart.
///
/// Inputs: `tokens (rows, 1)`, `weights (rows, 1)`, `scale (1, 1)`, `ids (rows, k)` ascending in each
/// row and inside the vocabulary, `shares (rows, k + 1)`: the probability of each at the temperature,
/// then r. Update and output are those of [`Distill`].
#[derive(Clone, Debug)]
pub struct DistillTop {
    /// What is minimised.
    pub objective: Objective,
    /// Whether logits become their gradient; they are left alone otherwise.
    pub gradient: bool,
}

impl Op for DistillTop {
    const NAME: &'static str = "distill";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        expect(specs, &[U32, F32, F32, U32, F32], &[F32]).map_err(Self::refuse)?;
        let (logits, ids, shares) = (specs.updates[0], specs.inputs[3], specs.inputs[4]);
        if specs.inputs.iter().enumerate().any(|(n, spec)| n != 2 && spec.rows != logits.rows) || shares.cols != ids.cols + 1 {
            return Err(Self::refuse(format!("{} tokens, ids {ids} and shares {shares} for logits {logits}", specs.inputs[0].rows)));
        }
        if ids.cols == 0 || ids.cols > MOST_KEPT || ids.cols >= logits.cols {
            return Err(Self::refuse(format!("{} tokens kept of {}; it takes 1 to {MOST_KEPT}, and fewer than there are", ids.cols, logits.cols)));
        }
        Ok(vec![Spec::f32(logits.rows, TERMS)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let logits = specs.updates[0];
        let operands = [Operand::In(0), Operand::In(1), Operand::In(2), Operand::Up(0), Operand::Out(0), Operand::In(3), Operand::In(4)];
        Variant::portable(vec![Launch {
            kernel: "distill/top",
            operands: operands.to_vec(),
            params: params(self.objective, self.gradient, logits, specs.inputs[3].cols),
            groups: grid(logits.rows),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (tokens, weights, scale) = (io.inputs[0].words(), io.inputs[1].real(), io.inputs[2].real()[0]);
        let (ids, shares, kept) = (io.inputs[3].words(), io.inputs[4].real(), io.inputs[3].spec().cols);
        let vocabulary = io.updates[0].spec().cols;
        let rows = io.updates[0].real().par_chunks_mut(vocabulary).zip(io.outputs[0].real().par_chunks_mut(TERMS)).enumerate();
        rows.for_each(|(row, (logits, terms))| {
            let (ids, shares) = (&ids[row * kept..(row + 1) * kept], &shares[row * (kept + 1)..(row + 1) * (kept + 1)]);
            self.row(logits, (ids, shares), tokens[row] as usize, scale * weights[row], terms);
        });
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it gives the gradient of the logits itself")
    }
}

impl DistillTop {
    fn row<T: Real>(&self, logits: &mut [T], (ids, shares): (&[u32], &[T]), token: usize, factor: T, terms: &mut [T]) {
        let Objective { next_token, temperature } = self.objective;
        let token = if token < logits.len() { token } else { 0 };
        let n = logits.len();
        let rest = shares[ids.len()];
        let (inverse, square) = (T::from_f64(1.0 / temperature), T::from_f64(temperature * temperature));
        T::with_scratch(4 * n, |scratch| {
            let (plain, scratch) = scratch.split_at_mut(n);
            let (student, scratch) = scratch.split_at_mut(n);
            let (others, within) = scratch.split_at_mut(n);
            let others = &mut others[..n - ids.len()];
            let within = &mut within[..n - ids.len()];
            for (kept, between) in gaps(ids, n) {
                others[between.start - kept..between.end - kept].copy_from_slice(&logits[between]);
            }
            // The bucket has a softmax of its own, so that its logarithm is exact however little the
            // student gives it: 1 − Σ q would be all rounding there.
            let (lse, lse_s, lse_o) = vectorised(
                #[inline(always)]
                || (softmax(logits, T::from_f32(1.0), plain), softmax(logits, inverse, student), softmax(others, inverse, within)),
            );
            let mass = sum(shares);
            let mut cross = mass * lse_s - rest * lse_o;
            let mut entropy = T::ZERO;
            for (&id, &share) in ids.iter().zip(shares) {
                cross += -(share * (logits[id as usize] * inverse));
            }
            for &share in shares.iter().filter(|&&share| share > T::ZERO) {
                entropy += -(share * share.ln());
            }
            terms.copy_from_slice(&[square * cross, lse - logits[token], square * (cross - entropy), T::ZERO]);
            if !self.gradient {
                return;
            }
            let (hard, soft) = (factor * T::from_f64(next_token), factor * T::from_f64((1.0 - next_token) * temperature));
            vectorised(
                #[inline(always)]
                || {
                    for (d, (&p, &q)) in logits.iter_mut().zip(plain.iter().zip(&*student)) {
                        *d = hard * p + soft * (mass * q);
                    }
                    for (kept, between) in gaps(ids, n) {
                        for (d, &q) in logits[between.clone()].iter_mut().zip(&within[between.start - kept..]) {
                            *d += -(soft * (rest * q));
                        }
                    }
                },
            );
            for (&id, &share) in ids.iter().zip(shares) {
                logits[id as usize] += -(soft * share);
            }
            logits[token] += -hard;
        });
    }
}

/// The ranges of `0..n` between ascending `ids`, each with the number of ids before it.
#[inline(always)]
fn gaps(ids: &[u32], n: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
    let end = move |kept: usize| ids.get(kept).map_or(n, |&id| id as usize);
    (0..=ids.len()).map(move |kept| (kept, if kept == 0 { 0 } else { end(kept - 1) + 1 }..end(kept)))
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
    for (rows, vocabulary, kept) in [(1, 2, 1), (3, 33, 4), (5, 257, 8), (8, 100, 99), (9, 1000, 256), (33, 65, 32), (4, 600, 1)] {
        for objective in [objective(0.0, 1.0), objective(0.5, 1.0), objective(0.25, 2.0)] {
            cases.push(case_top(rows, vocabulary, kept, objective, true, 1.5));
        }
        cases.push(case_top(rows, vocabulary, kept, objective(0.5, 1.0), false, 1.5));
    }
    // The student gives next to nothing to the bucket, or next to everything.
    cases.push(case_top(8, 50, 10, objective(0.0, 1.0), true, 40.0));
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
    if gradient { differentiated(case, next_token) } else { case }
}

/// The logits become the gradient of the weighted loss.
fn differentiated(case: Case, next_token: f64) -> Case {
    case.in_place(move |inputs, outputs| {
        let rows = outputs[0].chunks(TERMS).zip(&inputs[1]);
        rows.map(|(terms, weight)| inputs[2][0] * weight * ((1.0 - next_token) * terms[0] + next_token * terms[1])).sum()
    })
}

fn case_top(rows: usize, vocabulary: usize, kept: usize, objective: Objective, gradient: bool, deviation: f32) -> Case {
    let Objective { next_token, temperature } = objective;
    let label = format!("top {kept} of {rows}×{vocabulary}, next {next_token}, τ {temperature}{}, ±{deviation}", if gradient { "" } else { ", no gradient" });
    // Ascending ids, spread over the vocabulary and others in each row.
    let ids = (0..rows).flat_map(|row| (0..kept).map(move |n| ((n * vocabulary + row % 3 * (vocabulary - kept) / 2) / kept) as u32)).collect();
    let case = Case::new(label, DistillTop { objective, gradient })
        .input(Spec::u32(rows, 1), Fill::Below(vocabulary as u32 + 1))
        .input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.5, 0.0, 2.0]))
        .input(Spec::f32(1, 1), Fill::Floats(vec![1024.0]))
        .input(Spec::u32(rows, kept), Fill::Words(ids))
        .input(Spec::f32(rows, kept + 1), Fill::Floats(shares(rows, kept)))
        .update(Spec::f32(rows, vocabulary), Fill::Normal(0.4, deviation));
    if gradient { differentiated(case, next_token) } else { case }
}

/// Distributions over `kept` tokens and a bucket: the bucket has something, nothing, or nearly all;
/// some tokens have nothing.
fn shares(rows: usize, kept: usize) -> Vec<f32> {
    let weight = |row: usize, n: usize| match (row % 3, n == kept) {
        (1, true) => 0.0,
        (2, true) => 1e4 * kept as f32,
        _ if (row + n) % 5 == 4 => 0.0,
        _ => 1.0 / (1.0 + ((7 * n + row) % 13) as f32),
    };
    let row = |row: usize| {
        let total: f32 = (0..=kept).map(|n| weight(row, n)).sum();
        (0..=kept).map(move |n| weight(row, n) / total)
    };
    (0..rows).flat_map(row).collect()
}
