//! RoPE's frequencies: by how much each pair of a head's features turns from one token to the next.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

/// How frequencies were changed for a context longer than the model was first trained on, under the
/// names that Hugging Face gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All of them divided.
    Linear {
        /// By this.
        factor: f64,
    },
    /// As from Llama 3.1 on: what turns slowly is divided, what turns fast is left, and what is in between
    /// goes from one to the other.
    Llama3 {
        /// What slow frequencies are divided by.
        factor: f64,
        /// Slow is what turns fewer times than this in the original context.
        low_freq_factor: f64,
        /// Fast is what turns more often than this in it.
        high_freq_factor: f64,
        /// Tokens of the context that the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// Each divided by a factor of its own, as GGUF has them.
    #[serde(rename = "longrope")]
    Factors(Factors),
}

/// The divisor of each frequency. As JSON it is the `longrope` of transformers, with the same factors for any length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LongRope", into = "LongRope")]
pub struct Factors(pub Vec<f64>);

/// [`Factors`] under transformers' names.
#[derive(Serialize, Deserialize)]
struct LongRope {
    short_factor: Vec<f64>,
    long_factor: Vec<f64>,
    /// The factor of cosines and sines; more than 1 in most models of this kind.
    attention_factor: Option<f64>,
}

impl TryFrom<LongRope> for Factors {
    type Error = &'static str;

    fn try_from(rope: LongRope) -> Result<Self, Self::Error> {
        match rope {
            LongRope { short_factor, long_factor, attention_factor: Some(1.0) } if short_factor == long_factor => Ok(Self(long_factor)),
            _ => Err("\"longrope\" is only computed with short_factor = long_factor and attention_factor = 1"),
        }
    }
}

impl From<Factors> for LongRope {
    fn from(Factors(factors): Factors) -> Self {
        Self { short_factor: factors.clone(), long_factor: factors, attention_factor: Some(1.0) }
    }
}

/// Longest context that a model may declare. Nothing of that size is reserved: memory follows from what is used.
pub(super) const MAX_CONTEXT: usize = i32::MAX as usize;

/// Largest and smallest number by which a frequency may be divided.
const DIVISORS: RangeInclusive<f64> = 1e-6..=1e6;

impl RopeScaling {
    /// Refuses what gives no frequencies for `pairs` pairs of features, naming the field.
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

    /// Llama 3's scaling that divides the plain `frequencies` by these factors; none if it is not that one with the numbers
    /// of every published model, but for the factor and the original context.
    pub(super) fn llama3(frequencies: &[f64], factors: &[f64]) -> Option<Self> {
        let (low, high) = (1.0, 4.0);
        let factor = factors.iter().copied().fold(f64::MIN, f64::max);
        let between = |(_, divisor): &(&f64, &f64)| **divisor > 1.0 + FACTOR_TOLERANCE && **divisor < factor * (1.0 - FACTOR_TOLERANCE);
        let original = match frequencies.iter().zip(factors).find(between) {
            // 1/divisor goes evenly from 1/factor at `low` turns to 1 at `high`.
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

/// How far factors may be from those of Llama 3's scaling, relatively: converters compute in f32.
const FACTOR_TOLERANCE: f64 = 2e-5;
/// The original context of most models with Llama 3's scaling.
const DEFAULT_ORIGINAL_CONTEXT: f64 = 8192.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LlamaConfig;

    #[test]
    fn llama3_leaves_what_is_fast_and_divides_what_is_slow() {
        // Llama 3.2 1B.
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        scaling.check(32).unwrap();
        let config = LlamaConfig { hidden_size: 2048, num_attention_heads: 32, rope_theta: 5e5, ..LlamaConfig::preset("5M", 100).unwrap() };
        let plain = config.rope_frequencies();
        let scaled = LlamaConfig { rope_scaling: Some(scaling), ..config }.rope_frequencies();
        let ratios: Vec<f64> = plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert!(ratios[..14].iter().all(|ratio| (ratio - 1.0).abs() < 1e-12), "{ratios:?}");
        assert!(ratios[19..].iter().all(|ratio| (ratio - 32.0).abs() < 1e-9), "{ratios:?}");
        assert!(ratios.is_sorted() && ratios[16] > 1.5 && ratios[16] < 16.0, "{ratios:?}");
    }

    #[test]
    fn what_gives_no_frequencies_is_refused() {
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
