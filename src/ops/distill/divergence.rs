//! The divergences between teacher and student: names, formula, value and gradient of each. The kernels
//! are in `shaders/distill.wgsl`; docs/losses.md lists the divergences.

use crate::graph::{Real, dot};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Names and descriptions of a divergence.
#[derive(Clone, Copy, Debug)]
pub struct DivergenceInfo {
    /// Its name in run.toml; in capitals, its constant in the shader.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The title as a column header.
    pub short: &'static str,
    /// Its formula, p the teacher's distribution and q the student's.
    pub formula: &'static str,
    /// Its description in the help of the command line.
    pub brief: &'static str,
    /// Its description in the app.
    pub help: &'static str,
    /// Its term's name in metrics.jsonl and in `--json`.
    pub term: &'static str,
    /// The CSV column of its term on held-out text.
    pub held_out: &'static str,
    /// True if it differs from the cross-entropy by a constant, so that the cross-entropy is minimised instead and it is
    /// reported in every step. Others are reported only if they are the objective, or measured.
    pub always: bool,
    /// The reason why it cannot be trained from a teacher cache, if so.
    pub uncached: Option<&'static str>,
    /// Its name in [`crate::graph::Op::key`].
    pub(super) key: &'static str,
}

/// Defines the enum and its tables from one list, so that none lacks an entry.
macro_rules! divergences {
    ($($(#[$attribute:meta])* $variant:ident => $info:expr,)*) => {
        /// A divergence between a teacher's distribution p and a student's q.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Divergence {
            $($(#[$attribute])* $variant,)*
        }

        impl Divergence {
            /// All divergences, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            /// Returns its names and descriptions.
            pub const fn info(self) -> &'static DivergenceInfo {
                match self {
                    $(Self::$variant => const { &$info },)*
                }
            }
        }
    };
}

divergences! {
    /// KL(p‖q), the forward KL: up to the entropy of p, which is constant, the cross-entropy of the paper. It is
    /// mode-covering.
    #[default]
    Forward => DivergenceInfo {
        name: "forward",
        title: "KL(teacher‖student)",
        short: "KL(teacher‖student)",
        formula: "KL(p‖q) = Σ p·ln(p/q)",
        brief: "KL(teacher‖student), as in the paper",
        help: "KL(teacher‖student), as in the paper; mode-covering",
        term: "kl",
        held_out: "held_out_kl",
        always: true,
        uncached: None,
        key: "Forward",
    },
    /// KL(q‖p), the reverse KL, which is mode-seeking (Gu et al., arXiv 2306.08543).
    Reverse => DivergenceInfo {
        name: "reverse",
        title: "KL(student‖teacher)",
        short: "KL(student‖teacher)",
        formula: "KL(q‖p) = Σ q·ln(q/p)",
        brief: "KL(student‖teacher)",
        help: "KL(student‖teacher), mode-seeking",
        term: "reverse",
        held_out: "held_out_reverse",
        always: false,
        uncached: Some("its shares are rounded, and where one is 0 the divergence is infinite"),
        key: "Reverse",
    },
    /// The Jensen–Shannon divergence, between the two and at most ln 2.
    Js => DivergenceInfo {
        name: "js",
        title: "Jensen–Shannon divergence",
        short: "JS",
        formula: "JS(p, q) = ½·KL(p‖m) + ½·KL(q‖m), m = (p + q)/2",
        brief: "Jensen–Shannon",
        help: "Jensen–Shannon divergence, symmetric",
        term: "js",
        held_out: "held_out_js",
        always: false,
        uncached: None,
        key: "Js",
    },
}

/// Names and descriptions, as the choices of a form.
pub const DIVERGENCE_CHOICES: [(&str, &str); Divergence::ALL.len()] = {
    let mut choices = [("", ""); Divergence::ALL.len()];
    let mut n = 0;
    while n < choices.len() {
        let info = Divergence::ALL[n].info();
        choices[n] = (info.name, info.help);
        n += 1;
    }
    choices
};

/// The help of `--divergence`, with a description of each.
pub const DIVERGENCE_HELP: &str = {
    const BYTES: [u8; write_help(&mut [0; 1 << 12])] = {
        let mut bytes = [0; write_help(&mut [0; 1 << 12])];
        write_help(&mut bytes);
        bytes
    };
    match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("made of texts"),
    }
};

/// Writes the help; returns its length.
const fn write_help(into: &mut [u8]) -> usize {
    let (mut at, mut n) = (append(into, 0, "Divergence from the teacher, for ad and mix: "), 0);
    while n < Divergence::ALL.len() {
        let info = Divergence::ALL[n].info();
        let before = if n == 0 {
            ""
        } else if n + 1 < Divergence::ALL.len() {
            ", "
        } else {
            ", or "
        };
        at = append(into, at, before);
        at = append(into, at, info.name);
        at = append(into, at, " (");
        at = append(into, at, info.brief);
        at = append(into, at, ")");
        n += 1;
    }
    at
}

/// Writes a text at an index; returns the index after it.
const fn append(into: &mut [u8], at: usize, text: &str) -> usize {
    let mut n = 0;
    while n < text.len() {
        into[at + n] = text.as_bytes()[n];
        n += 1;
    }
    at + n
}

/// A row with the teacher's full distribution, at the objective's temperature.
pub(super) struct FullRow<'a, T> {
    /// Logits of both, `(vocabulary)`.
    pub(super) student: &'a [T],
    pub(super) teacher: &'a [T],
    /// The teacher's distribution.
    pub(super) p: &'a [T],
    /// One over the temperature.
    pub(super) inverse: T,
    /// The student's log-sum-exp minus the teacher's.
    pub(super) shift: T,
}

impl<T: Real> FullRow<'_, T> {
    /// Returns ln q − ln p of every token.
    fn ratios(&self) -> impl Iterator<Item = T> + '_ {
        self.student.iter().zip(self.teacher).map(|(&s, &t)| (s - t) * self.inverse - self.shift)
    }
}

/// A row with the teacher's top-k tokens and one bucket for all others.
pub(super) struct TopRow<'a, T> {
    /// The student's logits, `(vocabulary)`.
    pub(super) student: &'a [T],
    /// The top-k tokens, ascending, and their probabilities, with that of the bucket last.
    pub(super) ids: &'a [u32],
    pub(super) shares: &'a [T],
    /// The sum of all probabilities.
    pub(super) mass: T,
    /// One over the temperature.
    pub(super) inverse: T,
    /// Log-sum-exp of the student's logits, and of those in the bucket.
    pub(super) lse: T,
    pub(super) bucket: T,
    /// The student's distribution within the bucket.
    pub(super) within: &'a [T],
}

impl<T: Real> TopRow<'_, T> {
    fn rest(&self) -> T {
        self.shares[self.ids.len()]
    }

    /// Returns [`to_mixture`] of the bucket.
    fn bucket_to_mixture(&self) -> (T, T) {
        to_mixture_of(self.rest(), self.bucket - self.lse)
    }

    /// Returns [`to_mixture`] of every top-k token.
    fn kept_to_mixture(&self) -> impl Iterator<Item = (T, T)> + '_ {
        self.ids.iter().zip(self.shares).map(|(&id, &share)| to_mixture_of(share, self.student[id as usize] * self.inverse - self.lse))
    }
}

impl Divergence {
    /// Returns its value for a row, and the mean under q that its gradient subtracts. `Forward` is reported with
    /// the cross-entropy.
    pub(super) fn full_value<T: Real>(self, row: &FullRow<'_, T>, q: &[T]) -> (T, T) {
        match self {
            Self::Forward => (T::ZERO, T::ZERO),
            Self::Reverse => {
                let reverse = (dot(q, row.student) - dot(q, row.teacher)) * row.inverse - row.shift;
                (reverse, reverse)
            }
            Self::Js => {
                let (mut of_teacher, mut of_student) = (T::ZERO, T::ZERO);
                for (ratio, (&p, &q)) in row.ratios().zip(row.p.iter().zip(q)) {
                    let (from_p, from_q) = to_mixture(ratio);
                    of_teacher += p * from_p;
                    of_student += q * from_q;
                }
                (T::from_f32(0.5) * (of_teacher + of_student), of_student)
            }
        }
    }

    /// Turns q into τ times the gradient by the logits: forward `q − p`, reverse `q·(l − Σ q·l)` with
    /// l = ln q − ln p, and Jensen–Shannon the same with l = ½·ln(q/m). `mean` is of [`Self::full_value`].
    pub(super) fn full_gradient<T: Real>(self, row: &FullRow<'_, T>, mean: T, q: &mut [T]) {
        let half = T::from_f32(0.5);
        match self {
            Self::Forward => q.iter_mut().zip(row.p).for_each(|(q, &p)| *q = *q - p),
            Self::Reverse => q.iter_mut().zip(row.ratios()).for_each(|(q, ratio)| *q = *q * (ratio - mean)),
            Self::Js => q.iter_mut().zip(row.ratios()).for_each(|(q, ratio)| *q = *q * (half * (to_mixture(ratio).1 - mean))),
        }
    }

    /// Like [`Self::full_value`], for the distributions over the top-k tokens and the bucket.
    pub(super) fn top_value<T: Real>(self, row: &TopRow<'_, T>, q: &[T]) -> (T, T) {
        match self {
            Self::Forward | Self::Reverse => (T::ZERO, T::ZERO),
            Self::Js => {
                let (of_rest, of_bucket) = row.bucket_to_mixture();
                let (mut of_teacher, mut of_student) = (row.rest() * of_rest, (row.bucket - row.lse).exp() * of_bucket);
                for ((&id, &share), (from_p, from_q)) in row.ids.iter().zip(row.shares).zip(row.kept_to_mixture()) {
                    of_teacher += share * from_p;
                    of_student += q[id as usize] * from_q;
                }
                (T::from_f32(0.5) * (of_teacher + of_student), of_student)
            }
        }
    }

    /// Like [`Self::full_gradient`]: a token in the bucket has its share of the bucket's gradient.
    pub(super) fn top_gradient<T: Real>(self, row: &TopRow<'_, T>, mean: T, q: &mut [T]) {
        let (n, half) = (q.len(), T::from_f32(0.5));
        match self {
            Self::Forward => {
                q.iter_mut().for_each(|q| *q = row.mass * *q);
                for (kept, between) in gaps(row.ids, n) {
                    for (q, &part) in q[between.clone()].iter_mut().zip(&row.within[between.start - kept..]) {
                        *q += -(row.rest() * part);
                    }
                    if let Some(&id) = row.ids.get(kept) {
                        q[id as usize] += -row.shares[kept];
                    }
                }
            }
            Self::Reverse => unreachable!("refused by its shapes"),
            Self::Js => {
                let outside = half * (row.bucket_to_mixture().1 - mean);
                let inside: Vec<T> = row.kept_to_mixture().map(|(_, from_q)| half * (from_q - mean)).collect();
                for (kept, between) in gaps(row.ids, n) {
                    q[between].iter_mut().for_each(|q| *q = *q * outside);
                    if let (Some(&id), Some(&pull)) = (row.ids.get(kept), inside.get(kept)) {
                        q[id as usize] = q[id as usize] * pull;
                    }
                }
            }
        }
    }
}

/// Returns ln(p/m) and ln(q/m), m = (p + q)/2, of two probabilities whose logarithms differ by `d` = ln q − ln p.
/// It needs only `d`, so that neither probability can underflow.
#[inline(always)]
fn to_mixture<T: Real>(d: T) -> (T, T) {
    let (above, below) = (d.max(T::ZERO), (-d).max(T::ZERO));
    let bend = T::from_f64(LN_2) - (T::from_f32(1.0) + (-(above + below)).exp()).ln();
    (bend - above, bend - below)
}

/// Like [`to_mixture`], for a probability p that may be 0 and the logarithm of q.
#[inline(always)]
fn to_mixture_of<T: Real>(share: T, log: T) -> (T, T) {
    if share > T::ZERO { to_mixture(log - share.ln()) } else { (T::ZERO, T::from_f64(LN_2)) }
}

/// Returns the ranges of `0..n` between ascending `ids`, each with the number of ids before it.
#[inline(always)]
pub(super) fn gaps(ids: &[u32], n: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
    let end = move |kept: usize| ids.get(kept).map_or(n, |&id| id as usize);
    (0..=ids.len()).map(move |kept| (kept, if kept == 0 { 0 } else { end(kept - 1) + 1 }..end(kept)))
}
