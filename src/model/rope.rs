//! RoPE's frequencies: by how much each pair of a head's features turns from one token to the next.

use super::config::{ConfigError, LlamaConfig};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

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
}

impl RopeScaling {
    /// Refuses what gives no frequencies, naming the field.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (Self::Linear { factor } | Self::Llama3 { factor, .. }) = *self;
        let refuse = |problem: String| Err(ConfigError(format!("rope_scaling: {problem}")));
        if !(1.0..=1e6).contains(&factor) {
            return refuse(format!("factor is {factor}; it must be between 1 and 1e6"));
        }
        if let Self::Llama3 { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original, .. } = *self {
            if !(low > 0.0 && high > low && high <= 1e6) {
                return refuse(format!("low_freq_factor is {low} and high_freq_factor {high}; the first must be above 0 and below the second"));
            }
            if original == 0 || original > 1 << 20 {
                return refuse(format!("original_max_position_embeddings is {original}; it must be between 1 and {}", 1 << 20));
            }
        }
        Ok(())
    }

    fn scaled(&self, frequency: f64) -> f64 {
        match *self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } => {
                let turns = original as f64 * frequency / TAU;
                let left = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (left + (1.0 - left) / factor)
            }
        }
    }
}

impl LlamaConfig {
    /// What Llama 3's scaling divides each frequency by, as GGUF has it; none without that scaling.
    pub(super) fn rope_factors(&self) -> Option<Vec<f32>> {
        let plain = LlamaConfig { rope_scaling: None, ..self.clone() }.rope_frequencies();
        let llama3 = matches!(self.rope_scaling, Some(RopeScaling::Llama3 { .. }));
        llama3.then(|| plain.iter().zip(self.rope_frequencies()).map(|(plain, scaled)| (plain / scaled) as f32).collect())
    }

    /// Radians by which pair `j` of a head's `head_dim/2` pairs turns from one token to the next:
    /// θ^(−2j/head_dim), scaled.
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let width = self.head_dim();
        let plain = (0..width / 2).map(|j| self.rope_theta.powf(-2.0 * j as f64 / width as f64));
        plain.map(|frequency| self.rope_scaling.as_ref().map_or(frequency, |scaling| scaling.scaled(frequency))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_leaves_what_is_fast_and_divides_what_is_slow() {
        // Llama 3.2 1B.
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        scaling.check().unwrap();
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
            (llama3(8.0, 4.0, 4.0, 8192), "low_freq_factor"),
            (llama3(8.0, 0.0, 4.0, 8192), "low_freq_factor"),
            (llama3(8.0, 1.0, 4.0, 0), "original_max_position_embeddings"),
        ] {
            let error = scaling.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
