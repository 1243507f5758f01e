//! Element types of tensors: names, sizes, and conversion of each float type to f32. Pure.

use safetensors::Dtype;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ElementType {
    /// The name in safetensors, if it has the type.
    pub(super) name: &'static str,
    /// Bits per element.
    pub(super) bits: usize,
    float: Option<Float>,
}

/// A float format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    F64,
    F32,
    F16,
    Bf16,
    F8(F8),
}

/// An 8-bit float format: bits of exponent and mantissa, bias, and the codes that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct F8 {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    special: Special,
}

/// The codes of an 8-bit float that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    /// IEEE 754: infinity and NaN have the largest exponent.
    Ieee,
    /// Codes with all bits below the sign set are NaN.
    AllSet,
    /// Negative zero is NaN.
    NegativeZero,
}

const fn float(name: &'static str, bits: usize, float: Float) -> ElementType {
    ElementType { name, bits, float: Some(float) }
}

const fn float8(name: &'static str, exponent: u32, mantissa: u32, bias: i32, special: Special) -> ElementType {
    float(name, 8, Float::F8(F8 { exponent, mantissa, bias, special }))
}

const fn other(name: &'static str, bits: usize) -> ElementType {
    ElementType { name, bits, float: None }
}

pub(super) const F64: ElementType = float("F64", 64, Float::F64);
pub(super) const F32: ElementType = float("F32", 32, Float::F32);
pub(super) const F16: ElementType = float("F16", 16, Float::F16);
pub(super) const BF16: ElementType = float("BF16", 16, Float::Bf16);
pub(super) const F8_E4M3: ElementType = float8("F8_E4M3", 4, 3, 7, Special::AllSet);
pub(super) const F8_E5M2: ElementType = float8("F8_E5M2", 5, 2, 15, Special::Ieee);
pub(super) const F8_E4M3FNUZ: ElementType = float8("F8_E4M3FNUZ", 4, 3, 8, Special::NegativeZero);
pub(super) const F8_E5M2FNUZ: ElementType = float8("F8_E5M2FNUZ", 5, 2, 16, Special::NegativeZero);
pub(super) const I64: ElementType = other("I64", 64);
pub(super) const I32: ElementType = other("I32", 32);
pub(super) const I16: ElementType = other("I16", 16);
pub(super) const I8: ElementType = other("I8", 8);
pub(super) const U64: ElementType = other("U64", 64);
pub(super) const U32: ElementType = other("U32", 32);
pub(super) const U16: ElementType = other("U16", 16);
pub(super) const U8: ElementType = other("U8", 8);
pub(super) const BOOL: ElementType = other("BOOL", 8);
pub(super) const F8_E8M0: ElementType = other("F8_E8M0", 8);
pub(super) const F4: ElementType = other("F4", 8);
pub(super) const C32: ElementType = other("C32", 32);
pub(super) const C64: ElementType = other("C64", 64);
pub(super) const C128: ElementType = other("C128", 128);

impl ElementType {
    /// The type of a safetensors dtype.
    pub(super) fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F64 => F64,
            Dtype::F32 => F32,
            Dtype::F16 => F16,
            Dtype::BF16 => BF16,
            Dtype::F8_E4M3 => F8_E4M3,
            Dtype::F8_E5M2 => F8_E5M2,
            Dtype::F8_E4M3FNUZ => F8_E4M3FNUZ,
            Dtype::F8_E5M2FNUZ => F8_E5M2FNUZ,
            Dtype::F8_E8M0 => F8_E8M0,
            Dtype::I64 => I64,
            Dtype::I32 => I32,
            Dtype::I16 => I16,
            Dtype::I8 => I8,
            Dtype::U64 => U64,
            Dtype::U32 => U32,
            Dtype::U16 => U16,
            Dtype::U8 => U8,
            Dtype::BOOL => BOOL,
            Dtype::C64 => C64,
            _ => other("another type", dtype.bitsize()),
        }
    }

    /// Bytes per element; exact for floats.
    pub(super) fn bytes(self) -> usize {
        self.bits / 8
    }

    /// Fails if the type is not a float.
    pub(super) fn expect_float(self) -> Result<(), String> {
        if self.float.is_some() { Ok(()) } else { Err(format!("holds {}, not floats", self.name)) }
    }

    /// Appends little-endian floats as f32: exact, except for 64 bits, which are rounded to nearest.
    pub(super) fn widen(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self.float {
            Some(Float::F64) => out.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32)),
            Some(Float::F32) => out.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))),
            Some(Float::F16) => out.extend(bytes.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())),
            Some(Float::Bf16) => out.extend(bytes.as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())),
            Some(Float::F8(layout)) => out.extend(bytes.iter().map(|code| layout.widen(*code))),
            None => unreachable!("{} are not floats", self.name),
        }
    }
}

impl F8 {
    fn widen(self, code: u8) -> f32 {
        let magnitude = u32::from(code & 0x7f);
        let sign = if code >= 0x80 { -1.0 } else { 1.0 };
        let (exponent, mantissa) = (magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1));
        let largest = (1 << self.exponent) - 1;
        match self.special {
            Special::Ieee if exponent == largest => return if mantissa == 0 { sign * f32::INFINITY } else { f32::NAN },
            Special::AllSet if magnitude == 0x7f => return f32::NAN,
            Special::NegativeZero if code == 0x80 => return f32::NAN,
            _ => {}
        }
        // Exponent 0 means subnormal: no leading one, and the smallest exponent.
        let (whole, power) = if exponent == 0 { (mantissa, 1) } else { (mantissa | 1 << self.mantissa, exponent as i32) };
        sign * whole as f32 * 2f32.powi(power - self.bias - self.mantissa as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(number: ElementType, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        number.widen(bytes, &mut out);
        out
    }

    #[test]
    fn eight_bit_floats_equal_those_of_pytorch() {
        // Codes and values of torch 2.15: torch.tensor(codes, dtype=torch.uint8).view(kind).float().
        for (number, codes, values) in [
            (F8_E4M3, [0x01, 0x07, 0x08, 0x38, 0x7e, 0xb9, 0x80], [0.001953125, 0.013671875, 0.015625, 1.0, 448.0, -1.125, -0.0]),
            (F8_E5M2, [0x01, 0x03, 0x04, 0x3c, 0x7b, 0xbd, 0x80], [1.0 / 65536.0, 3.0 / 65536.0, 4.0 / 65536.0, 1.0, 57344.0, -1.25, -0.0]),
            (F8_E4M3FNUZ, [0x01, 0x07, 0x08, 0x40, 0x7f, 0xc1, 0x00], [0.0009765625, 0.0068359375, 0.0078125, 1.0, 240.0, -1.125, 0.0]),
            (F8_E5M2FNUZ, [0x01, 0x03, 0x04, 0x40, 0x7f, 0xc1, 0x00], [1.0 / 131072.0, 3.0 / 131072.0, 4.0 / 131072.0, 1.0, 57344.0, -1.25, 0.0]),
        ] {
            assert_eq!(widened(number, &codes), values, "{}", number.name);
        }
        assert!(widened(F8_E4M3, &[0x7f, 0xff]).iter().chain(&widened(F8_E5M2, &[0x7d, 0xfe])).all(|value| value.is_nan()));
        assert!(widened(F8_E4M3FNUZ, &[0x80]).iter().chain(&widened(F8_E5M2FNUZ, &[0x80])).all(|value| value.is_nan()));
        assert_eq!(widened(F8_E5M2, &[0x7c, 0xfc]), [f32::INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn f64_is_rounded_to_nearest() {
        let bytes: Vec<u8> = [1.0f64 + 2f64.powi(-24), 1.0 + 3.0 * 2f64.powi(-24), 0.1].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(widened(F64, &bytes), [1.0, 1.0 + 2f32.powi(-22), 0.1]);
    }
}
