//! Embedding: row `tokens[b]` of a table; its gradient adds to these rows.

use super::check_operands;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};
use crate::params;

/// `table (vocabulary, width)`, `tokens (n, 1)` → `(n, width)`. A table too large for one binding is
/// split into several inputs, by rows. The caller checks token ids; an id out of range reads row 0.
#[derive(Clone, Debug)]
pub struct Embedding;

impl Op for Embedding {
    const NAME: &'static str = "embedding";

    fn key(&self) -> String {
        "Embedding".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        let table = specs.inputs.first().map_or(Storage::F32, |spec| spec.storage);
        if !matches!(table, Storage::F32 | Storage::F16 | Storage::Q8) {
            return Err(Self::shape_error(format!("the table must hold floats, got {}", specs.inputs[0])));
        }
        let tables = specs.inputs.len().saturating_sub(1).max(1);
        check_operands(specs, &[&vec![table; tables][..], &[Storage::U32]].concat(), &[]).map_err(Self::shape_error)?;
        let (table, tokens) = (specs.inputs[0], specs.inputs[tables]);
        match specs.inputs[..tables].iter().find(|part| part.cols != table.cols) {
            Some(part) => Err(Self::shape_error(format!("{table} and {part} are not parts of one table"))),
            None => Ok(vec![Spec::f32(tokens.rows, table.cols)]),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (tokens, tables) = specs.inputs.split_last().expect("tables and tokens");
        let (table, n) = (tables[0], tokens.rows);
        let vocabulary = tables.iter().map(|table| table.rows).sum::<usize>() as u32;
        let launch = |(part, first): (usize, usize)| Launch {
            kernel: match table.storage {
                Storage::F16 => "embedding/forward.f16",
                Storage::Q8 => "embedding/forward.q8",
                _ => "embedding/forward",
            },
            operands: vec![Operand::In(part), Operand::In(tables.len()), Operand::Out(0)],
            params: params! { positions: n, width: table.cols, vocabulary: vocabulary, first: first, rows: tables[part].rows },
            groups: grid((n * table.cols).div_ceil(256)),
            operations: None,
        };
        Variant::portable(parts(tables).map(launch).collect())
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (tokens, tables) = io.inputs.split_last().expect("tables and tokens");
        let vocabulary: usize = tables.iter().map(|table| table.spec().rows).sum();
        let width = io.outputs[0].spec().cols;
        for (out, &token) in io.outputs[0].real().chunks_mut(width).zip(tokens.words()) {
            let mut row = if (token as usize) < vocabulary { token as usize } else { 0 };
            let mut part = 0;
            while row >= tables[part].spec().rows {
                row -= tables[part].spec().rows;
                part += 1;
            }
            tables[part].row(row, out);
        }
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let last = tape.inputs() - 1;
        let (tokens, tables): (_, Vec<Spec>) = (tape.input(last), (0..last).map(|n| tape.spec(tape.input(n))).collect());
        let vocabulary = tables.iter().map(|table| table.rows).sum();
        for (part, first) in parts(&tables) {
            if let Some(sum) = tape.accumulator(part) {
                tape.push(EmbeddingGradient { first, vocabulary }, &[upstream, tokens], &[sum]);
            }
        }
        Rule::Done
    }
}

/// Returns the parts of a table, with the first row of each.
fn parts(tables: &[Spec]) -> impl Iterator<Item = (usize, usize)> + '_ {
    tables.iter().enumerate().scan(0, |next, (part, table)| {
        *next += table.rows;
        Some((part, *next - table.rows))
    })
}

/// `dy (n, width)`, `tokens (n, 1)`; adds each row of `dy` to row `tokens[b]` of the table's
/// gradient, in the order of b. The update may be a part of the table: tokens of other parts are skipped.
#[derive(Clone, Debug)]
pub struct EmbeddingGradient {
    /// First row of this part.
    pub first: usize,
    /// Rows of the whole table.
    pub vocabulary: usize,
}

impl Op for EmbeddingGradient {
    const NAME: &'static str = "embedding";

    fn key(&self) -> String {
        format!("EmbeddingGradient {{ first: {}, vocabulary: {} }}", self.first, self.vocabulary)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32, Storage::U32], &[Storage::F32]).map_err(Self::shape_error)?;
        if specs.inputs[0].cols != specs.updates[0].cols || specs.inputs[0].rows != specs.inputs[1].rows {
            return Err(Self::shape_error(format!("dy {} does not fit table {}", specs.inputs[0], specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let dy = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "embedding/gradient",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: params! { positions: dy.rows, width: dy.cols, vocabulary: self.vocabulary, first: self.first, rows: specs.updates[0].rows },
            groups: grid(dy.rows),
            // Each position is compared with all.
            operations: Some((dy.rows * dy.rows + dy.elements()) as f64),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (dy, tokens) = (io.inputs[0].real(), io.inputs[1].words());
        let Spec { rows, cols: width, .. } = io.updates[0].spec();
        let table = io.updates[0].real();
        for (dy, &token) in dy.chunks(width).zip(tokens) {
            let row = if (token as usize) < self.vocabulary { token as usize } else { 0 };
            if row < self.first || row >= self.first + rows {
                continue;
            }
            let row = row - self.first;
            for (sum, &dy) in table[row * width..(row + 1) * width].iter_mut().zip(dy) {
                *sum += dy;
            }
        }
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}

/// Test cases: tables whole and in parts; some ids repeat, and some are out of range.
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
        // Tokens that occur first after the 256th position, and repeat.
        (600, 400, 3),
        // Tokens that repeat many times, over more than twice 256 positions.
        (515, 2, 260),
    ];
    let in_parts = |n: usize, rows: &[usize], width: usize| {
        let case = Case::new(format!("{n} of {rows:?}×{width}"), Embedding);
        let case = rows.iter().fold(case, |case, &rows| case.parameter(Spec::f32(rows, width), Fill::Normal(0.1, 1.0)));
        case.input(Spec::u32(n, 1), Fill::Below(rows.iter().sum::<usize>() as u32 + 2))
    };
    let mut cases = vec![in_parts(3, &[1, 1], 5), in_parts(40, &[7, 7, 3], 33), in_parts(300, &[64, 11], 70)];
    let storages = [Storage::F32, Storage::F16, Storage::Q8];
    cases.extend(storages.into_iter().flat_map(|storage| sizes.map(|(n, vocabulary, width)| case(n, vocabulary, width, storage))));
    cases
}
