//! Rotary position embedding in the Hugging Face layout: element j of a head's first half is rotated
//! with element j of its second half by the angle position · θ^(−2j/head_dim).

use super::check_operands;
use super::group::Heads;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, ViewMut, grid};
use crate::params;
use crate::platform::parallel::*;

/// `qkv (batch·seq, (query + 2·key_value)·head_dim)`, the heads of q, k and v side by side, `cos` and
/// `sin` `(positions, head_dim/2)`, `start (1, 1)` → the same with q and k rotated. Row b·seq + t has
/// position start + t. The host computes the tables in f64, because WGSL's sin and cos guarantee too
/// little accuracy.
///
/// In decoding the updates are a KV cache, keys and values `(capacity, key_value·head_dim)` in f32
/// or f16: k and v are written to its rows from `start` on (rows past its end are dropped), and the
/// output is q.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Heads in a row.
    pub heads: Heads,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Rotates back, as in the gradient.
    pub inverse: bool,
}

impl Rope {
    fn check(&self, specs: Specs<'_>) -> Result<(), ShapeError> {
        use Storage::{F16, F32, U32};
        let storage = if specs.updates.first().is_some_and(|cache| cache.storage == F16) { F16 } else { F32 };
        let cached = !specs.updates.is_empty();
        check_operands(specs, &[F32, F32, F32, U32], &vec![storage; if cached { 2 } else { 0 }]).map_err(Self::shape_error)?;
        let (x, cos) = (specs.inputs[0], specs.inputs[1]);
        let head = 2 * cos.cols;
        if x.cols != self.heads.in_row() * head || !cos.same_shape(&specs.inputs[2]) || x.rows % self.seq != 0 || cos.rows < self.seq {
            return Err(Self::shape_error(format!("x {x}, table {cos}, {:?}, sequences of {} do not fit", self.heads, self.seq)));
        }
        let fits = |cache: &Spec| cache.cols == self.heads.key_value * head && x.rows == self.seq;
        if let Some(cache) = specs.updates.iter().find(|cache| !fits(cache)) {
            return Err(Self::shape_error(format!("one sequence of {x} does not fit cache {cache}")));
        }
        if storage == F16 && !head.is_multiple_of(4) {
            return Err(Self::shape_error(format!(
                "heads of {head} elements cannot be cached in f16, which needs an even number in each half. Use a cache in f32"
            )));
        }
        Ok(())
    }
}

impl Op for Rope {
    const NAME: &'static str = "rope";

    fn key(&self) -> String {
        format!("Rope {{ heads: {}, seq: {}, inverse: {} }}", self.heads.key(), self.seq, self.inverse)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        self.check(specs)?;
        let (x, head) = (specs.inputs[0], 2 * specs.inputs[1].cols);
        Ok(vec![if specs.updates.is_empty() { x } else { Spec::f32(x.rows, self.heads.query * head) }])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (x, cos) = (specs.inputs[0], specs.inputs[1]);
        let mut operands = vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)];
        let params = params! {
            rows: x.rows,
            query_heads: self.heads.query,
            kv_heads: self.heads.key_value,
            half_dim: cos.cols,
            seq: self.seq,
            inverse: self.inverse,
            positions: cos.rows,
            capacity: specs.updates.first().map_or(0, |cache| cache.rows),
        };
        let mut invocations = x.elements() / 2;
        let kernel = match specs.updates.first() {
            None => "rope/rotate",
            Some(cache) => {
                operands.extend([Operand::Up(0), Operand::Up(1)]);
                invocations /= if cache.storage == Storage::F16 { 2 } else { 1 };
                if cache.storage == Storage::F16 { "rope/cache.f16" } else { "rope/cache" }
            }
        };
        Variant::portable(vec![Launch { kernel, operands, params, groups: grid(invocations.div_ceil(256)), operations: None }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (width, half, positions) = (io.inputs[0].spec().cols, io.inputs[1].spec().cols, io.inputs[1].spec().rows);
        let (x, cos, sin, start) = (io.inputs[0].real(), io.inputs[1].real(), io.inputs[2].real(), io.inputs[3].words()[0] as usize);
        let turn = |row: usize, x: &[T], y: &mut [T]| {
            let position = (start + row % self.seq).min(positions - 1);
            self.turn(&cos[position * half..][..half], &sin[position * half..][..half], x, y);
        };
        let turned = (self.heads.query + self.heads.key_value) * 2 * half;
        if io.updates.is_empty() {
            return io.outputs[0].real().par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
                turn(row, &x[..turned], &mut y[..turned]);
                y[turned..].copy_from_slice(&x[turned..]);
            });
        }
        let wide = self.heads.query * 2 * half;
        let q = io.outputs[0].real();
        let [keys, values] = &mut io.updates[..] else { unreachable!("two updates") };
        let capacity = keys.spec().rows;
        for (row, (q, x)) in q.chunks_mut(wide).zip(x.chunks(width)).enumerate() {
            turn(row, &x[..wide], q);
            if row < capacity.saturating_sub(start) {
                let mut k = x[wide..turned].to_vec();
                turn(row, &x[wide..turned], &mut k);
                store(keys, start + row, &k);
                store(values, start + row, &x[turned..]);
            }
        }
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let tables = [1, 2, 3].map(|n| tape.input(n));
        let back = Rope { inverse: !self.inverse, ..self.clone() };
        let dx = tape.push(back, &[upstream, tables[0], tables[1], tables[2]], &[]);
        tape.add_gradient(0, dx.first().copied());
        Rule::Done
    }
}

impl Rope {
    /// Rotates every head of a row: y0 = x0·cos − x1·sin, y1 = x1·cos + x0·sin.
    fn turn<T: Real>(&self, cos: &[T], sin: &[T], x: &[T], y: &mut [T]) {
        let half = cos.len();
        for (y, x) in y.chunks_mut(2 * half).zip(x.chunks(2 * half)) {
            let ((y0, y1), (x0, x1)) = (y.split_at_mut(half), x.split_at(half));
            for j in 0..half {
                let s = if self.inverse { -sin[j] } else { sin[j] };
                y0[j] = x0[j] * cos[j] - x1[j] * s;
                y1[j] = x1[j] * cos[j] + x0[j] * s;
            }
        }
    }
}

/// Writes a row of a cache.
fn store<T: Real>(cache: &mut ViewMut<'_, T>, row: usize, values: &[T]) {
    match cache {
        ViewMut::Real(data, spec) => data[row * spec.cols..][..spec.cols].copy_from_slice(values),
        ViewMut::Words(data, spec) => T::narrow(values, &mut data[row * spec.row_words()..][..spec.row_words()]),
    }
}

/// Test cases. The tables need not be sines and cosines of an angle: the operation is linear in them.
pub(crate) fn cases() -> Vec<Case> {
    let case = |batch: usize, seq: usize, (query, key_value): (usize, usize), half: usize, start: u32, inverse: bool| {
        let (table, heads) = (Spec::f32(seq + 5, half), Heads { query, key_value });
        let label = format!("{batch}×{seq} tokens, {query}/{key_value}×{} from {start}{}", 2 * half, if inverse { ", back" } else { "" });
        Case::new(label, Rope { heads, seq, inverse })
            .variable(Spec::f32(batch * seq, heads.in_row() * 2 * half), Fill::Normal(0.3, 1.0))
            .input(table, Fill::Uniform(-0.8, 1.0))
            .input(table, Fill::Uniform(-1.0, 0.9))
            .input(Spec::u32(1, 1), Fill::Words(vec![start]))
    };
    let mut cases: Vec<Case> = (1..9).map(|seq| case(1, seq, (2, 1), 4, 5, false)).collect();
    cases.extend([case(1, 1, (1, 1), 1, 0, false), case(2, 17, (3, 1), 5, 0, false), case(3, 33, (9, 3), 32, 2, false), case(2, 65, (2, 2), 16, 3, true)]);
    // Positions past the table use its last row.
    cases.push(case(1, 9, (2, 1), 3, 40, false));
    // The last two reach past the end of the cache.
    let at = [(1, 0), (1, 39), (2, 7), (5, 20), (8, 32), (33, 3), (9, 36), (3, 41)];
    cases.extend([Storage::F32, Storage::F16].into_iter().flat_map(|storage| at.map(|(seq, start)| cached_case(seq, start, storage))));
    cases
}

/// Angles and values without cancellation, so that halves differ by rounding only.
fn cached_case(seq: usize, start: u32, storage: Storage) -> Case {
    let (heads, half) = (Heads { query: 3, key_value: 1 }, 6);
    let (table, cache) = (Spec::f32(50, half), Spec { rows: 40, cols: 2 * half, storage });
    Case::new(format!("{seq} tokens at {start} of 40 in {storage:?}"), Rope { heads, seq, inverse: false })
        .input(Spec::f32(seq, heads.in_row() * 2 * half), Fill::Uniform(0.5, 1.0))
        .input(table, Fill::Uniform(0.8, 1.0))
        .input(table, Fill::Uniform(-0.3, -0.1))
        .input(Spec::u32(1, 1), Fill::Words(vec![start]))
        .update(cache, Fill::Normal(-0.5, 1.0))
        .update(cache, Fill::Normal(0.4, 1.0))
}
