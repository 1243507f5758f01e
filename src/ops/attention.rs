//! Causal attention with grouped query heads. No (T, T) matrix is stored: the forward keeps each
//! row's log-sum-exp, from which the backward recomputes the probabilities block by block.

use super::{bits, expect};
use crate::graph::{
    Backward, Case, CpuIo, Fill, Launch, Mat, Op, Operand, OutMat, Real, Rule, ShapeError, Spec, Specs, Storage, Threads, Variant, grid, matmul, sum,
    vectorised,
};
use rayon::prelude::*;

/// `q (batch·T, heads·d)`, `k` and `v` `(batch·S, kv_heads·d)`, `start (1, 1)` →
/// `o (batch·T, heads·d)` and the log-sum-exp of each row's scores `(batch·T, heads)`.
/// Query t of a sequence sees keys 0..=start + t; in training S = T and start = 0, in decoding
/// `k` and `v` are the cache. Scores are q·k/√d.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves heads ÷ kv_heads query heads.
    pub kv_heads: usize,
}

/// Largest head: what the kernels have workgroup memory for.
const HEAD: usize = 256;

/// Queries (or keys) a CPU task works on at once.
const BLOCK: usize = 32;

/// Sizes of an attention: those of the operation, and what its operands add.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    head_dim: usize,
    heads: usize,
    kv_heads: usize,
}

impl Sizes {
    fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
    fn q_stride(&self) -> usize {
        self.heads * self.head_dim
    }
    fn kv_stride(&self) -> usize {
        self.kv_heads * self.head_dim
    }
    /// Where the key-value head that serves query head `h` begins in a row.
    fn kv_column(&self, h: usize) -> usize {
        h / (self.heads / self.kv_heads) * self.head_dim
    }
}

impl Attention {
    fn sizes(&self, specs: Specs<'_>) -> Sizes {
        let (q, k) = (specs.inputs[0], specs.inputs[1]);
        Sizes { queries: q.rows / self.batch, keys: k.rows / self.batch, head_dim: q.cols / self.heads, heads: self.heads, kv_heads: self.kv_heads }
    }

    fn check(&self, specs: Specs<'_>) -> Result<(), ShapeError> {
        let [q, k, v] = [specs.inputs[0], specs.inputs[1], specs.inputs[2]];
        let divides = self.heads.is_multiple_of(self.kv_heads) && q.cols.is_multiple_of(self.heads);
        let fits = divides && k.same_shape(&v) && k.cols == q.cols / self.heads * self.kv_heads;
        if !fits || q.rows % self.batch != 0 || k.rows % self.batch != 0 {
            return Err(Self::refuse(format!("q {q}, k {k}, v {v}, {} heads, {} key-value heads do not fit", self.heads, self.kv_heads)));
        }
        if q.cols / self.heads > HEAD {
            return Err(Self::refuse(format!("heads of {} elements; the kernels take at most {HEAD}", q.cols / self.heads)));
        }
        Ok(())
    }

    fn params(&self, sizes: Sizes) -> Vec<u32> {
        vec![self.batch as u32, sizes.queries as u32, sizes.keys as u32, self.heads as u32, self.kv_heads as u32, sizes.head_dim as u32, bits(sizes.scale())]
    }
}

impl Op for Attention {
    const NAME: &'static str = "attention";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        expect(specs, &[F32, F32, F32, U32], &[]).map_err(Self::refuse)?;
        self.check(specs)?;
        Ok(vec![specs.inputs[0], Spec::f32(specs.inputs[0].rows, self.heads)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let sizes = self.sizes(specs);
        Variant::portable(vec![Launch {
            kernel: "attention/forward",
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0), Operand::Out(1)],
            params: self.params(sizes),
            groups: grid(self.batch * sizes.queries * self.heads),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let specs: Vec<Spec> = io.inputs.iter().map(|view| view.spec()).collect();
        let sizes = self.sizes(Specs { inputs: &specs, updates: &[] });
        let [q, k, v] = [0, 1, 2].map(|n| io.inputs[n].real());
        let start = io.inputs[3].words()[0] as usize;
        let [o, lse] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let (wide, heads) = (sizes.q_stride(), sizes.heads);
        let sequences = o.real().par_chunks_mut(sizes.queries * wide).zip(lse.real().par_chunks_mut(sizes.queries * heads)).enumerate();
        sequences.for_each(|(b, (o, lse))| {
            let q = &q[b * sizes.queries * wide..];
            let first = b * sizes.keys * sizes.kv_stride();
            let blocks = o.par_chunks_mut(BLOCK * wide).zip(lse.par_chunks_mut(BLOCK * heads)).enumerate();
            blocks.for_each(|(block, (o, lse))| {
                let t = block * BLOCK;
                forward_block(sizes, start + t, &q[t * wide..], &k[first..], &v[first..], o, lse);
            });
        });
    }

    fn backward(&self, tape: &mut Backward<'_>) -> Rule {
        if tape.upstream(1).is_some() {
            return Rule::None("the log-sum-exp is not differentiated");
        }
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let [q, k, v, start] = [0, 1, 2, 3].map(|n| tape.input(n));
        if tape.spec(q).rows != tape.spec(k).rows {
            return Rule::None("only whole sequences are differentiated, without a cache");
        }
        let (o, lse) = (tape.output(0), tape.output(1));
        let outputs = tape.push(AttentionBackward(self.clone()), &[q, k, v, start, o, lse, upstream], &[]);
        for n in 0..3 {
            tape.give(n, outputs.get(n).copied());
        }
        Rule::Done
    }
}

/// One block of queries, the first at position `first`, over the keys it sees.
fn forward_block<T: Real>(sizes: Sizes, first: usize, q: &[T], k: &[T], v: &[T], o: &mut [T], lse: &mut [T]) {
    let (d, wide, kv) = (sizes.head_dim, sizes.q_stride(), sizes.kv_stride());
    let queries = lse.len() / sizes.heads;
    let seen = (first + queries).min(sizes.keys);
    let scale = T::from_f64(sizes.scale());
    T::with_scratch(queries * seen, |scores| {
        for h in 0..sizes.heads {
            let column = sizes.kv_column(h);
            let (q, k) = (Mat::new(&q[h * d..], queries, d, wide), Mat::new(&k[column..], seen, d, kv));
            matmul(OutMat::new(scores, queries, seen, seen), q, k.t(), false, Threads::One);
            for (t, row) in scores.chunks_mut(seen).enumerate() {
                lse[t * sizes.heads + h] = vectorised(
                    #[inline(always)]
                    || softmax(row, (first + t + 1).min(seen), scale),
                );
            }
            let v = Mat::new(&v[column..], seen, d, kv);
            matmul(OutMat::new(&mut o[h * d..], queries, d, wide), Mat::new(scores, queries, seen, seen), v, false, Threads::One);
        }
    });
}

/// Softmax of `scale · row[..seen]` in place, zero beyond; gives the log-sum-exp.
#[inline(always)]
fn softmax<T: Real>(row: &mut [T], seen: usize, scale: T) -> T {
    let (row, unseen) = row.split_at_mut(seen);
    unseen.fill(T::ZERO);
    let mut top = row[0] * scale;
    for x in row.iter_mut() {
        *x = *x * scale;
        top = top.max(*x);
    }
    for x in row.iter_mut() {
        *x = (*x - top).exp();
    }
    let total = sum(row);
    let inverse = T::from_f32(1.0) / total;
    for x in row.iter_mut() {
        *x = *x * inverse;
    }
    top + total.ln()
}

/// Inputs: `q`, `k`, `v`, `start`, `o`, `lse` as in [`Attention`], and `do (batch·T, heads·d)`.
/// Outputs: `dq`, `dk`, `dv`, and as scratch `Δ = Σ_d do⊙o` `(batch·T, heads)`.
/// With P = exp(s − lse) and dP = do·vᵀ: ds = P ⊙ (dP − Δ), dq = ds·k/√d, dk = dsᵀ·q/√d, dv = Pᵀ·do.
#[derive(Clone, Debug)]
pub struct AttentionBackward(Attention);

impl Op for AttentionBackward {
    const NAME: &'static str = "attention";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        expect(specs, &[F32, F32, F32, U32, F32, F32, F32], &[]).map_err(Self::refuse)?;
        self.0.check(specs)?;
        Ok(vec![specs.inputs[0], specs.inputs[1], specs.inputs[2], specs.inputs[5]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let sizes = self.0.sizes(specs);
        let params = self.0.params(sizes);
        let rows = self.0.batch * sizes.queries * sizes.heads;
        Variant::portable(vec![
            Launch {
                kernel: "attention/delta",
                operands: vec![Operand::In(4), Operand::In(6), Operand::Out(3)],
                params: params.clone(),
                groups: grid(rows.div_ceil(64)),
            },
            Launch {
                kernel: "attention/query_gradient",
                operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(5), Operand::In(6), Operand::Out(3), Operand::Out(0)],
                params: params.clone(),
                groups: grid(rows),
            },
            Launch {
                kernel: "attention/key_gradient",
                operands: vec![
                    Operand::In(0),
                    Operand::In(1),
                    Operand::In(2),
                    Operand::In(5),
                    Operand::In(6),
                    Operand::Out(3),
                    Operand::Out(1),
                    Operand::Out(2),
                ],
                params,
                groups: grid(self.0.batch * sizes.keys * sizes.kv_heads),
            },
        ])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let specs: Vec<Spec> = io.inputs.iter().map(|view| view.spec()).collect();
        let sizes = self.0.sizes(Specs { inputs: &specs, updates: &[] });
        let [q, k, v, o, lse, dy] = [0, 1, 2, 4, 5, 6].map(|n| io.inputs[n].real());
        let [dq, dk, dv, delta] = &mut io.outputs[..] else { unreachable!("four outputs") };
        let (d, heads, wide, kv) = (sizes.head_dim, sizes.heads, sizes.q_stride(), sizes.kv_stride());
        let delta = delta.real();
        delta.par_chunks_mut(heads).zip(o.par_chunks(wide)).zip(dy.par_chunks(wide)).for_each(|((delta, o), dy)| {
            for (delta, (o, dy)) in delta.iter_mut().zip(o.chunks(d).zip(dy.chunks(d))) {
                *delta = crate::graph::dot(o, dy);
            }
        });
        let n = sizes.queries;
        let saved = |b: usize| Saved {
            q: &q[b * n * wide..],
            k: &k[b * n * kv..],
            v: &v[b * n * kv..],
            lse: &lse[b * n * heads..],
            dy: &dy[b * n * wide..],
            delta: &delta[b * n * heads..],
        };
        dq.real().par_chunks_mut(n * wide).enumerate().for_each(|(b, dq)| {
            dq.par_chunks_mut(BLOCK * wide).enumerate().for_each(|(block, dq)| query_block(sizes, block * BLOCK, &saved(b), dq));
        });
        dk.real().par_chunks_mut(n * kv).zip(dv.real().par_chunks_mut(n * kv)).enumerate().for_each(|(b, (dk, dv))| {
            dk.par_chunks_mut(BLOCK * kv).zip(dv.par_chunks_mut(BLOCK * kv)).enumerate().for_each(|(block, (dk, dv))| {
                key_block(sizes, block * BLOCK, &saved(b), dk, dv);
            });
        });
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it is a gradient itself")
    }
}

/// What the backward of one sequence reads.
struct Saved<'a, T> {
    q: &'a [T],
    k: &'a [T],
    v: &'a [T],
    lse: &'a [T],
    dy: &'a [T],
    delta: &'a [T],
}

impl<T: Real> Saved<'_, T> {
    /// P and ds/√d of head `h` for `queries` from `t` on and `keys` from `j` on, into `p` and `ds`.
    fn recompute(&self, sizes: Sizes, h: usize, (t, queries): (usize, usize), (j, keys): (usize, usize), p: &mut [T], ds: &mut [T]) {
        let (d, wide, kv, column) = (sizes.head_dim, sizes.q_stride(), sizes.kv_stride(), sizes.kv_column(h));
        let q = Mat::new(&self.q[t * wide + h * d..], queries, d, wide);
        let dy = Mat::new(&self.dy[t * wide + h * d..], queries, d, wide);
        let k = Mat::new(&self.k[j * kv + column..], keys, d, kv);
        let v = Mat::new(&self.v[j * kv + column..], keys, d, kv);
        matmul(OutMat::new(p, queries, keys, keys), q, k.t(), false, Threads::One);
        matmul(OutMat::new(ds, queries, keys, keys), dy, v.t(), false, Threads::One);
        let scale = T::from_f64(sizes.scale());
        for (row, (p, ds)) in p.chunks_mut(keys).zip(ds.chunks_mut(keys)).enumerate() {
            let at = (t + row) * sizes.heads + h;
            let (lse, delta) = (self.lse[at], self.delta[at]);
            let seen = (t + row + 1).saturating_sub(j).min(keys);
            p[seen..].fill(T::ZERO);
            ds[seen..].fill(T::ZERO);
            vectorised(
                #[inline(always)]
                || {
                    for (p, ds) in p[..seen].iter_mut().zip(&mut ds[..seen]) {
                        *p = (*p * scale - lse).exp();
                        *ds = *p * (*ds - delta) * scale;
                    }
                },
            );
        }
    }
}

/// dq of one block of queries, the first of which is query `t`.
fn query_block<T: Real>(sizes: Sizes, t: usize, saved: &Saved<'_, T>, dq: &mut [T]) {
    let (d, wide, kv) = (sizes.head_dim, sizes.q_stride(), sizes.kv_stride());
    let queries = dq.len() / wide;
    let seen = t + queries;
    T::with_scratch(2 * queries * seen, |scratch| {
        let (p, ds) = scratch.split_at_mut(queries * seen);
        for h in 0..sizes.heads {
            saved.recompute(sizes, h, (t, queries), (0, seen), p, ds);
            let k = Mat::new(&saved.k[sizes.kv_column(h)..], seen, d, kv);
            matmul(OutMat::new(&mut dq[h * d..], queries, d, wide), Mat::new(ds, queries, seen, seen), k, false, Threads::One);
        }
    });
}

/// dk and dv of one block of keys, the first of which is key `j`, from all queries that see them.
fn key_block<T: Real>(sizes: Sizes, j: usize, saved: &Saved<'_, T>, dk: &mut [T], dv: &mut [T]) {
    let (d, wide, kv) = (sizes.head_dim, sizes.q_stride(), sizes.kv_stride());
    let keys = dk.len() / kv;
    let queries = sizes.queries - j;
    let group = sizes.heads / sizes.kv_heads;
    T::with_scratch(2 * queries * keys, |scratch| {
        let (p, ds) = scratch.split_at_mut(queries * keys);
        for h in 0..sizes.heads {
            saved.recompute(sizes, h, (j, queries), (j, keys), p, ds);
            let column = sizes.kv_column(h);
            let later = h % group != 0;
            let q = Mat::new(&saved.q[j * wide + h * d..], queries, d, wide);
            let dy = Mat::new(&saved.dy[j * wide + h * d..], queries, d, wide);
            matmul(OutMat::new(&mut dk[column..], keys, d, kv), Mat::new(ds, queries, keys, keys).t(), q, later, Threads::One);
            matmul(OutMat::new(&mut dv[column..], keys, d, kv), Mat::new(p, queries, keys, keys).t(), dy, later, Threads::One);
        }
    });
}

/// What it is tried with: whole sequences with gradient, and decoding from a cache.
pub(crate) fn cases() -> Vec<Case> {
    // (batch, heads, kv_heads, head_dim, tokens)
    let whole = [
        (1, 1, 1, 1, 1),
        (1, 2, 1, 8, 2),
        (1, 2, 2, 6, 3),
        (2, 3, 3, 5, 4),
        (1, 4, 2, 7, 5),
        (3, 2, 1, 16, 6),
        (1, 6, 3, 10, 7),
        (2, 2, 2, 4, 8),
        (1, 9, 3, 64, 17),
        (2, 4, 2, 32, 33),
        (1, 2, 1, 12, 65),
        (1, 1, 1, 128, 20),
        (1, 3, 1, 5, 130),
        (1, 1, 1, 256, 9),
    ];
    // (batch, heads, kv_heads, head_dim, tokens, capacity, start)
    let cached = [
        (1, 2, 1, 8, 1, 40, 0),
        (1, 2, 2, 6, 1, 40, 39),
        (1, 9, 3, 64, 1, 70, 66),
        (2, 4, 2, 7, 2, 33, 17),
        (1, 3, 3, 5, 3, 100, 90),
        (1, 4, 1, 32, 8, 150, 130),
        (1, 2, 1, 16, 17, 40, 5),
        (1, 1, 1, 3, 4, 10, 8),
    ];
    let whole = whole.into_iter().map(|(batch, heads, kv_heads, d, tokens)| {
        let label = format!("{batch}×{tokens} tokens, {heads}/{kv_heads} heads of {d}");
        case(label, Attention { batch, heads, kv_heads }, d, (tokens, tokens), 0, Case::variable)
    });
    let cached = cached.into_iter().map(|(batch, heads, kv_heads, d, tokens, capacity, start)| {
        let label = format!("{batch}×{tokens} tokens at {start} of {capacity}, {heads}/{kv_heads} heads of {d}");
        case(label, Attention { batch, heads, kv_heads }, d, (tokens, capacity), start, Case::input)
    });
    whole.chain(cached).collect()
}

fn case(label: String, op: Attention, d: usize, (tokens, keys): (usize, usize), start: u32, operand: fn(Case, Spec, Fill) -> Case) -> Case {
    let (queries, keys) = (Spec::f32(op.batch * tokens, op.heads * d), Spec::f32(op.batch * keys, op.kv_heads * d));
    let case = operand(Case::new(label, op), queries, Fill::Normal(0.3, 1.0));
    let case = operand(case, keys, Fill::Normal(-0.2, 1.0));
    operand(case, keys, Fill::Normal(0.4, 1.0)).input(Spec::u32(1, 1), Fill::Words(vec![start]))
}
