//! The number type of the reference: f64 with a bound on the error of an f32 kernel.

use super::mat::Mat;
use super::real::{Real, scratch};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// An f64 value with a bound on the error of an f32 kernel, for any order of summation:
/// `(roundings + 8) · u · terms + flushed`, u = 2⁻²⁴.
///
/// `terms` is Σ|terms| of the sum with this value, and `roundings` the largest number of roundings of a
/// term. `flushed` bounds the error of treating subnormal operands and results as zero, which WGSL
/// permits (§ 15.7.2). All are computed by the twin's own arithmetic, so no tolerance is chosen by hand.
///
/// A kernel with factors in f16 rounds both factors of each product once more, by a relative 2⁻¹¹:
/// `f16_roundings` counts these roundings along the longest path, `underflow` bounds the error of f16's
/// subnormal numbers, and `overflow` is true if a factor may have become infinite.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced {
    /// The value, in f64.
    pub value: f64,
    /// Σ|terms|.
    pub terms: f64,
    /// Roundings along the longest path.
    pub roundings: f64,
    /// The error of flushing subnormal numbers.
    pub flushed: f64,
    /// Roundings of factors to f16 along the longest path.
    pub f16_roundings: f64,
    /// The error of flushing subnormal f16 factors.
    pub underflow: f64,
    /// True if a factor is beyond f16's range.
    pub overflow: bool,
}

/// The smallest normal f32.
const NORMAL: f64 = f32::MIN_POSITIVE as f64;
/// The smallest normal f16, 2⁻¹⁴.
const NORMAL_F16: f64 = 1.0 / 16_384.0;
/// The largest f16.
const MAX_F16: f64 = 65_504.0;
/// Unit roundoff of f16.
const UNIT_F16: f64 = 1.0 / 2048.0;

impl Traced {
    /// Returns the largest error of a correct kernel of unit roundoff `u`.
    pub fn bound(&self, u: f64) -> f64 {
        (self.roundings + 8.0) * u * self.terms + self.flushed
    }

    /// Like [`Self::bound`], for a kernel with factors in f16 and sums of unit roundoff `u`.
    pub fn bound_f16(&self, u: f64) -> f64 {
        let rounded = (self.f16_roundings * UNIT_F16.ln_1p()).exp_m1();
        self.bound(u) * (1.0 + rounded) + rounded * self.terms + self.underflow
    }

    fn exact(value: f64) -> Self {
        Self { value, terms: value.abs(), ..Self::ZERO }.flush()
    }

    /// Returns the error of a factor that becomes a subnormal f16, which may be flushed.
    fn f16_flush(&self) -> f64 {
        if self.value != 0.0 && self.value.abs() < 2.0 * NORMAL_F16 { NORMAL_F16 } else { 0.0 }
    }

    /// Returns the product `result` with the errors of both factors in f16.
    fn with_f16_operands(self, other: Self, result: Self) -> Self {
        let (a, b) = (self.underflow + self.f16_flush(), other.underflow + other.f16_flush());
        let beyond = |x: Self| x.overflow || x.value.abs() > MAX_F16;
        Self {
            f16_roundings: self.f16_roundings + other.f16_roundings + 2.0,
            underflow: a * other.value.abs() + b * self.value.abs() + a * b,
            overflow: beyond(self) || beyond(other),
            ..result
        }
    }

    /// Adds the error of flushing this value, if it is, or may be rounded to, a subnormal number.
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
        let sum = Self { value: self.value + other.value, terms: self.terms + other.terms, roundings, flushed: self.flushed + other.flushed, ..Self::ZERO };
        let (f16_roundings, underflow) = (self.f16_roundings.max(other.f16_roundings), self.underflow + other.underflow);
        Self { f16_roundings, underflow, overflow: self.overflow || other.overflow, ..sum }.flush()
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
        let product = Self { value: self.value * other.value, terms: self.terms * other.terms, roundings, flushed, ..Self::ZERO };
        self.with_f16_operands(other, product).flush()
    }
}

impl Div for Traced {
    type Output = Self;
    /// The divisor's relative error is `terms / |value|` times that of a single rounding. WGSL
    /// allows division 2.5 ulp (5 u).
    fn div(self, other: Self) -> Self {
        let (value, size) = (self.value / other.value, other.value.abs());
        let roundings = self.roundings + other.roundings + 5.0;
        // The divisor is beyond the range of f64: the quotient is below every normal f32.
        if size.is_infinite() {
            return Self { value, roundings, flushed: NORMAL, overflow: self.overflow || other.overflow, ..Self::ZERO };
        }
        let flushed = (self.flushed + value.abs() * other.flushed) / size;
        let underflow = (self.underflow + value.abs() * other.underflow) / size;
        let (f16_roundings, overflow) = (self.f16_roundings + other.f16_roundings, self.overflow || other.overflow);
        Self { value, terms: self.terms / size * (other.terms / size), roundings, flushed, f16_roundings, underflow, overflow }.flush()
    }
}

impl AddAssign for Traced {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Real for Traced {
    scratch!(Traced);
    const ZERO: Self = Traced { value: 0.0, terms: 0.0, roundings: 0.0, flushed: 0.0, f16_roundings: 0.0, underflow: 0.0, overflow: false };
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
        let underflow = if self.underflow > 0.0 { value * self.underflow.exp_m1() } else { 0.0 };
        Self { value, terms: value * (1.0 + self.terms), roundings: self.roundings + 6.0, flushed, underflow, ..self }.flush()
    }
    /// A relative error of the argument is an absolute one of the logarithm; WGSL allows log 3 ulp,
    /// and 2⁻²¹ absolute near 1.
    fn ln(self) -> Self {
        let value = self.value.ln();
        let flushed = self.flushed / self.value.abs();
        let terms = value.abs() + self.terms / self.value.abs() + 1.0;
        Self { value, terms, roundings: self.roundings + 6.0, flushed, underflow: self.underflow / self.value.abs(), ..self }.flush()
    }
    /// WGSL derives sqrt from inverseSqrt (2 ulp) and a division.
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        let growth = if self.value > 0.0 { self.terms / self.value } else { 0.0 };
        // The error of the root of an argument that may be 0 is at most the root of its error.
        let root = |error: f64| if error < self.value { error / value } else { error.sqrt() };
        let (flushed, underflow) = (root(self.flushed), root(self.underflow));
        Self { value, terms: value * growth, roundings: self.roundings + 9.0, flushed, underflow, ..self }.flush()
    }
    unsafe fn product(target: *mut Self, row_stride: usize, a: Mat<'_, Self>, b: Mat<'_, Self>, accumulate: bool) {
        for r in 0..a.rows {
            for c in 0..b.cols {
                // SAFETY: by the caller.
                let out = unsafe { &mut *target.add(r * row_stride + c) };
                let mut sum = if accumulate { *out } else { Self::ZERO };
                for k in 0..a.cols {
                    sum += a.data[r * a.row_stride + k * a.col_stride] * b.data[k * b.row_stride + c * b.col_stride];
                }
                *out = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Returns Σ x·y with factors in f16 and sums in f32, and its reference.
    fn f16_sum(values: impl Iterator<Item = (f32, f32)>) -> (f32, Traced) {
        let half = |x: f32| half::f16::from_f32(x).to_f32();
        values.fold((0.0, Traced::ZERO), |(got, want), (x, y)| (got + half(x) * half(y), want + Traced::from_f32(x) * Traced::from_f32(y)))
    }

    #[test]
    fn the_bound_of_f16_operands_covers_f16_and_is_not_loose() {
        let u = 2f64.powi(-24);
        let (got, want) = f16_sum((0..300).map(|i| (((i * 7919) % 1000) as f32 * 0.0123 - 6.0, ((i * 104_729) % 997) as f32 * 0.0071 - 3.1)));
        let error = (f64::from(got) - want.value).abs();
        assert!(error <= want.bound_f16(u) && error > want.bound(u), "error {error}, bounds {} and {}", want.bound_f16(u), want.bound(u));
        assert!(want.bound_f16(u) < 1.1e-3 * want.terms);
        // Below f16's normal numbers, where the error is not relative.
        let (got, want) = f16_sum((1..50).map(|i| (i as f32 * 1e-6, 3.0)));
        assert!((f64::from(got) - want.value).abs() <= want.bound_f16(u) && !want.overflow);
        let (got, want) = f16_sum([(70_000.0, 1.0), (1.0, 1.0)].into_iter());
        assert!(want.overflow && got.is_infinite());
    }
}
