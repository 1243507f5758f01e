//! Embedding: row `tokens[b]` of a table, and the gradient that adds back into it.

use super::expect;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};

/// `table (vocabulary, width)`, `tokens (n, 1)` → `(n, width)`. Token ids are checked by whoever
/// uploads them; one out of range reads row 0.
#[derive(Clone, Debug)]
pub struct Embedding;

impl Op for Embedding {
    const NAME: &'static str = "embedding";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        let table = specs.inputs.first().map_or(Storage::F32, |spec| spec.storage);
        if !matches!(table, Storage::F32 | Storage::F16) {
            return Err(Self::refuse(format!("the table must hold floats, got {}", specs.inputs[0])));
        }
        expect(specs, &[table, Storage::U32], &[]).map_err(Self::refuse)?;
        Ok(vec![Spec::f32(specs.inputs[1].rows, specs.inputs[0].cols)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (table, n) = (specs.inputs[0], specs.inputs[1].rows);
        Variant::portable(vec![Launch {
            kernel: if table.storage == Storage::F16 { "embedding/forward.f16" } else { "embedding/forward" },
            operands: vec![Operand::In(0), Operand::In(1), Operand::Out(0)],
            params: vec![n as u32, table.cols as u32, table.rows as u32],
            groups: grid((n * table.cols).div_ceil(256)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let tokens = io.inputs[1].words();
        let vocabulary = io.inputs[0].spec().rows;
        let width = io.outputs[0].spec().cols;
        for (out, &token) in io.outputs[0].real().chunks_mut(width).zip(tokens) {
            let row = if (token as usize) < vocabulary { token as usize } else { 0 };
            io.inputs[0].row(row, out);
        }
    }

    fn backward(&self, tape: &mut Backward<'_>) -> Rule {
        if let (Some(upstream), Some(table)) = (tape.upstream(0), tape.accumulator(0)) {
            let tokens = tape.input(1);
            tape.push(EmbeddingGradient, &[upstream, tokens], &[table]);
        }
        Rule::Done
    }
}

/// `dy (n, width)`, `tokens (n, 1)`; adds each row of `dy` to row `tokens[b]` of the table's
/// gradient, in the order of b.
#[derive(Clone, Debug)]
pub struct EmbeddingGradient;

impl Op for EmbeddingGradient {
    const NAME: &'static str = "embedding";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        expect(specs, &[Storage::F32, Storage::U32], &[Storage::F32]).map_err(Self::refuse)?;
        if specs.inputs[0].cols != specs.updates[0].cols || specs.inputs[0].rows != specs.inputs[1].rows {
            return Err(Self::refuse(format!("dy {} does not fit table {}", specs.inputs[0], specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let dy = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "embedding/gradient",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: vec![dy.rows as u32, dy.cols as u32, specs.updates[0].rows as u32],
            groups: grid(dy.rows),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (dy, tokens) = (io.inputs[0].real(), io.inputs[1].words());
        let Spec { rows: vocabulary, cols: width, .. } = io.updates[0].spec();
        let table = io.updates[0].real();
        for (dy, &token) in dy.chunks(width).zip(tokens) {
            let row = if (token as usize) < vocabulary { token as usize } else { 0 };
            for (sum, &dy) in table[row * width..(row + 1) * width].iter_mut().zip(dy) {
                *sum += dy;
            }
        }
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it is a gradient itself")
    }
}

/// What it is tried with; some ids repeat, and some are out of range.
pub(crate) fn cases() -> Vec<Case> {
    let case = |n: usize, vocabulary: usize, width: usize, storage: Storage| {
        let table = Spec { rows: vocabulary, cols: width, storage };
        let case = Case::new(format!("{n} of {vocabulary}×{width} {storage:?}"), Embedding);
        let case = match storage {
            Storage::F32 => case.parameter(table, Fill::Normal(0.1, 1.0)),
            _ => case.input(table, Fill::Normal(0.1, 1.0)),
        };
        case.input(Spec::u32(n, 1), Fill::Below(vocabulary as u32 + 2))
    };
    let sizes = [
        (1, 11, 7),
        (2, 3, 1),
        (3, 50, 33),
        (4, 7, 64),
        (5, 9, 65),
        (6, 100, 31),
        (7, 20, 100),
        (8, 5, 129),
        (9, 40, 96),
        (17, 6, 257),
        (33, 100, 33),
        (65, 30, 70),
        (300, 20, 11),
        // Tokens that occur first past the 256th position, and again.
        (600, 400, 3),
    ];
    [Storage::F32, Storage::F16].into_iter().flat_map(|storage| sizes.map(|(n, vocabulary, width)| case(n, vocabulary, width, storage))).collect()
}
