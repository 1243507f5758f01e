//! The oracle's number type: f64 with a bound on the error that an f32 kernel may make.

use super::real::{Mat, OutMat, Real, Threads, check, scratch};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

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
}
