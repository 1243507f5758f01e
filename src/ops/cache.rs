//! Writing new keys or values into the KV cache.

use super::expect;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};

/// `rows (n, width)`, `start (1, 1)`; replaces rows `start..start + n` of the cache
/// `(capacity, width)`. Rows past its end are dropped.
#[derive(Clone, Debug)]
pub struct CacheWrite;

impl Op for CacheWrite {
    const NAME: &'static str = "cache";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        expect(specs, &[Storage::F32, Storage::U32], &[Storage::F32]).map_err(Self::refuse)?;
        if specs.inputs[0].cols != specs.updates[0].cols {
            return Err(Self::refuse(format!("rows {} do not fit cache {}", specs.inputs[0], specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let rows = specs.inputs[0];
        Variant::portable(vec![Launch {
            kernel: "cache/write",
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0)],
            params: vec![rows.rows as u32, rows.cols as u32, specs.updates[0].rows as u32],
            groups: grid(rows.elements().div_ceil(256)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let start = io.inputs[1].words()[0] as usize;
        let Spec { rows: capacity, cols: width, .. } = io.updates[0].spec();
        let cache = io.updates[0].real();
        for (row, values) in io.inputs[0].real().chunks(width).enumerate().take(capacity.saturating_sub(start)) {
            cache[(start + row) * width..][..width].copy_from_slice(values);
        }
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("a cache is not differentiated")
    }
}

/// What it is tried with; the last two reach past the end, and lie beyond it.
pub(crate) fn cases() -> Vec<Case> {
    let case = |(rows, start): (usize, u32)| {
        Case::new(format!("{rows} rows at {start} of 40"), CacheWrite)
            .input(Spec::f32(rows, 33), Fill::Normal(0.3, 1.0))
            .input(Spec::u32(1, 1), Fill::Words(vec![start]))
            .update(Spec::f32(40, 33), Fill::Normal(-0.5, 1.0))
    };
    [(1, 0), (1, 39), (2, 7), (5, 20), (8, 32), (33, 3), (9, 36), (3, 41)].into_iter().map(case).collect()
}
