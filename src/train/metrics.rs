//! The metrics of an optimizer step, a line of `metrics.jsonl`.

use super::changes::Changed;
use super::losses::Losses;
use serde::{Deserialize, Serialize};

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Optimizer steps done, this one included.
    pub step: u64,
    /// Tokens seen by the student so far, this step included.
    pub tokens: u64,
    /// The training loss, mean over the step.
    #[serde(deserialize_with = "nan_from_null")]
    pub loss: f64,
    /// Cross-entropy against the teacher's distribution; absent without a teacher.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ad: Option<f64>,
    /// Cross-entropy against the next token.
    #[serde(deserialize_with = "nan_from_null")]
    pub ar: f64,
    /// KL(teacher‖student); absent without a teacher.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kl: Option<f64>,
    /// Global gradient norm before clipping; absent if it was not finite.
    pub norm: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Share of binarized weights whose sign changed in this step.
    pub flip_ratio: f64,
    /// The same for each binarized matrix, in the model's order (q, k, v, o, gate, up, down of each block).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flips: Vec<f64>,
    /// True if the step changed the parameters, false if the guard skipped it.
    pub taken: bool,
    /// The loss scale.
    pub loss_scale: f32,
    /// Norm above which the step would have been skipped; absent if there was no limit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Tokens per second of the step, without evaluations, samples and checkpoints.
    pub tokens_per_s: f64,
    /// Seconds of training so far, in all sessions of the run.
    pub seconds: f64,
    /// Settings that were changed, at the first step to which they apply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed: Option<Changed>,
    /// Losses on held-out text, at steps with an evaluation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_out: Option<Losses>,
    /// The training objective on held-out text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_out_loss: Option<f64>,
}

/// Deserializes a number; NaN and infinity, which JSON lacks, are written as `null`.
pub(super) fn nan_from_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Metrics {
    /// Returns the training objective on held-out text; for runs that did not record it, the cross-entropy
    /// against the teacher, or else against the next token.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.held_out_loss.or_else(|| self.held_out.map(|losses| if self.ad.is_some() { losses.ad() } else { losses.ar() }))
    }

    /// Returns the flip-flop ratio of each block: the mean over its seven matrices, weighted by their sizes.
    pub fn flips_by_block(&self, sizes: &[usize]) -> Vec<f64> {
        let blocks = self.flips.chunks(7).zip(sizes.chunks(7));
        blocks.map(|(flips, sizes)| flips.iter().zip(sizes).map(|(flip, &size)| flip * size as f64).sum::<f64>() / sizes.iter().sum::<usize>() as f64).collect()
    }
}
