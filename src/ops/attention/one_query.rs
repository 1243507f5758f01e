//! Attention of a single query on the CPU, as in decoding.

use super::{AttentionSizes, forward_head};
use crate::graph::{Mat, OutMat, Real, View, rows_per_task};
use crate::platform::parallel::*;

/// Computes the only query, at position `start`, in decoding. Tasks take key-value heads, and widen no more of a cache in
/// halves than their own columns.
pub(super) fn one_query<T: Real>(sizes: AttentionSizes, start: usize, q: &[T], (k, v): (&View<'_, T>, &View<'_, T>), o: &mut [T], lse: &mut [T]) {
    /// Elements of k for a task: some ten microseconds of work, so that the overhead of a task is small.
    const ELEMENTS: usize = 1 << 15;
    let (d, seen, group) = (sizes.head_dim, (start + 1).min(sizes.keys), sizes.heads.query / sizes.heads.key_value);
    let heads = rows_per_task(sizes.heads.key_value, ELEMENTS.div_ceil(seen * d));
    let tasks = o.par_chunks_mut(heads * group * d).zip(lse.par_chunks_mut(heads * group)).enumerate();
    tasks.for_each(|(task, (o, lse))| {
        T::with_scratch(seen * (2 * d + 1), |scratch| {
            let (scores, scratch) = scratch.split_at_mut(seen);
            let (keys, values) = scratch.split_at_mut(seen * d);
            for (i, (o, lse)) in o.chunks_mut(group * d).zip(lse.chunks_mut(group)).enumerate() {
                let head = task * heads + i;
                let (k, v) = (head_columns(k, seen, head * d, d, keys), head_columns(v, seen, head * d, d, values));
                for (j, (o, lse)) in o.chunks_mut(d).zip(lse).enumerate() {
                    let q = Mat::new(&q[(head * group + j) * d..], 1, d, d);
                    forward_head(start, T::from_f64(sizes.scale()), (q, k, v), scores, OutMat::new(o, 1, d, d), std::iter::once(lse));
                }
            }
        });
    });
}

/// Returns `columns` columns of the first rows of a cache, from `first` on, which is even: of the cache itself if it is
/// stored as floats, otherwise widened into `buffer`.
fn head_columns<'a, T: Real>(cache: &View<'a, T>, rows: usize, first: usize, columns: usize, buffer: &'a mut [T]) -> Mat<'a, T> {
    match cache {
        View::Real(data, spec) => Mat::new(&data[first..], rows, columns, spec.cols),
        View::Words(words, spec) => {
            for (wide, words) in buffer.chunks_exact_mut(columns).zip(words.chunks_exact(spec.row_words())) {
                T::widen(&words[first / 2..], wide);
            }
            Mat::new(buffer, rows, columns, columns)
        }
    }
}
