//! Output head and loss in chunks of rows, so that logits of a whole batch are never in memory.

use super::forward::logits;
use super::weights::Weights;
use crate::graph::{ShapeError, Spec, Tape, TensorId};
use crate::ops::{Columns, Distill, DistillTop, Into, LossSum, Matmul, Objective};

/// The teacher's distributions, as far as they are available.
#[derive(Clone, Copy)]
pub enum TeacherOutput<'a> {
    /// None: next-token loss only.
    None,
    /// Full distributions: the teacher and its last hidden state.
    Full(&'a Weights, TensorId),
    /// Top-k: `ids (rows, k)` and probabilities `(rows, k + 1)`, the last one of all other tokens together.
    TopK(TensorId, TensorId),
}

/// The training or evaluation loss and its inputs.
pub struct ChunkedLoss<'a> {
    /// The model being trained.
    pub student: &'a Weights,
    /// The teacher's distributions.
    pub teacher: TeacherOutput<'a>,
    /// The token that follows each position, `(rows, 1)`.
    pub targets: TensorId,
    /// Weight of each position, `(rows, 1)`; the loss is the weighted sum over positions.
    pub weights: TensorId,
    /// The loss scale, `(1, 1)`.
    pub scale: TensorId,
    /// Accumulator of the weighted terms, `(1, TERMS)`.
    pub sums: TensorId,
    /// The training objective.
    pub objective: Objective,
    /// True to compute gradients.
    pub gradient: bool,
}

/// Maximum logits in memory, in floats.
const CHUNK_FLOATS: usize = 4 << 20;

/// Rows of a chunk of logits: a multiple of 64, so that views stay aligned.
pub fn chunk_rows(rows: usize, vocabulary: usize) -> usize {
    (CHUNK_FLOATS / vocabulary / 64 * 64).clamp(64, rows.next_multiple_of(64))
}

impl ChunkedLoss<'_> {
    /// Records the loss of `hidden (rows, width)`. With `gradient`, accumulates the head's gradient and returns the
    /// gradient of `hidden`.
    pub fn record(&self, tape: &mut Tape, hidden: TensorId) -> Result<Option<TensorId>, ShapeError> {
        let Spec { rows, cols: width, .. } = tape.spec(hidden);
        let chunk = chunk_rows(rows, self.student.config.vocab_size);
        let d_hidden = self.gradient.then(|| tape.scratch(Spec::f32(rows, width)));
        for first in (0..rows).step_by(chunk) {
            let count = chunk.min(rows - first);
            let part = tape.rows(hidden, first, count);
            let d_part = d_hidden.map(|d_hidden| tape.rows(d_hidden, first, count));
            self.chunk(tape, part, d_part, first, count)?;
        }
        Ok(d_hidden)
    }

    fn chunk(&self, tape: &mut Tape, hidden: TensorId, d_hidden: Option<TensorId>, first: usize, count: usize) -> Result<(), ShapeError> {
        let student = logits(tape, self.student, hidden)?;
        let (targets, weights) = (tape.rows(self.targets, first, count), tape.rows(self.weights, first, count));
        let mut inputs = vec![targets, weights, self.scale];
        let (objective, gradient) = (self.objective, self.gradient);
        let terms = match self.teacher {
            TeacherOutput::TopK(ids, shares) => {
                inputs.extend([ids, shares].map(|part| tape.rows(part, first, count)));
                tape.push_one(DistillTop { objective, gradient }, &inputs, &[student])?
            }
            TeacherOutput::Full(teacher, hidden) => {
                let hidden = tape.rows(hidden, first, count);
                inputs.push(logits(tape, teacher, hidden)?);
                tape.push_one(Distill { objective, gradient }, &inputs, &[student])?
            }
            TeacherOutput::None => tape.push_one(Distill { objective, gradient }, &inputs, &[student])?,
        };
        tape.push(LossSum, &[terms, weights], &[self.sums])?;
        if let Some(d_hidden) = d_hidden {
            self.head_gradient(tape, hidden, student, d_hidden)?;
        }
        Ok(())
    }

    /// Computes `d_hidden` and accumulates the head's gradient, from the gradient of the logits.
    fn head_gradient(&self, tape: &mut Tape, hidden: TensorId, d_logits: TensorId, d_hidden: TensorId) -> Result<(), ShapeError> {
        let blocks = self.student.tensors(tape, self.student.head());
        let (whole, mut first) = (blocks.len() == 1, 0);
        for block in blocks {
            let count = tape.spec(block).rows;
            let part = if whole { d_logits } else { tape.push_one(Columns { first, count }, &[d_logits], &[])? };
            let into = if first == 0 { Into::Overwrite } else { Into::Accumulate };
            tape.push(Matmul::input_gradient(into), &[part, block], &[d_hidden])?;
            if let Some(sum) = tape.accumulator(block) {
                tape.push(Matmul::WEIGHT_GRADIENT, &[part, hidden], &[sum])?;
            }
            first += count;
        }
        Ok(())
    }
}
