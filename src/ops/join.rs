//! Concatenation and slicing of columns. Products with a matrix that is too large for one binding are
//! computed block by block and concatenated.

use super::check_operands;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};
use crate::params;

/// Returns a copy of columns; `source` and `target` are width and first column.
fn launch(rows: usize, cols: usize, source: (usize, usize), target: (usize, usize), operands: Vec<Operand>) -> Launch {
    let params = params! { rows: rows, cols: cols, source_width: source.0, source_first: source.1, target_width: target.0, target_first: target.1 };
    Launch { kernel: "join/copy", operands, params, groups: grid((rows * cols).div_ceil(256)), operations: None }
}

/// Any number of inputs `(rows, nᵢ)`, side by side → `(rows, Σ nᵢ)`.
#[derive(Clone, Debug)]
pub struct Join;

impl Op for Join {
    const NAME: &'static str = "join";

    fn key(&self) -> String {
        "Join".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &vec![Storage::F32; specs.inputs.len().max(1)], &[]).map_err(Self::shape_error)?;
        let rows = specs.inputs[0].rows;
        match specs.inputs.iter().find(|spec| spec.rows != rows) {
            Some(other) => Err(Self::shape_error(format!("{} and {other} have different numbers of rows", specs.inputs[0]))),
            None => Ok(vec![Spec::f32(rows, specs.inputs.iter().map(|spec| spec.cols).sum())]),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let width = specs.inputs.iter().map(|spec| spec.cols).sum();
        let mut first = 0;
        let copies = specs.inputs.iter().enumerate().map(|(n, spec)| {
            first += spec.cols;
            launch(spec.rows, spec.cols, (spec.cols, 0), (width, first - spec.cols), vec![Operand::In(n), Operand::Out(0)])
        });
        Variant::portable(copies.collect())
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let width = io.outputs[0].spec().cols;
        let out = io.outputs[0].real();
        let mut first = 0;
        for part in &io.inputs {
            let cols = part.spec().cols;
            for (out, row) in out.chunks_mut(width).zip(part.real().chunks(cols)) {
                out[first..first + cols].copy_from_slice(row);
            }
            first += cols;
        }
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let mut first = 0;
        for n in 0..tape.inputs() {
            let count = tape.spec(tape.input(n)).cols;
            if tape.needs_gradient(n) {
                let part = tape.push(Columns { first, count }, &[upstream], &[]);
                tape.add_gradient(n, part.first().copied());
            }
            first += count;
        }
        Rule::Done
    }
}

/// Columns `first..first + count` of `(rows, n)` → `(rows, count)`.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The first column.
    pub first: usize,
    /// Number of columns.
    pub count: usize,
}

impl Op for Columns {
    const NAME: &'static str = "join";

    fn key(&self) -> String {
        format!("Columns {{ first: {}, count: {} }}", self.first, self.count)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32], &[]).map_err(Self::shape_error)?;
        let Spec { rows, cols, .. } = specs.inputs[0];
        if self.count == 0 || self.first + self.count > cols {
            return Err(Self::shape_error(format!("{} has no columns {}..{}", specs.inputs[0], self.first, self.first + self.count)));
        }
        Ok(vec![Spec::f32(rows, self.count)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let Spec { rows, cols, .. } = specs.inputs[0];
        Variant::portable(vec![launch(rows, self.count, (cols, self.first), (self.count, 0), vec![Operand::In(0), Operand::Out(0)])])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let cols = io.inputs[0].spec().cols;
        for (out, row) in io.outputs[0].real().chunks_mut(self.count).zip(io.inputs[0].real().chunks(cols)) {
            out.copy_from_slice(&row[self.first..self.first + self.count]);
        }
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("it is only applied to gradients")
    }
}

/// Test cases: one to three parts, odd widths, edges.
pub(crate) fn cases() -> Vec<Case> {
    let normal = || Fill::Normal(0.2, 1.0);
    let join = |rows: usize, widths: &[usize]| {
        let case = Case::new(format!("{rows} × {widths:?}"), Join);
        widths.iter().fold(case, |case, &cols| case.variable(Spec::f32(rows, cols), normal()))
    };
    let columns = |rows: usize, cols: usize, first: usize, count: usize| {
        Case::new(format!("{first}..{} of {rows} × {cols}", first + count), Columns { first, count }).input(Spec::f32(rows, cols), normal())
    };
    vec![
        join(1, &[5]),
        join(1, &[300, 1]),
        join(3, &[64, 64, 33]),
        join(70, &[1, 7, 130]),
        columns(1, 1, 0, 1),
        columns(3, 100, 64, 36),
        columns(65, 33, 0, 32),
        columns(7, 500, 123, 257),
    ]
}
