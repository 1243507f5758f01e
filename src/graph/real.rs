//! The number types a CPU twin runs in: f32 is the CPU device, f64 the oracle, and `Traced` the
//! oracle that also says how far a correct f32 kernel may be from it.

use crate::platform::vector;
use half::slice::HalfFloatSliceExt;
use std::cell::RefCell;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A real number type that every operation's twin is written in.
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
    /// From a 32-bit float, exactly.
    fn from_f32(value: f32) -> Self;
    /// From a 64-bit float, rounded to this type.
    fn from_f64(value: f64) -> Self;
    /// To a 64-bit float.
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
    /// `self` or `-self` by a sign bit (`true` for plus).
    fn signed(self, plus: bool) -> Self {
        if plus { self } else { -self }
    }
    /// Neither infinite nor NaN.
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
    /// With instructions of this CPU, where it has them for this type: each row of `words` as signs,
    /// summed over `x`; see [`vector::signed_sums`]. Else false, and nothing is done.
    fn signed_sums(_words: &[u32], _x: &[Self], _out: &mut [Self]) -> bool {
        false
    }
    /// The same for rows of packed halves; see [`vector::dots_of_halves`].
    fn dots_of_halves(_words: &[u32], _x: &[Self], _out: &mut [Self]) -> bool {
        false
    }
    /// Lends a buffer of `len` values of any content; it is kept for the next call on this thread.
    fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R;
    /// `out (m, n) = a (m, k) · b (k, n)`, added to `out` if `accumulate`; see [`matmul`].
    fn gemm(out: OutMat<'_, Self>, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool, threads: Threads);
}

/// Whether a product may use the whole thread pool. The sums' order is the same either way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the calling thread: for callers that are parallel themselves.
    One,
    /// On all threads of the pool.
    Pool,
}

/// A strided view of a matrix: element `(r, c)` is `data[r · row_stride + c · col_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// `rows × cols` at the start of `data`, rows `row_stride` apart.
    pub fn new(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || data.len() >= (rows - 1) * row_stride + cols, "matrix view out of range");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self { data: self.data, rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride }
    }
}

/// A writable matrix, rows `row_stride` apart.
pub struct OutMat<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a, T> OutMat<'a, T> {
    /// `rows × cols` at the start of `data`, rows `row_stride` apart.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || data.len() >= (rows - 1) * row_stride + cols, "matrix view out of range");
        Self { data, rows, cols, row_stride }
    }
}

fn check<T>(out: &OutMat<'_, T>, a: &Mat<'_, T>, b: &Mat<'_, T>) {
    assert!(out.rows == a.rows && out.cols == b.cols && a.cols == b.rows, "product of matrices that do not fit");
}

/// Dense product through the `gemm` crate (f32, f64).
fn library_gemm<T: Real>(out: OutMat<'_, T>, a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool, threads: Threads) {
    check(&out, &a, &b);
    let (one, zero) = (T::from_f32(1.0), T::ZERO);
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::Pool => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: `check` and the constructors of `Mat` and `OutMat` keep every access in range, and
    // `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            a.cols,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
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
            parallelism,
        );
    }
}

/// [`Real::with_scratch`]: one stack of buffers per thread and type, since calls nest.
macro_rules! scratch {
    ($type:ty) => {
        fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R {
            thread_local! { static FREE: RefCell<Vec<Vec<$type>>> = const { RefCell::new(Vec::new()) }; }
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

impl Real for f32 {
    scratch!(f32);
    fn signed_sums(words: &[u32], x: &[Self], out: &mut [Self]) -> bool {
        vector::signed_sums(words, x, out)
    }
    fn dots_of_halves(words: &[u32], x: &[Self], out: &mut [Self]) -> bool {
        vector::dots_of_halves(words, x, out)
    }
    /// With the CPU's own conversion where it has one. On a little-endian machine, and Signet runs
    /// on no other, the halves of words lie in memory in their order.
    fn widen(words: &[u32], out: &mut [Self]) {
        let halves: &[half::f16] = bytemuck::cast_slice(words);
        halves[..out.len()].convert_to_f32_slice(out);
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

    /// Within 2 ulp, by reduction to [−ln2/2, ln2/2] and a degree-6 polynomial: it vectorises, and
    /// gives the same bits on every platform, which a C library's does not.
    #[inline(always)]
    fn exp(self) -> Self {
        // ln of the smallest normal number: below it the power is 0, as on a GPU that flushes.
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
    fn gemm(out: OutMat<'_, Self>, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool, threads: Threads) {
        library_gemm(out, a, b, accumulate, threads);
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
    fn gemm(out: OutMat<'_, Self>, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool, threads: Threads) {
        library_gemm(out, a, b, accumulate, threads);
    }
}

/// An f64 value with the error an f32 kernel may make in it: at most
/// `(roundings + 8) · u · terms + flushed`, u = 2⁻²⁴, whatever order the kernel sums in.
///
/// `terms` is Σ|terms| of the sum that gave the value, and `roundings` the most roundings any
/// term went through. `flushed` is what comes of WGSL's leave to treat any subnormal operand or
/// result as zero (§ 15.7.2). All follow from the twin's own arithmetic, so no tolerance is chosen
/// by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced {
    /// The value, in f64.
    pub value: f64,
    /// Σ|terms|: the sum with every term made positive.
    pub terms: f64,
    /// Roundings along the longest path.
    pub roundings: f64,
    /// The error made by flushing subnormal numbers.
    pub flushed: f64,
}

/// The smallest normal f32.
const NORMAL: f64 = f32::MIN_POSITIVE as f64;

impl Traced {
    /// Largest error a correct kernel of unit roundoff `u` may make.
    pub fn bound(&self, u: f64) -> f64 {
        (self.roundings + 8.0) * u * self.terms + self.flushed
    }

    fn exact(value: f64) -> Self {
        Self { value, terms: value.abs(), roundings: 0.0, flushed: 0.0 }.flush()
    }

    /// Adds what flushing this value may cost, if it is, or may be rounded to, a subnormal number.
    fn flush(self) -> Self {
        let subnormal = self.value != 0.0 && self.value.abs() < 2.0 * NORMAL;
        Self { flushed: self.flushed + if subnormal { NORMAL } else { 0.0 }, ..self }
    }
}

impl PartialEq for Traced {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Traced {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Traced {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let roundings = self.roundings.max(other.roundings) + 1.0;
        Self { value: self.value + other.value, terms: self.terms + other.terms, roundings, flushed: self.flushed + other.flushed }.flush()
    }
}

impl Sub for Traced {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + (-other)
    }
}

impl Neg for Traced {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, ..self }
    }
}

impl Mul for Traced {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let flushed = self.flushed * other.value.abs() + other.flushed * self.value.abs();
        let roundings = self.roundings + other.roundings + 1.0;
        Self { value: self.value * other.value, terms: self.terms * other.terms, roundings, flushed }.flush()
    }
}

impl Div for Traced {
    type Output = Self;
    /// The divisor's relative error is `terms / |value|` times that of a single rounding. WGSL
    /// allows division 2.5 ulp (5 u).
    fn div(self, other: Self) -> Self {
        let (value, size) = (self.value / other.value, other.value.abs());
        let roundings = self.roundings + other.roundings + 5.0;
        // Past the range of f64, and so of f32: the quotient is below every normal number.
        if size.is_infinite() {
            return Self { value, terms: 0.0, roundings, flushed: NORMAL };
        }
        let flushed = (self.flushed + value.abs() * other.flushed) / size;
        Self { value, terms: self.terms / size * (other.terms / size), roundings, flushed }.flush()
    }
}

impl AddAssign for Traced {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Real for Traced {
    scratch!(Traced);
    const ZERO: Self = Traced { value: 0.0, terms: 0.0, roundings: 0.0, flushed: 0.0 };
    fn from_f32(value: f32) -> Self {
        Self::exact(f64::from(value))
    }
    fn from_f64(value: f64) -> Self {
        Self::exact(value)
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    /// An absolute error of the exponent is a relative one of the power; WGSL allows exp 3 + 2|x| ulp.
    fn exp(self) -> Self {
        let value = self.value.exp();
        let flushed = if self.flushed > 0.0 { value * self.flushed } else { 0.0 };
        Self { value, terms: value * (1.0 + self.terms), roundings: self.roundings + 6.0, flushed }.flush()
    }
    /// A relative error of the argument is an absolute one of the logarithm; WGSL allows log 3 ulp,
    /// and 2⁻²¹ absolute near 1.
    fn ln(self) -> Self {
        let value = self.value.ln();
        let flushed = self.flushed / self.value.abs();
        Self { value, terms: value.abs() + self.terms / self.value.abs() + 1.0, roundings: self.roundings + 6.0, flushed }.flush()
    }
    /// WGSL derives sqrt from inverseSqrt (2 ulp) and a division.
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        let growth = if self.value > 0.0 { self.terms / self.value } else { 0.0 };
        // The root of an argument that may be as small as 0 is off by at most the root of its error.
        let flushed = if self.flushed < self.value { self.flushed / value } else { self.flushed.sqrt() };
        Self { value, terms: value * growth, roundings: self.roundings + 9.0, flushed }.flush()
    }
    fn gemm(out: OutMat<'_, Self>, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool, _: Threads) {
        check(&out, &a, &b);
        for r in 0..out.rows {
            for c in 0..out.cols {
                let mut sum = if accumulate { out.data[r * out.row_stride + c] } else { Self::ZERO };
                for k in 0..a.cols {
                    sum += a.data[r * a.row_stride + k * a.col_stride] * b.data[k * b.row_stride + c * b.col_stride];
                }
                out.data[r * out.row_stride + c] = sum;
            }
        }
    }
}

/// `out (m, n) = a (m, k) · b (k, n)`, added to `out` if `accumulate`.
pub fn matmul<T: Real>(out: OutMat<'_, T>, a: Mat<'_, T>, b: Mat<'_, T>, accumulate: bool, threads: Threads) {
    T::gemm(out, a, b, accumulate, threads);
}

/// Σ terms in sixteen lanes, so that it vectorises, added up in a fixed order.
#[inline(always)]
pub fn sum<T: Real>(terms: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let chunks = terms.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(T::ZERO, |sum, &term| sum + term);
    for chunk in chunks {
        for (lane, &term) in lanes.iter_mut().zip(chunk) {
            *lane += term;
        }
    }
    lanes.iter().fold(rest, |sum, &lane| sum + lane)
}

/// Σ a·b in sixteen lanes, so that it vectorises, added up in a fixed order.
#[inline(always)]
pub fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::ZERO; 16];
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest = a16.remainder().iter().zip(b16.remainder()).fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
    for (a, b) in a16.zip(b16) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().fold(rest, |sum, &lane| sum + lane)
}

/// Runs `f` compiled for the widest vectors this CPU has; mark the closure `#[inline(always)]`, or it
/// stays compiled for the least. No contraction is allowed, so the bits
/// are the same on all of them.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
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

    #[test]
    fn traced_bound_covers_f32_sums_and_is_not_loose() {
        let terms: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1000) as f32 * 0.01 - 5.0).collect();
        let got: f32 = terms.iter().map(|x| x * x).sum();
        let mut want = Traced::ZERO;
        for &x in &terms {
            want += Traced::from_f32(x) * Traced::from_f32(x);
        }
        let error = (f64::from(got) - want.value).abs();
        assert!(error <= want.bound(2f64.powi(-24)), "error {error}");
        assert!(want.bound(2f64.powi(-24)) / want.value < 1e-3);
    }
}
