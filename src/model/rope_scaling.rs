//! Frequencies of RoPE (the angle from one token to the next for each pair of features) and their scaling.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

/// RoPE scaling for a context longer than in pre-training, under Hugging Face's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies divided by one factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's scaling: low frequencies are divided, high ones unchanged, those in between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Low frequencies have fewer rotations than this in the original context.
        low_freq_factor: f64,
        /// High frequencies have more rotations than this in the original context.
        high_freq_factor: f64,
        /// The context length of pre-training.
        original_max_position_embeddings: usize,
    },
    /// A divisor for each frequency, as in GGUF.
    #[serde(rename = "longrope")]
    Factors(Factors),
}

/// The divisor of each frequency. In JSON it is `longrope` of transformers, with the same factors for all lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LongRope", into = "LongRope")]
pub struct Factors(pub Vec<f64>);

/// [`Factors`] in the format of transformers.
#[derive(Serialize, Deserialize)]
struct LongRope {
    short_factor: Vec<f64>,
    long_factor: Vec<f64>,
    /// The scale of cosines and sines; more than 1 in most `longrope` models.
    attention_factor: Option<f64>,
}

impl TryFrom<LongRope> for Factors {
    type Error = &'static str;

    fn try_from(rope: LongRope) -> Result<Self, Self::Error> {
        match rope {
            LongRope { short_factor, long_factor, attention_factor: Some(1.0) } if short_factor == long_factor => Ok(Self(long_factor)),
            _ => Err("\"longrope\" is only supported with short_factor = long_factor and attention_factor = 1"),
        }
    }
}

impl From<Factors> for LongRope {
    fn from(Factors(factors): Factors) -> Self {
        Self { short_factor: factors.clone(), long_factor: factors, attention_factor: Some(1.0) }
    }
}

/// Maximum context that a model may declare. Memory is allocated for the context in use only.
pub(super) const MAX_CONTEXT: usize = i32::MAX as usize;

/// Valid divisors of a frequency.
const DIVISORS: RangeInclusive<f64> = 1e-6..=1e6;

impl RopeScaling {
    /// Validates the scaling for `pairs` pairs of features; the error names the field.
    pub(super) fn check(&self, pairs: usize) -> Result<(), String> {
        let refuse = |problem: String| Err(format!("rope_scaling: {problem}"));
        match self {
            Self::Linear { factor } | Self::Llama3 { factor, .. } if !DIVISORS.contains(factor) => {
                refuse(format!("factor is {factor}; it must be between {} and {}", DIVISORS.start(), DIVISORS.end()))
            }
            Self::Linear { .. } => Ok(()),
            Self::Llama3 { low_freq_factor: low, high_freq_factor: high, .. } if !(*low > 0.0 && *high > 0.0 && *low <= 1e6 && *high <= 1e6) => {
                refuse(format!("low_freq_factor is {low} and high_freq_factor {high}; both must be above 0"))
            }
            Self::Llama3 { original_max_position_embeddings: original, .. } if *original == 0 || *original > MAX_CONTEXT => {
                refuse(format!("original_max_position_embeddings is {original}; it must be between 1 and {MAX_CONTEXT}"))
            }
            Self::Llama3 { .. } => Ok(()),
            Self::Factors(Factors(factors)) if factors.len() != pairs => {
                refuse(format!("short_factor has {} numbers; a head has {pairs} pairs of features", factors.len()))
            }
            Self::Factors(Factors(factors)) => match factors.iter().find(|factor| !DIVISORS.contains(factor)) {
                Some(factor) => refuse(format!("short_factor has {factor}; its numbers must be between {} and {}", DIVISORS.start(), DIVISORS.end())),
                None => Ok(()),
            },
        }
    }

    /// The frequency of pair `j`, scaled.
    pub(super) fn scaled(&self, j: usize, frequency: f64) -> f64 {
        match *self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } => {
                match original as f64 * frequency / TAU {
                    turns if turns < low => frequency / factor,
                    turns if turns > high || high <= low => frequency,
                    turns => {
                        let left = (turns - low) / (high - low);
                        frequency * (left + (1.0 - left) / factor)
                    }
                }
            }
            Self::Factors(Factors(ref factors)) => frequency / factors[j],
        }
    }

    /// Recognizes Llama 3's scaling by the factors that divide the plain `frequencies`, for any factor and original context;
    /// `low_freq_factor` and `high_freq_factor` must be those of the published models.
    pub(super) fn llama3(frequencies: &[f64], factors: &[f64]) -> Option<Self> {
        let (low, high) = (1.0, 4.0);
        let factor = factors.iter().copied().fold(f64::MIN, f64::max);
        let between = |(_, divisor): &(&f64, &f64)| **divisor > 1.0 + FACTOR_TOLERANCE && **divisor < factor * (1.0 - FACTOR_TOLERANCE);
        let original = match frequencies.iter().zip(factors).find(between) {
            // 1/divisor is linear from 1/factor at `low` rotations to 1 at `high`.
            Some((frequency, divisor)) => {
                let left = (1.0 / divisor - 1.0 / factor) / (1.0 - 1.0 / factor);
                ((low + left * (high - low)) * TAU / frequency).round()
            }
            None => DEFAULT_ORIGINAL_CONTEXT,
        };
        let scaling = Self::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original as usize };
        let same = |(j, (frequency, divisor)): (usize, (&f64, &f64))| (frequency / scaling.scaled(j, *frequency) / divisor - 1.0).abs() < FACTOR_TOLERANCE;
        (scaling.check(factors.len()).is_ok() && frequencies.iter().zip(factors).enumerate().all(same)).then_some(scaling)
    }
}

/// Relative tolerance for factors of Llama 3's scaling, since converters compute in f32.
const FACTOR_TOLERANCE: f64 = 2e-5;
/// The original context of most models with Llama 3's scaling.
const DEFAULT_ORIGINAL_CONTEXT: f64 = 8192.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    #[test]
    fn llama3_divides_low_frequencies_only() {
        // Llama 3.2 1B.
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        scaling.check(32).unwrap();
        let config = ModelConfig { hidden_size: 2048, num_attention_heads: 32, rope_theta: 5e5, ..ModelConfig::preset("5M", 100).unwrap() };
        let plain = config.rope_frequencies();
        let scaled = ModelConfig { rope_scaling: Some(scaling), ..config }.rope_frequencies();
        let ratios: Vec<f64> = plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert!(ratios[..14].iter().all(|ratio| (ratio - 1.0).abs() < 1e-12), "{ratios:?}");
        assert!(ratios[19..].iter().all(|ratio| (ratio - 32.0).abs() < 1e-9), "{ratios:?}");
        assert!(ratios.is_sorted() && ratios[16] > 1.5 && ratios[16] < 16.0, "{ratios:?}");
    }

    #[test]
    fn invalid_scaling_is_an_error() {
        let llama3 = |factor, low, high, original| RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original,
        };
        for (scaling, field) in [
            (RopeScaling::Linear { factor: 0.0 }, "factor"),
            (RopeScaling::Linear { factor: f64::NAN }, "factor"),
            (llama3(f64::INFINITY, 1.0, 4.0, 8192), "factor"),
            (llama3(8.0, 1.0, 0.0, 8192), "high_freq_factor"),
            (llama3(8.0, 0.0, 4.0, 8192), "low_freq_factor"),
            (llama3(8.0, 1.0, 4.0, 0), "original_max_position_embeddings"),
            (llama3(8.0, 1.0, 4.0, 1 << 31), "original_max_position_embeddings"),
            (RopeScaling::Factors(Factors(vec![1.0; 3])), "short_factor has 3 numbers"),
            (RopeScaling::Factors(Factors(vec![1.0, 0.0, 1.0, 1.0])), "short_factor has 0"),
        ] {
            let error = scaling.check(4).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
