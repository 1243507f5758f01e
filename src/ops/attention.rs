//! Causal attention with grouped query heads. No (T, T) matrix is stored: the forward pass keeps the
//! log-sum-exp of each row, from which the backward pass recomputes the probabilities block by block.

use super::check_operands;
use super::group::Heads;
use crate::graph::{
    Backward, Case, CpuIo, Fill, Launch, Mat, Op, Operand, OutMat, Params, Real, Rule, ShapeError, Spec, Specs, Storage, Threads, Variant, View, grid, matmul,
    sum, vectorised,
};
use crate::params;
use crate::platform::parallel::*;

/// Whole sequences: `qkv (batch·T, (query + 2·key_value)·d)`, the heads of q, k and v side by side,
/// and `start (1, 1)`, 0 in training. In decoding: `q (T, query·d)`, the cache's keys and values
/// `(capacity, key_value·d)` in f32 or f16, and `start`.
/// Outputs: `o (batch·T, query·d)` and the log-sum-exp of each row's scores `(batch·T, query)`.
/// Query t of a sequence sees keys 0..=start + t. Scores are q·k/√d.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Sequences; 1 in decoding.
    pub batch: usize,
    /// Heads in a row.
    pub heads: Heads,
}

/// Largest head dimension, limited by the kernels' workgroup memory.
const HEAD: usize = 256;

/// Queries (or keys) of a block, in CPU tasks and in the blocked kernels.
const BLOCK: usize = 32;

/// Largest head dimension of the blocked kernels, and their least number of queries: with fewer, most of a
/// block would be empty.
const BLOCKED_HEAD: usize = 128;
const BLOCKED_QUERIES: usize = 9;

/// Sizes of an attention, from the operation and its operands.
#[derive(Clone, Copy)]
struct AttentionSizes {
    queries: usize,
    keys: usize,
    head_dim: usize,
    heads: Heads,
    /// Row strides of q, and of k and v, in columns.
    q_row: usize,
    kv_row: usize,
}

impl AttentionSizes {
    fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
    /// Returns true if the blocked kernels support it: their head dimensions are multiples of four.
    fn blocked(&self) -> bool {
        self.queries >= BLOCKED_QUERIES && self.head_dim <= BLOCKED_HEAD && self.head_dim.is_multiple_of(4)
    }
    /// Columns of q, and of o.
    fn wide(&self) -> usize {
        self.heads.query * self.head_dim
    }
    /// Columns of k, and of v.
    fn kv_wide(&self) -> usize {
        self.heads.key_value * self.head_dim
    }
    /// Returns the first column, among those of k, of the key-value head of query head `h`.
    fn kv_column(&self, h: usize) -> usize {
        h / (self.heads.query / self.heads.key_value) * self.head_dim
    }
}

impl Attention {
    fn sizes(&self, specs: Specs<'_>) -> AttentionSizes {
        let (heads, first) = (self.heads, specs.inputs[0]);
        let queries = first.rows / self.batch;
        match specs.inputs {
            [_, keys, _, _] => AttentionSizes { queries, keys: keys.rows, head_dim: first.cols / heads.query, heads, q_row: first.cols, kv_row: keys.cols },
            _ => AttentionSizes { queries, keys: queries, head_dim: first.cols / heads.in_row(), heads, q_row: first.cols, kv_row: first.cols },
        }
    }

    fn check(&self, specs: Specs<'_>) -> Result<AttentionSizes, ShapeError> {
        let sizes = self.sizes(specs);
        let divides = self.heads.query.is_multiple_of(self.heads.key_value) && specs.inputs[0].rows.is_multiple_of(self.batch);
        let fits = match specs.inputs {
            [q, k, v, _] => self.batch == 1 && q.cols == sizes.wide() && k.cols == sizes.kv_wide() && v.same_shape(k),
            _ => specs.inputs[0].cols == self.heads.in_row() * sizes.head_dim,
        };
        if !divides || !fits {
            return Err(Self::shape_error(format!("{:?}, batch {}, {:?} do not fit", specs.inputs, self.batch, self.heads)));
        }
        if sizes.head_dim > HEAD {
            return Err(Self::shape_error(format!("heads of {} elements; the kernels support at most {HEAD}", sizes.head_dim)));
        }
        Ok(sizes)
    }

    /// Returns the parameters of the kernels; k and v begin at these columns of their rows.
    fn params(&self, sizes: AttentionSizes, [k, v]: [usize; 2]) -> Params {
        params! {
            batch: self.batch,
            queries: sizes.queries,
            keys: sizes.keys,
            heads: sizes.heads.query,
            kv_heads: sizes.heads.key_value,
            head_dim: sizes.head_dim,
            q_row: sizes.q_row,
            kv_row: sizes.kv_row,
            k_first: k,
            v_first: v,
            scale: sizes.scale(),
        }
    }
}

impl Op for Attention {
    const NAME: &'static str = "attention";

    fn key(&self) -> String {
        format!("Attention {{ batch: {}, heads: {} }}", self.batch, self.heads.key())
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        let whole = [F32, U32];
        let cache = specs.inputs.get(1).map_or(F32, |keys| if keys.storage == Storage::F16 { Storage::F16 } else { F32 });
        let cached = [F32, cache, cache, U32];
        check_operands(specs, if specs.inputs.len() == 4 { &cached } else { &whole }, &[]).map_err(Self::shape_error)?;
        let sizes = self.check(specs)?;
        let rows = specs.inputs[0].rows;
        Ok(vec![Spec::f32(rows, sizes.wide()), Spec::f32(rows, self.heads.query)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let mut sizes = self.sizes(specs);
        let (kernels, inputs, columns) = match specs.inputs {
            [_, keys, _, _] if keys.storage == Storage::F16 => {
                // Each row of halves starts on a word.
                sizes.kv_row = 2 * keys.row_words();
                (["attention/forward.f16", "attention.blocked/forward.f16"], [0, 1, 2, 3], [0, 0])
            }
            [_, _, _, _] => (["attention/forward", "attention.blocked/forward"], [0, 1, 2, 3], [0, 0]),
            _ => (["attention/forward", "attention.blocked/forward"], [0, 0, 0, 1], [sizes.wide(), sizes.wide() + sizes.kv_wide()]),
        };
        let launch = |kernel, queries: usize| Launch {
            kernel,
            operands: inputs.map(Operand::In).into_iter().chain([Operand::Out(0), Operand::Out(1)]).collect(),
            params: self.params(sizes, columns),
            groups: grid(self.batch * queries * self.heads.query),
            operations: Some(4.0 * self.pairs(sizes)),
        };
        let mut variants = Variant::portable(vec![launch(kernels[0], sizes.queries)]);
        if sizes.blocked() {
            let launches = vec![launch(kernels[1], sizes.queries.div_ceil(BLOCK))];
            variants.push(Variant { name: "blocked", storage: Storage::F32, launches });
        }
        variants
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let specs: Vec<Spec> = io.inputs.iter().map(|view| view.spec()).collect();
        let sizes = self.sizes(Specs { inputs: &specs, updates: &[] });
        let start = io.inputs.last().expect("start is the last input").words()[0] as usize;
        let q = io.inputs[0].real();
        let [o, lse] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let (o, lse) = (o.real(), lse.real());
        match &io.inputs[..] {
            [_, View::Real(k, _), View::Real(v, _), _] => self.sequences(sizes, start, (q, k, v), o, lse),
            // Halves are widened up to the last visible key.
            [_, View::Words(k, spec), View::Words(v, _), _] => {
                let seen = (start + sizes.queries).min(sizes.keys);
                T::with_scratch(2 * seen * spec.cols, |scratch| {
                    let (keys, values) = scratch.split_at_mut(seen * spec.cols);
                    for (wide, words) in [(&mut *keys, k), (&mut *values, v)] {
                        wide.par_chunks_mut(spec.cols).zip(words.par_chunks(spec.row_words())).for_each(|(row, words)| T::widen(words, row));
                    }
                    self.sequences(sizes, start, (q, keys, values), o, lse);
                });
            }
            _ => {
                let k = &q[sizes.wide()..];
                self.sequences(sizes, start, (q, k, &k[sizes.kv_wide()..]), o, lse);
            }
        }
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        if tape.upstream(1).is_some() {
            return Rule::None("the log-sum-exp is not differentiated");
        }
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        if tape.inputs() != 2 {
            return Rule::None("only whole sequences are differentiated, without a cache");
        }
        let (qkv, o, lse) = (tape.input(0), tape.output(0), tape.output(1));
        let outputs = tape.push(AttentionBackward(self.clone()), &[qkv, lse, o, upstream], &[]);
        tape.add_gradient(0, outputs.first().copied());
        Rule::Done
    }
}

impl Attention {
    /// Returns the multiplications of one of its products: the elements of a head for each query and each key that it
    /// sees. A cache counts as full.
    fn pairs(&self, sizes: AttentionSizes) -> f64 {
        let (queries, keys) = (sizes.queries as f64, sizes.keys as f64);
        let seen = queries * (keys - (queries - 1.0).min(keys) / 2.0);
        seen * (self.batch * sizes.heads.query * sizes.head_dim) as f64
    }

    /// Computes every sequence in blocks of queries. `k` and `v` begin at their first element.
    fn sequences<T: Real>(&self, sizes: AttentionSizes, start: usize, (q, k, v): (&[T], &[T], &[T]), o: &mut [T], lse: &mut [T]) {
        let (wide, heads) = (sizes.wide(), sizes.heads.query);
        let sequences = o.par_chunks_mut(sizes.queries * wide).zip(lse.par_chunks_mut(sizes.queries * heads)).enumerate();
        sequences.for_each(|(b, (o, lse))| {
            let q = &q[b * sizes.queries * sizes.q_row..];
            let first = b * sizes.keys * sizes.kv_row;
            let blocks = o.par_chunks_mut(BLOCK * wide).zip(lse.par_chunks_mut(BLOCK * heads)).enumerate();
            blocks.for_each(|(block, (o, lse))| {
                let t = block * BLOCK;
                forward_block(sizes, start + t, &q[t * sizes.q_row..], &k[first..], &v[first..], o, lse);
            });
        });
    }
}

/// Computes one block of queries, the first at position `first`, over its visible keys.
fn forward_block<T: Real>(sizes: AttentionSizes, first: usize, q: &[T], k: &[T], v: &[T], o: &mut [T], lse: &mut [T]) {
    let (d, heads) = (sizes.head_dim, sizes.heads.query);
    let queries = lse.len() / heads;
    let seen = (first + queries).min(sizes.keys);
    let scale = T::from_f64(sizes.scale());
    T::with_scratch(queries * seen, |scores| {
        for h in 0..heads {
            let column = sizes.kv_column(h);
            let (q, k) = (Mat::new(&q[h * d..], queries, d, sizes.q_row), Mat::new(&k[column..], seen, d, sizes.kv_row));
            matmul(OutMat::new(scores, queries, seen, seen), q, k.t(), false, Threads::One);
            for (t, row) in scores.chunks_mut(seen).enumerate() {
                lse[t * heads + h] = vectorised(
                    #[inline(always)]
                    || softmax(row, (first + t + 1).min(seen), scale),
                );
            }
            let v = Mat::new(&v[column..], seen, d, sizes.kv_row);
            matmul(OutMat::new(&mut o[h * d..], queries, d, sizes.wide()), Mat::new(scores, queries, seen, seen), v, false, Threads::One);
        }
    });
}

/// Computes the softmax of `scale · row[..seen]` in place, 0 beyond; returns the log-sum-exp.
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

/// Inputs: `qkv`, `lse` and `o` as in [`Attention`], and `do (batch·T, query·d)`. Outputs: `dqkv`,
/// and as scratch `Δ = Σ_d do⊙o` `(batch·T, query)`.
/// With P = exp(s − lse) and dP = do·vᵀ: ds = P ⊙ (dP − Δ), dq = ds·k/√d, dk = dsᵀ·q/√d, dv = Pᵀ·do.
#[derive(Clone, Debug)]
pub struct AttentionBackward(Attention);

impl Op for AttentionBackward {
    const NAME: &'static str = "attention";

    fn key(&self) -> String {
        format!("AttentionBackward({})", self.0.key())
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check_operands(specs, &[Storage::F32; 4], &[]).map_err(Self::shape_error)?;
        self.0.check(Specs { inputs: &specs.inputs[..1], updates: &[] })?;
        Ok(vec![specs.inputs[0], specs.inputs[1]])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let sizes = self.0.sizes(Specs { inputs: &specs.inputs[..1], updates: &[] });
        let params = self.0.params(sizes, [sizes.wide(), sizes.wide() + sizes.kv_wide()]);
        let shared = [0, 0, 0, 1, 3].map(Operand::In);
        // There are as many keys as queries.
        let launches = |[query, key]: [&'static str; 2], blocks: usize| {
            let launch = |kernel, others: &[Operand], heads: usize, products: f64| Launch {
                kernel,
                operands: [&shared[..], others].concat(),
                params: params.clone(),
                groups: grid(self.0.batch * blocks * heads),
                operations: Some(products * self.0.pairs(sizes)),
            };
            let (delta, dx) = (Operand::Out(1), Operand::Out(0));
            vec![launch(query, &[Operand::In(2), delta, dx], sizes.heads.query, 6.0), launch(key, &[delta, dx], sizes.heads.key_value, 8.0)]
        };
        let mut variants = Variant::portable(launches(["attention/query_gradient", "attention/key_gradient"], sizes.queries));
        if sizes.blocked() {
            let launches = launches(["attention.blocked/query_gradient", "attention.blocked/key_gradient"], sizes.queries.div_ceil(BLOCK));
            variants.push(Variant { name: "blocked", storage: Storage::F32, launches });
        }
        variants
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let sizes = self.0.sizes(Specs { inputs: &[io.inputs[0].spec()], updates: &[] });
        let [x, lse, o, dy] = [0, 1, 2, 3].map(|n| io.inputs[n].real());
        let [dx, delta] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let (d, heads, wide, row) = (sizes.head_dim, sizes.heads.query, sizes.wide(), sizes.q_row);
        let delta = delta.real();
        delta.par_chunks_mut(heads).zip(o.par_chunks(wide)).zip(dy.par_chunks(wide)).for_each(|((delta, o), dy)| {
            for (delta, (o, dy)) in delta.iter_mut().zip(o.chunks(d).zip(dy.chunks(d))) {
                *delta = crate::graph::dot(o, dy);
            }
        });
        let n = sizes.queries;
        let saved = |b: usize| {
            let q = &x[b * n * row..];
            let k = &q[wide..];
            SavedTensors { q, k, v: &k[sizes.kv_wide()..], lse: &lse[b * n * heads..], dy: &dy[b * n * wide..], delta: &delta[b * n * heads..] }
        };
        dx.real().par_chunks_mut(n * row).enumerate().for_each(|(b, dx)| {
            dx.par_chunks_mut(BLOCK * row).enumerate().for_each(|(block, dx)| {
                query_block(sizes, block * BLOCK, &saved(b), dx);
                key_block(sizes, block * BLOCK, &saved(b), &mut dx[wide..]);
            });
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}

/// The operands of the backward pass of one sequence.
struct SavedTensors<'a, T> {
    q: &'a [T],
    k: &'a [T],
    v: &'a [T],
    lse: &'a [T],
    dy: &'a [T],
    delta: &'a [T],
}

impl<T: Real> SavedTensors<'_, T> {
    /// Writes P and ds/√d of head `h` for `queries` from `t` on and `keys` from `j` on to `p` and `ds`.
    fn recompute(&self, sizes: AttentionSizes, h: usize, (t, queries): (usize, usize), (j, keys): (usize, usize), p: &mut [T], ds: &mut [T]) {
        let (d, wide, row, column) = (sizes.head_dim, sizes.wide(), sizes.q_row, sizes.kv_column(h));
        let q = Mat::new(&self.q[t * row + h * d..], queries, d, row);
        let dy = Mat::new(&self.dy[t * wide + h * d..], queries, d, wide);
        let k = Mat::new(&self.k[j * row + column..], keys, d, row);
        let v = Mat::new(&self.v[j * row + column..], keys, d, row);
        matmul(OutMat::new(p, queries, keys, keys), q, k.t(), false, Threads::One);
        matmul(OutMat::new(ds, queries, keys, keys), dy, v.t(), false, Threads::One);
        let scale = T::from_f64(sizes.scale());
        for (row, (p, ds)) in p.chunks_mut(keys).zip(ds.chunks_mut(keys)).enumerate() {
            let at = (t + row) * sizes.heads.query + h;
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

/// Writes dq of one block of queries, the first of which is query `t`, to its columns of `dx`.
fn query_block<T: Real>(sizes: AttentionSizes, t: usize, saved: &SavedTensors<'_, T>, dx: &mut [T]) {
    let (d, row) = (sizes.head_dim, sizes.q_row);
    let queries = dx.len() / row;
    let seen = t + queries;
    T::with_scratch(2 * queries * seen, |scratch| {
        let (p, ds) = scratch.split_at_mut(queries * seen);
        for h in 0..sizes.heads.query {
            saved.recompute(sizes, h, (t, queries), (0, seen), p, ds);
            let k = Mat::new(&saved.k[sizes.kv_column(h)..], seen, d, row);
            matmul(OutMat::new(&mut dx[h * d..], queries, d, row), Mat::new(ds, queries, seen, seen), k, false, Threads::One);
        }
    });
}

/// Writes dk and dv of one block of keys, the first of which is key `j`, from all queries that attend to
/// them, to their columns; `dx` begins at k's.
fn key_block<T: Real>(sizes: AttentionSizes, j: usize, saved: &SavedTensors<'_, T>, dx: &mut [T]) {
    let (d, wide, row) = (sizes.head_dim, sizes.wide(), sizes.q_row);
    let keys = dx.len().div_ceil(row);
    let queries = sizes.queries - j;
    let group = sizes.heads.query / sizes.heads.key_value;
    T::with_scratch(2 * queries * keys, |scratch| {
        let (p, ds) = scratch.split_at_mut(queries * keys);
        for h in 0..sizes.heads.query {
            saved.recompute(sizes, h, (j, queries), (j, keys), p, ds);
            let column = sizes.kv_column(h);
            let later = h % group != 0;
            let q = Mat::new(&saved.q[j * row + h * d..], queries, d, row);
            let dy = Mat::new(&saved.dy[j * wide + h * d..], queries, d, wide);
            matmul(OutMat::new(&mut dx[column..], keys, d, row), Mat::new(ds, queries, keys, keys).t(), q, later, Threads::One);
            matmul(OutMat::new(&mut dx[sizes.kv_wide() + column..], keys, d, row), Mat::new(p, queries, keys, keys).t(), dy, later, Threads::One);
        }
    });
}

/// Test cases: whole sequences with gradient, and decoding with a KV cache.
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
        // At the edges of blocks of 32 queries and keys, and of 32 elements of a head.
        (2, 2, 1, 4, 9),
        (2, 2, 1, 36, 31),
        (1, 3, 1, 28, 32),
        (1, 2, 2, 100, 64),
        (2, 2, 1, 128, 97),
    ];
    // (heads, kv_heads, head_dim, tokens, capacity, start)
    let cached = [
        (2, 1, 8, 1, 40, 0),
        (2, 2, 6, 1, 40, 39),
        (9, 3, 64, 1, 70, 66),
        (4, 2, 7, 2, 33, 17),
        (3, 3, 5, 3, 100, 90),
        (4, 1, 32, 8, 150, 130),
        (2, 1, 16, 17, 40, 5),
        (1, 1, 3, 4, 10, 8),
        (2, 1, 8, 9, 80, 55),
        (4, 2, 68, 33, 140, 95),
        (2, 2, 128, 40, 96, 60),
    ];
    let whole = whole.into_iter().map(|(batch, query, key_value, d, tokens)| {
        let heads = Heads { query, key_value };
        Case::new(format!("{batch}×{tokens} tokens, {query}/{key_value} heads of {d}"), Attention { batch, heads })
            .variable(Spec::f32(batch * tokens, heads.in_row() * d), Fill::Normal(0.2, 1.0))
            .input(Spec::u32(1, 1), Fill::Words(vec![0]))
    });
    // Scores whose exponentials overflow f32 unless the maximum is subtracted.
    let far = Heads { query: 4, key_value: 2 };
    let far = Case::new("2×70 tokens, 4/2 heads of 8, scores far apart", Attention { batch: 2, heads: far })
        .variable(Spec::f32(140, far.in_row() * 8), Fill::Normal(0.3, 12.0))
        .input(Spec::u32(1, 1), Fill::Words(vec![0]));
    let cached = [Storage::F32, Storage::F16].into_iter().flat_map(|storage| cached.map(|sizes| cached_case(sizes, storage)));
    whole.chain([far]).chain(cached).collect()
}

fn cached_case((query, key_value, d, tokens, capacity, start): (usize, usize, usize, usize, usize, u32), storage: Storage) -> Case {
    let cache = Spec { rows: capacity, cols: key_value * d, storage };
    let label = format!("{tokens} tokens at {start} of {capacity} in {storage:?}, {query}/{key_value} heads of {d}");
    Case::new(label, Attention { batch: 1, heads: Heads { query, key_value } })
        .input(Spec::f32(tokens, query * d), Fill::Normal(0.3, 1.0))
        .input(cache, Fill::Normal(-0.2, 1.0))
        .input(cache, Fill::Normal(0.4, 1.0))
        .input(Spec::u32(1, 1), Fill::Words(vec![start]))
}
