//! Views of matrices, for products on the CPU.

use std::ops::Range;

/// Returns a row stride for rows of `columns` elements: an odd number of cache lines, so that equal columns of up to 64
/// rows lie in different sets of an L1 cache. In rows that are 4 KiB apart, they share one set, and evict each other.
pub fn spread_stride<T>(columns: usize) -> usize {
    let line = 64 / size_of::<T>();
    (columns.div_ceil(line) | 1) * line
}

/// A strided view of a matrix: element `(r, c)` is `data[r · row_stride + c · col_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// `rows × cols` at the start of `data`, rows `row_stride` apart.
    pub fn new(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || data.len() >= (rows - 1) * row_stride + cols, "matrix view out of range");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// Returns the transpose, without copying.
    pub fn t(self) -> Self {
        Self { data: self.data, rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// The rows of `range`.
    pub(super) fn row_range(self, range: Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.row_stride..], rows: range.len(), ..self }
    }
}

/// A writable matrix, rows `row_stride` apart.
pub struct OutMat<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a, T> OutMat<'a, T> {
    /// `rows × cols` at the start of `data`, rows `row_stride` apart.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || data.len() >= (rows - 1) * row_stride + cols, "matrix view out of range");
        Self { data, rows, cols, row_stride }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_rows_lie_in_different_sets_of_a_cache() {
        for columns in [1, 15, 16, 17, 768, 1000, 1024, 2048, 4096, 11_008] {
            let stride = spread_stride::<f32>(columns);
            assert!((columns..columns + 32).contains(&stride), "{columns}: {stride}");
            let sets: std::collections::BTreeSet<usize> = (0..64).map(|row| row * stride * 4 / 64 % 64).collect();
            assert_eq!(sets.len(), 64, "{columns}");
        }
    }
}
