//! The loss against the top-k tokens of a teacher.

use super::divergence::{TopRow, gaps};
use super::{Objective, TERMS, Term, operations, params, reported, softmax};
use crate::graph::{Backward, CpuIo, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid, sum, vectorised};
use crate::ops::check_operands;
use crate::platform::parallel::*;

/// Largest k of [`DistillTop`]: a workgroup stores the ids.
pub const MAX_TOP_K: usize = 256;

/// Like [`super::Distill`], with the teacher's top-k tokens, and one bucket of probability r for all others:
/// `CE = −Σ p·ln q − r·ln Q`, Q the student's probability of the bucket. It is at least the entropy of
/// (p, r). The KL divergence `CE − entropy` is at least 0, and at most that of the full distributions, by
/// the data processing inequality; likewise the Jensen–Shannon divergence of (p, r) and (q, Q). The reverse
/// KL divergence is not supported: probabilities are rounded, and where one is 0 it would be infinite.
///
/// Inputs: `tokens (rows, 1)`, `weights (rows, 1)`, `scale (1, 1)`, `ids (rows, k)` ascending in each
/// row and within the vocabulary, `shares (rows, k + 1)`: the probability of each at the temperature,
/// then r. Update and output are those of [`super::Distill`].
#[derive(Clone, Debug)]
pub struct DistillTop {
    /// The training objective.
    pub objective: Objective,
    /// True if the logits are replaced by their gradient; otherwise they do not change.
    pub gradient: bool,
}

impl Op for DistillTop {
    const NAME: &'static str = "distill";

    fn key(&self) -> String {
        format!("DistillTop {{ objective: {}, gradient: {} }}", self.objective.key(), self.gradient)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        check_operands(specs, &[U32, F32, F32, U32, F32], &[F32]).map_err(Self::shape_error)?;
        let (logits, ids, shares) = (specs.updates[0], specs.inputs[3], specs.inputs[4]);
        if specs.inputs.iter().enumerate().any(|(n, spec)| n != 2 && spec.rows != logits.rows) || shares.cols != ids.cols + 1 {
            return Err(Self::shape_error(format!("{} tokens, ids {ids} and shares {shares} for logits {logits}", specs.inputs[0].rows)));
        }
        if ids.cols == 0 || ids.cols > MAX_TOP_K || ids.cols >= logits.cols {
            return Err(Self::shape_error(format!("top {} of {} tokens; must be 1 to {MAX_TOP_K}, and less than the vocabulary", ids.cols, logits.cols)));
        }
        let info = self.objective.divergence.info();
        if let Some(why) = info.uncached {
            return Err(Self::shape_error(format!("the {} needs the teacher's full distribution: of a teacher cache, {why}", info.title)));
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
            operations: Some(operations(logits, true, self.gradient)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (tokens, weights, scale) = (io.inputs[0].words(), io.inputs[1].real(), io.inputs[2].real()[0]);
        let (ids, shares, kept) = (io.inputs[3].words(), io.inputs[4].real(), io.inputs[3].spec().cols);
        let vocabulary = io.updates[0].spec().cols;
        let rows = io.updates[0].real().par_chunks_mut(vocabulary).zip(io.outputs[0].real().par_chunks_mut(TERMS)).enumerate();
        rows.for_each(|(row, (logits, terms))| {
            let kept = (&ids[row * kept..(row + 1) * kept], &shares[row * (kept + 1)..(row + 1) * (kept + 1)]);
            self.row(logits, kept, tokens[row] as usize, scale * weights[row], terms);
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("it gives the gradient of the logits itself")
    }
}

/// The top-k tokens of a row, ascending, and their probabilities, with that of the bucket last.
type Kept<'a, T> = (&'a [u32], &'a [T]);

impl DistillTop {
    fn row<T: Real>(&self, logits: &mut [T], kept: Kept<'_, T>, token: usize, factor: T, terms: &mut [T]) {
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
            self.divergence_terms(logits, kept, soft_gradient, terms);
            if !self.gradient {
                return;
            }
            let (hard, soft) = (factor * T::from_f64(next_token), factor * T::from_f64((1.0 - next_token) * temperature));
            vectorised(
                #[inline(always)]
                || {
                    for (d, (&p, &soft_gradient)) in logits.iter_mut().zip(plain.iter().zip(&*soft_gradient)) {
                        *d = hard * p + soft * soft_gradient;
                    }
                },
            );
            logits[token] += -hard;
        });
    }

    /// Writes the divergences to `terms`; `soft_gradient` becomes τ times the gradient of the objective's
    /// divergence, as in [`super::Distill`]: a token in the bucket has its share of the gradient of Q.
    fn divergence_terms<T: Real>(&self, logits: &[T], (ids, shares): Kept<'_, T>, soft_gradient: &mut [T], terms: &mut [T]) {
        let Objective { divergence, temperature, .. } = self.objective;
        let (inverse, square) = (T::from_f64(1.0 / temperature), T::from_f64(temperature * temperature));
        let (n, rest) = (logits.len(), shares[ids.len()]);
        T::with_scratch(2 * (n - ids.len()), |scratch| {
            let (others, within) = scratch.split_at_mut(n - ids.len());
            for (kept, between) in gaps(ids, n) {
                others[between.start - kept..between.end - kept].copy_from_slice(&logits[between]);
            }
            // The bucket has its own softmax, so that its logarithm is accurate even for a tiny
            // probability: 1 − Σ q would be all rounding error there.
            let (lse, bucket) = vectorised(
                #[inline(always)]
                || (softmax(logits, inverse, soft_gradient), softmax(others, inverse, within)),
            );
            let mass = sum(shares);
            let mut cross = mass * lse - rest * bucket;
            let mut entropy = T::ZERO;
            for (&id, &share) in ids.iter().zip(shares) {
                cross += -(share * (logits[id as usize] * inverse));
            }
            for &share in shares.iter().filter(|&&share| share > T::ZERO) {
                entropy += -(share * share.ln());
            }
            terms[Term::Ad.index()] = square * cross;
            terms[Term::KL.index()] = square * (cross - entropy);
            let row = TopRow { student: logits, ids, shares, mass, inverse, lse, bucket, within };
            let mut mean = T::ZERO;
            for other in reported(self.objective, self.gradient).filter(|other| other.info().uncached.is_none()) {
                let (value, of_it) = other.top_value(&row, soft_gradient);
                terms[Term::Of(other).index()] = square * value;
                if other == divergence {
                    mean = of_it;
                }
            }
            divergence.top_gradient(&row, mean, soft_gradient);
        });
    }
}
