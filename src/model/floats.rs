//! Encoding of floats in files: f32, f16 or bf16.

use super::model_error::ModelError;
use crate::formats::FormatError;
use crate::formats::safetensors::Dtype;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The float type of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Floats {
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 16 bits: 11 bits of precision, at most 65,504.
    #[default]
    F16,
    /// The upper half of a 32-bit float: 8 bits of precision, the same range.
    Bf16,
}

impl Floats {
    /// The dtype in safetensors.
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Floats::F32 => Dtype::F32,
            Floats::F16 => Dtype::F16,
            Floats::Bf16 => Dtype::BF16,
        }
    }

    /// The dtype's name in PyTorch.
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            Floats::F32 => "float32",
            Floats::F16 => "float16",
            Floats::Bf16 => "bfloat16",
        }
    }

    /// Encodes values of the tensor `name` of the model at `path`, rounded to nearest, ties to even, little-endian.
    /// An error if a value overflows.
    pub(super) fn encode(self, path: &Path, name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
        self.round_and_encode(path, name, values, false)
    }

    /// Like `encode`, but keeps infinities and NaNs of the input.
    pub(super) fn encode_any(self, path: &Path, name: &str, values: &[f32]) -> Result<Vec<u8>, ModelError> {
        self.round_and_encode(path, name, values, true)
    }

    fn round_and_encode(self, path: &Path, name: &str, values: &[f32], any: bool) -> Result<Vec<u8>, ModelError> {
        let allowed = |x: f32| any && !x.is_finite();
        let bytes = match self {
            Floats::F32 => return Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Floats::F16 => round_all(values, |x| Some(f16::from_f32(x)).filter(|half| half.is_finite() || allowed(x)).map(f16::to_le_bytes)),
            Floats::Bf16 => round_all(values, |x| Some(bf16::from_f32(x)).filter(|half| half.is_finite() || allowed(x)).map(bf16::to_le_bytes)),
        };
        let refused = |at: usize| FormatError::new(path, format!("tensor {name} holds {} at element {at}, too large for {}", values[at], self.torch_name()));
        bytes.map_err(|at| refused(at).into())
    }
}

/// Rounds all values. The error is the index of the first that overflows.
fn round_all(values: &[f32], round: impl Fn(f32) -> Option<[u8; 2]>) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for (at, &value) in values.iter().enumerate() {
        bytes.extend(round(value).ok_or(at)?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even_and_reports_overflow() {
        let encode = |floats: Floats, values: &[f32]| floats.encode(Path::new("m"), "t", values);
        // 1 + 2⁻¹¹ is halfway between two f16 values, 1 + 2⁻⁸ between two bf16 values: ties to even.
        assert_eq!(encode(Floats::F16, &[1.0 + f32::powi(2.0, -11), -2.0]).unwrap(), [0x00, 0x3c, 0x00, 0xc0]);
        assert_eq!(encode(Floats::Bf16, &[1.0 + f32::powi(2.0, -8), -2.0]).unwrap(), [0x80, 0x3f, 0x00, 0xc0]);
        assert_eq!(encode(Floats::F32, &[1.5]).unwrap(), 1.5f32.to_le_bytes());
        let error = encode(Floats::F16, &[1.0, 65_520.0]).unwrap_err().to_string();
        assert!(error.contains("tensor t holds 65520 at element 1, too large for float16"), "{error}");
        assert!(encode(Floats::Bf16, &[65_520.0]).is_ok() && encode(Floats::Bf16, &[f32::MAX]).is_err());
        assert!(encode(Floats::F16, &[f32::NAN]).is_err() && encode(Floats::Bf16, &[f32::INFINITY]).is_err());
        let any = |floats: Floats, values: &[f32]| floats.encode_any(Path::new("m"), "t", values);
        assert_eq!(any(Floats::F16, &[f32::NEG_INFINITY, 1.0]).unwrap(), [0x00, 0xfc, 0x00, 0x3c]);
        let nan = any(Floats::Bf16, &[f32::NAN]).unwrap();
        assert!(bf16::from_le_bytes([nan[0], nan[1]]).is_nan() && any(Floats::F16, &[65_520.0]).is_err());
    }
}
