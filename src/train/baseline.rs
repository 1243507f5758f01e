//! The unigram baseline: KL(teacher‖unigram) with the corpus's unigram distribution, on the same held-out
//! text. A student must get below it.

use super::losses::Losses;
use super::step::StepError;
use crate::data::{Batch, DataError, Ids};
use crate::graph::{BufferKind, Machine, Spec, Storage, Tape, TensorLocation};
use crate::model::{Forward, Positions, Weights, chunk_rows, logits};
use crate::ops::{Distill, LossSum, Objective, TERMS};

/// Most tokens that are counted: more take long to read and hardly change the distribution.
const COUNTED: usize = 1 << 27;

/// Returns the log-probability of each token by its frequency in the text (add-one smoothing).
pub(super) fn unigram(text: &Ids, vocabulary: usize) -> Result<Vec<f32>, DataError> {
    let mut counts = vec![1f64; vocabulary];
    let mut counted = 0;
    for piece in text.pieces() {
        let piece = piece?;
        for &token in &piece {
            if let Some(count) = counts.get_mut(token as usize) {
                *count += 1.0;
            }
        }
        counted += piece.len();
        if counted >= COUNTED {
            break;
        }
    }
    let total: f64 = counts.iter().sum();
    Ok(counts.iter().map(|count| (count / total).ln() as f32).collect())
}

/// Returns the losses, against the teacher, of a model with the logits `constant` at every position.
pub(super) async fn constant_losses(
    machine: &mut Machine, teacher: &Weights, constant: &[f32], batch: &Batch, (sequences, seq): (usize, usize),
) -> Result<Losses, StepError> {
    let (rows, vocabulary) = (sequences * seq, teacher.config.vocab_size);
    let chunk = chunk_rows(rows, vocabulary).min(rows);
    let mut allocate = |spec: Spec| machine.allocate(BufferKind::of(spec.storage), spec.words()).map(|memory| TensorLocation { memory, offset: 0, spec });
    let (tokens, targets) = (allocate(Spec::u32(rows, 1))?, allocate(Spec::u32(rows, 1))?);
    let (weights, scale, sums) = (allocate(Spec::f32(rows, 1))?, allocate(Spec::f32(1, 1))?, allocate(Spec::f32(1, TERMS))?);
    let fixed = allocate(Spec { rows: chunk, cols: vocabulary, storage: Storage::F32 })?;
    machine.write(&tokens, &batch.tokens)?;
    machine.write(&targets, &batch.targets)?;
    machine.write_f32(&weights, &vec![1.0 / rows as f32; rows])?;
    machine.write_f32(&fixed, &constant.repeat(chunk))?;
    let positions = Positions::new(machine, &teacher.config, seq)?;
    let mut tape = Tape::new();
    let [ids, targets, weights, scale, total] = [tokens, targets, weights, scale, sums].map(|location| tape.persistent(location));
    let hidden = Forward { weights: teacher, positions, batch: sequences, seq, cache: None }.hidden(&mut tape, ids)?;
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let part = tape.rows(hidden, first, count);
        let taught = logits(&mut tape, teacher, part)?;
        let fixed = tape.persistent(fixed.rows(0, count));
        let (targets, weights) = (tape.rows(targets, first, count), tape.rows(weights, first, count));
        let op = Distill { objective: Objective::AD, gradient: false };
        let terms = tape.push_one(op, &[targets, weights, scale, taught], &[fixed])?;
        tape.push(LossSum, &[terms, weights], &[total])?;
    }
    let mut program = machine.compile(tape)?;
    machine.run(&mut program)?;
    Ok(Losses::read(&machine.read(&sums).await?, |_| true))
}
