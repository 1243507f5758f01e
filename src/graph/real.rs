//! The number types of the CPU implementations (twins): f32 for the CPU device, f64 for finite
//! differences. The reference, `Traced`, is in a file of its own.

use super::mat::Mat;
use crate::platform::{parallel, vector};
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A real number type; every operation's twin is generic over it.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// Converts a 32-bit float, exactly.
    fn from_f32(value: f32) -> Self;
    /// Converts a 64-bit float, rounded to this type.
    fn from_f64(value: f64) -> Self;
    /// Converts to a 64-bit float.
    fn to_f64(self) -> f64;
    /// e to this power.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The larger of two.
    fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
    /// Returns `self` if `plus`, otherwise `-self`.
    fn signed(self, plus: bool) -> Self {
        if plus { self } else { -self }
    }
    /// Returns true if it is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }
    /// Widens packed halves, low half of each word first, to `out.len()` values.
    fn widen(words: &[u32], out: &mut [Self]) {
        for (pair, word) in out.chunks_mut(2).zip(words) {
            for (i, x) in pair.iter_mut().enumerate() {
                *x = Self::from_f32(half::f16::from_bits((word >> (16 * i)) as u16).to_f32());
            }
        }
    }
    /// Rounds to packed halves, low half of each word first; a missing last one is 0.
    fn narrow(values: &[Self], words: &mut [u32]) {
        let half = |x: &Self| u32::from(half::f16::from_f64(x.to_f64()).to_bits());
        for (pair, word) in values.chunks(2).zip(words) {
            *word = half(&pair[0]) | pair.get(1).map_or(0, half) << 16;
        }
    }
    /// Sums ±`x` with the signs of each row of `words`, with vector instructions; see
    /// [`vector::signed_sums`]. Returns false, and does nothing, if this CPU has none for this type.
    fn signed_sums(_words: &[u32], _x: &[Self], _out: &mut [Self]) -> bool {
        false
    }
    /// Returns true if those sums are faster than a dense product for any number of vectors.
    fn prefers_signed_sums() -> bool {
        false
    }
    /// Like `signed_sums`, for dot products with rows of packed halves; see [`vector::dots_of_halves`].
    fn dots_of_halves(_words: &[u32], _x: &[Self], _out: &mut [Self]) -> bool {
        false
    }
    /// Calls `f` with a buffer of `len` values of any content, which is reused by later calls on this thread.
    fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R;
    /// Computes `a · b` into the elements from `target` on, in rows `row_stride` apart, added to them if `accumulate`, on
    /// the calling thread.
    ///
    /// # Safety
    /// `target` may be written at all those elements, and neither operand contains them.
    unsafe fn product(target: *mut Self, row_stride: usize, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool);
}

/// The signature of the products of the crates `gemm-f32` and `gemm-f64`: rows, columns and depth; the
/// output and both operands as a pointer, column stride and row stride, the output also with a flag
/// whether it is read; the factors of the output and of the product; three conjugations, which real
/// numbers ignore; and the threads.
#[rustfmt::skip]
type LibraryProduct<T> = unsafe fn(
    usize, usize, usize,
    *mut T, isize, isize, bool,
    *const T, isize, isize,
    *const T, isize, isize,
    T, T, bool, bool, bool, gemm_common::Parallelism,
);

/// Computes [`Real::product`] with `product`, a function of the crates `gemm-f32` and `gemm-f64`.
///
/// # Safety
/// As there.
unsafe fn library_product<T: Real>(product: LibraryProduct<T>, target: *mut T, row_stride: usize, a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "product of matrices that do not fit");
    // The library is fast for contiguous columns of the output, so row-major outputs are transposed.
    let (a, b, row_stride, column_stride) = if row_stride > 1 { (b.t(), a.t(), 1, row_stride) } else { (a, b, row_stride, 1) };
    let (one, zero) = (T::from_f32(1.0), T::ZERO);
    // SAFETY: the constructors of `Mat` keep accesses of the operands in range, and the caller those of the output.
    unsafe {
        product(
            a.rows,
            b.cols,
            a.cols,
            target,
            column_stride as isize,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            if accumulate { one } else { zero },
            one,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

/// Implements [`Real::with_scratch`]: one stack of buffers per thread and type, since calls nest.
macro_rules! scratch {
    ($type:ty) => {
        fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R {
            thread_local! { static FREE: std::cell::RefCell<Vec<Vec<$type>>> = const { std::cell::RefCell::new(Vec::new()) }; }
            let mut buffer = FREE.with_borrow_mut(|free| free.pop().unwrap_or_default());
            if buffer.len() < len {
                buffer.resize(len, <$type>::ZERO);
            }
            let result = f(&mut buffer[..len]);
            FREE.with_borrow_mut(|free| free.push(buffer));
            result
        }
    };
}
pub(super) use scratch;

impl Real for f32 {
    scratch!(f32);
    fn signed_sums(words: &[u32], x: &[Self], out: &mut [Self]) -> bool {
        vector::signed_sums(words, x, out)
    }
    fn prefers_signed_sums() -> bool {
        vector::SMALL
    }
    fn dots_of_halves(words: &[u32], x: &[Self], out: &mut [Self]) -> bool {
        vector::dots_of_halves(words, x, out)
    }
    fn widen(words: &[u32], out: &mut [Self]) {
        vector::widen(words, out);
    }
    const ZERO: Self = 0.0;
    fn from_f32(value: f32) -> Self {
        value
    }
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    /// Within 2 ulp, by reduction to [−ln2/2, ln2/2] and a degree-6 polynomial: it vectorises, and has
    /// the same bits on every platform, unlike that of a C library.
    #[inline(always)]
    fn exp(self) -> Self {
        // ln of the smallest normal number: below it the power is 0, as on a GPU that flushes subnormals.
        const LOWEST: f32 = -87.336_55;
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        // Adding and removing 1.5·2²³ rounds to the nearest integer without a library call.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(LOWEST, 88.7);
        let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        let mut p = 1.987_569_1e-4;
        p = p * r + 1.398_2e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 0.5;
        let y = p * r * r + r + 1.0;
        // 2ⁿ in two halves, since n may reach 128.
        let half = (n as i32) >> 1;
        let power = |k: i32| f32::from_bits(((k + 127) as u32) << 23);
        let scaled = y * power(half) * power(n as i32 - half);
        if self < LOWEST {
            0.0
        } else if self > 88.7 {
            f32::INFINITY
        } else if self.is_nan() {
            self
        } else {
            scaled
        }
    }
    fn ln(self) -> Self {
        f32::ln(self)
    }
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn signed(self, plus: bool) -> Self {
        f32::from_bits(self.to_bits() ^ (u32::from(!plus) << 31))
    }
    unsafe fn product(target: *mut Self, row_stride: usize, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool) {
        // SAFETY: by the caller.
        unsafe { library_product(gemm_f32::gemm::f32::get_gemm_fn(), target, row_stride, a, b, accumulate) };
    }
}

impl Real for f64 {
    scratch!(f64);
    const ZERO: Self = 0.0;
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    unsafe fn product(target: *mut Self, row_stride: usize, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool) {
        // SAFETY: by the caller.
        unsafe { library_product(gemm_f64::gemm::f64::get_gemm_fn(), target, row_stride, a, b, accumulate) };
    }
}

/// Returns Σ terms, summed in sixteen lanes, so that it vectorises, and in a fixed order.
#[inline(always)]
pub fn sum<T: Real>(terms: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let (chunks, rest) = terms.as_chunks::<16>();
    let rest = rest.iter().fold(T::ZERO, |sum, &term| sum + term);
    for chunk in chunks {
        for (lane, &term) in lanes.iter_mut().zip(chunk) {
            *lane += term;
        }
    }
    lanes.iter().fold(rest, |sum, &lane| sum + lane)
}

/// Returns Σ a·b, summed in sixteen lanes, so that it vectorises, and in a fixed order.
#[inline(always)]
pub fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let ((a16, a_rest), (b16, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let rest = a_rest.iter().zip(b_rest).fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
    for (a, b) in a16.iter().zip(b16) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().fold(rest, |sum, &lane| sum + lane)
}

/// Runs `f` compiled for the widest vectors of this CPU; the closure must be `#[inline(always)]` for
/// that. Multiplications and additions are not contracted, so the bits are the same on every CPU.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Returns the rows of a task of the thread pool: `few`, so that every thread has work, or `all` with a
/// single thread, since the preparation of a task is shared by its rows.
pub fn rows_per_task(all: usize, few: usize) -> usize {
    if parallel::threads() == 1 { all.max(1) } else { few }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp() {
        for i in -8700..8870 {
            let x = i as f32 * 0.01 + 0.003;
            let (got, want) = (Real::exp(x), f64::from(x).exp());
            let ulp = f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
            assert!((f64::from(got) - want).abs() <= 2.0 * ulp, "exp({x}) = {got}, want {want}");
        }
        assert_eq!(Real::exp(-200f32), 0.0);
        assert_eq!(Real::exp(200f32), f32::INFINITY);
        assert_eq!(Real::exp(0f32), 1.0);
    }
}
