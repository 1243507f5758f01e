//! Dense products of the CPU implementations, in blocks on all threads. In this file, `gemm` means the crates `gemm-f32`
//! and `gemm-f64`, which compute the blocks.

use super::mat::{Mat, OutMat, spread_stride};
use super::real::{Real, dot, vectorised};
use crate::platform::parallel::{self, *};
use std::ops::Range;

/// The threads of a product. The order of summation does not depend on them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the calling thread: for callers that are parallel themselves.
    One,
    /// On all threads of the pool.
    Pool,
}

fn check_shapes<T>(out: &OutMat<'_, T>, a: &Mat<'_, T>, b: &Mat<'_, T>) {
    assert!(out.rows == a.rows && out.cols == b.cols && a.cols == b.rows, "product of matrices that do not fit");
}

/// Returns true if [`row_product`] computes this product. For a single row, `gemm` uses fused multiply-adds,
/// which WebAssembly emulates at great cost.
fn is_row<T>(out: &OutMat<'_, T>, a: &Mat<'_, T>, b: &Mat<'_, T>, accumulate: bool) -> bool {
    out.rows == 1 && !accumulate && a.col_stride == 1 && (b.row_stride == 1 || b.col_stride == 1)
}

/// Computes `out = a · b`, where `a` is a row.
#[inline(always)]
fn row_product<T: Real>(out: &mut [T], a: &[T], b: Mat<'_, T>) {
    if b.row_stride == 1 {
        return out.iter_mut().enumerate().for_each(|(j, y)| *y = dot(a, &b.data[j * b.col_stride..][..a.len()]));
    }
    let row = |i: usize| &b.data[i * b.row_stride..][..b.cols];
    out.fill(T::ZERO);
    let (quads, last) = a.as_chunks::<4>();
    for (n, &[x0, x1, x2, x3]) in quads.iter().enumerate() {
        let [b0, b1, b2, b3] = [0, 1, 2, 3].map(|i| row(4 * n + i));
        for ((((y, &b0), &b1), &b2), &b3) in out.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
            *y += (x0 * b0 + x1 * b1) + (x2 * b2 + x3 * b3);
        }
    }
    for (i, &x) in (4 * quads.len()..).zip(last) {
        out.iter_mut().zip(row(i)).for_each(|(y, &b)| *y += x * b);
    }
}

/// The output of a product, of which each thread writes a block of its own.
struct BlockedOutput<T> {
    data: *mut T,
    row_stride: usize,
}
// SAFETY: the users of `BlockedOutput` give no two threads the same element.
unsafe impl<T: Send> Sync for BlockedOutput<T> {}

impl<T: Real> BlockedOutput<T> {
    /// Computes the block at `(row, column)` as `a · b`, added to it if `accumulate`, on this thread.
    ///
    /// # Safety
    /// The block lies in the output, and no other thread writes it.
    unsafe fn product(&self, (row, column): (usize, usize), a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool) {
        // SAFETY: the caller guarantees it.
        unsafe { T::product(self.data.add(row * self.row_stride + column), self.row_stride, a, b, accumulate) };
    }
}

/// Computes `out (m, n) = a (m, k) · b (k, n)`, added to `out` if `accumulate`. With several threads it is computed in
/// blocks: `gemm`'s own parallel loop packs the left operand on one thread if it has few rows.
pub fn matmul<T: Real>(out: OutMat<'_, T>, a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool, threads: Threads) {
    check_shapes(&out, &a, &b);
    if is_row(&out, &a, &b, accumulate) {
        return vectorised(
            #[inline(always)]
            || row_product(&mut out.data[..b.cols], &a.data[..a.cols], b),
        );
    }
    in_blocks(out, a, b, accumulate, if threads == Threads::Pool { parallel::threads() } else { 1 });
}

/// Computes [`matmul`] in blocks for `threads` threads.
fn in_blocks<T: Real>(out: OutMat<'_, T>, a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool, threads: usize) {
    let transposed = b.row_stride == 1 && b.col_stride > 1;
    let (across, down) = block_counts(out.cols, out.rows, a.cols, threads);
    // On one thread, blocks only help those operands that are copied.
    let (across, down) = if threads == 1 && !transposed { (1, 1) } else { (across, down) };
    let blocks = BlockedOutput { data: out.data.as_mut_ptr(), row_stride: out.row_stride };
    let block = |i: usize, j: usize| {
        let (rows, cols) = (part(out.rows, ROW_UNIT, down, i), part(out.cols, COLUMN_UNIT, across, j));
        let (at, a, bt) = ((rows.start, cols.start), a.row_range(rows), b.t().row_range(cols));
        if transposed {
            // SAFETY: `out` is borrowed mutably, and blocks do not overlap.
            with_spread_rows(bt, |bt| unsafe { blocks.product(at, a, bt.t(), accumulate) });
        } else {
            // SAFETY: as above.
            unsafe { blocks.product(at, a, bt.t(), accumulate) };
        }
    };
    match down * across {
        1 => block(0, 0),
        _ if threads == 1 => (0..across).for_each(|j| block(0, j)),
        count => (0..count).into_par_iter().for_each(|at| block(at / across, at % across)),
    }
}

/// Calls `f` with a copy of a matrix, whose rows are contiguous; those of the copy are [`spread_stride`] apart.
fn with_spread_rows<T: Real, R>(matrix: Mat<'_, T>, f: impl FnOnce(Mat<'_, T>) -> R) -> R {
    assert!(matrix.col_stride == 1, "rows are not contiguous");
    let stride = spread_stride::<T>(matrix.cols);
    T::with_scratch(stride * matrix.rows, |copy| {
        for (copy, row) in copy.chunks_exact_mut(stride).zip(matrix.data.chunks(matrix.row_stride)) {
            copy[..matrix.cols].copy_from_slice(&row[..matrix.cols]);
        }
        f(Mat::new(copy, matrix.rows, matrix.cols, stride))
    })
}

/// Computes `out (m, n) = x (m, k) · weightᵀ` for a `weight (n, k)` that is not stored as floats. `write` decodes a range
/// of its rows into a buffer of [`spread_stride`]`(k)` elements for each, and returns them as a matrix `(k, rows)`. Each
/// thread decodes a few hundred rows at a time, so that they stay in its cache.
pub fn matmul_written<T: Real>(out: OutMat<'_, T>, x: Mat<'_, T>, accumulate: bool, write: impl for<'b> Fn(Range<usize>, &'b mut [T]) -> Mat<'b, T> + Sync) {
    let (n, k) = (out.cols, x.cols);
    assert!(out.rows == x.rows, "product of matrices that do not fit");
    let count = column_blocks(n, parallel::threads());
    let blocks = BlockedOutput { data: out.data.as_mut_ptr(), row_stride: out.row_stride };
    (0..count).into_par_iter().for_each(|block| {
        let rows = part(n, COLUMN_UNIT, count, block);
        T::with_scratch(spread_stride::<T>(k) * rows.len(), |buffer| {
            let weight = write(rows.clone(), buffer);
            assert!((weight.rows, weight.cols) == (k, rows.len()), "product of matrices that do not fit");
            // SAFETY: `out` is borrowed mutably, and blocks do not overlap.
            unsafe { blocks.product((0, rows.start), x, weight, accumulate) };
        });
    });
}

/// The minimum number of columns of each of several blocks, before their edges are rounded to [`COLUMN_UNIT`]. Rounded, each
/// has more than 64 columns; up to 64, `gemm` sums small products in another order.
const MIN_COLUMNS: usize = 128;
/// Blocks begin at multiples of these numbers of columns and rows of the output: the sizes of `gemm`'s tiles, or divisors
/// of them.
const COLUMN_UNIT: usize = 16;
const ROW_UNIT: usize = 4;

/// Splits `0..len` into `count` parts of about equal length, which begin at multiples of `unit`; returns part `index`.
fn part(len: usize, unit: usize, count: usize, index: usize) -> Range<usize> {
    let start = |index: usize| (unit * (index * len.div_ceil(unit) / count)).min(len);
    start(index)..start(index + 1)
}

/// Returns the number of blocks for `columns` columns. Blocks are small, so that a decoded one stays in its thread's cache.
/// If there are enough of them, every thread gets the same number.
fn column_blocks(columns: usize, threads: usize) -> usize {
    let count = (columns / MIN_COLUMNS).max(1);
    if count < threads { count } else { count / threads * threads }
}

/// Returns the numbers of blocks across and down a product. Small products are one block: `gemm` sums those of at most
/// 64 × 64 or 256 elements in another order, which must not depend on the threads.
fn block_counts(columns: usize, rows: usize, depth: usize, threads: usize) -> (usize, usize) {
    const WORK: usize = 48 * 48 * 256;
    if columns.min(rows) < 4 || columns * rows * depth < WORK {
        return (1, 1);
    }
    let most = column_blocks(columns, threads);
    if most >= threads {
        return (most, 1);
    }
    let least = if columns > 64 { 24 } else { 72 };
    let counts = |across: usize| (across, (threads / across).min(rows / least).max(1));
    let largest = |&(across, down): &(usize, usize)| columns.div_ceil(across) * rows.div_ceil(down);
    (1..=most).rev().map(counts).min_by_key(largest).unwrap_or((1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operands are small integers, so that every order of summation gives the same float.
    #[test]
    fn products_of_one_row_are_those_of_many() {
        for (n, k) in [(1, 1), (3, 2), (5, 7), (16, 4), (33, 21)] {
            let data: Vec<f32> = (0..(n + 2) * (k + 2)).map(|i| (i * 37 % 23) as f32 - 11.0).collect();
            let a: Vec<f32> = (0..k).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
            for b in [Mat::new(&data, k, n, n + 2), Mat::new(&data, n, k, k + 2).t()] {
                let at = |i: usize, j: usize| data[i * b.row_stride + j * b.col_stride];
                let want: Vec<f32> = (0..n).map(|j| (0..k).map(|i| a[i] * at(i, j)).sum()).collect();
                // The row lies between two values that must not change.
                let mut out = vec![f32::NAN; n + 2];
                matmul(OutMat::new(&mut out[1..], 1, n, n), Mat::new(&a, 1, k, k), b, false, Threads::One);
                assert_eq!(out[1..=n], want, "{k} × {n}");
                assert!(out[0].is_nan() && out[n + 1].is_nan());
            }
        }
    }

    #[test]
    fn copies_have_the_elements_of_their_matrix() {
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        with_spread_rows(Mat::new(&data[1..], 3, 2, 4), |copy| {
            assert_eq!((copy.rows, copy.cols, copy.row_stride, copy.col_stride), (3, 2, 8, 1));
            assert_eq!([0, 8, 16].map(|at| [copy.data[at], copy.data[at + 1]]), [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]);
        });
    }

    #[test]
    fn blocks_of_a_product_do_not_change_its_bits() {
        // The last five are one block: few columns or little work.
        for (m, n, k) in
            [(256, 100, 1100), (300, 24, 520), (60, 300, 700), (1000, 4, 515), (1000, 3, 515), (2000, 2, 300), (64, 64, 600), (9, 200, 30), (2, 512, 300)]
        {
            let data: Vec<f32> = (0..(m + n) * k).map(|i| (i as f32).sin()).collect();
            let (a, b) = data.split_at(m * k);
            for b in [Mat::new(b, k, n, n), Mat::new(b, n, k, k).t()] {
                let run = |threads| {
                    let mut out = vec![0.5; m * n];
                    in_blocks(OutMat::new(&mut out, m, n, n), Mat::new(a, m, k, k), b, true, threads);
                    out
                };
                let one = run(1);
                for threads in [2, 3, 7, 16, 64] {
                    assert!(one == run(threads), "{m} × {n} × {k} in blocks for {threads} threads");
                }
            }
        }
        assert_eq!(block_counts(768, 256, 2048, 2), (6, 1));
        assert_eq!(block_counts(768, 256, 2048, 1), (6, 1));
        assert_eq!(block_counts(768, 256, 768, 4), (4, 1));
        assert_eq!(block_counts(768, 256, 768, 16), (4, 4));
        assert_eq!(block_counts(2000, 2, 300, 2), (1, 1));
    }
}
