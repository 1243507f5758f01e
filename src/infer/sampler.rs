//! Choosing the next token. Pure: randomness is keyed by seed, position and token, so that the same
//! logits give the same token on every device.

use crate::rng::Key;
use serde::{Deserialize, Serialize};

/// How a token is chosen. The neutral value of each setting leaves the distribution as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only the k likeliest; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together have this probability; 1 for all.
    pub top_p: f64,
    /// Only those with this share of the likeliest one's probability; 0 for all.
    pub min_p: f64,
    /// Divides positive logits of tokens already seen, multiplies negative ones; 1 for none.
    pub repetition_penalty: f64,
    /// Decides the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.0, repetition_penalty: 1.1, seed: 0 }
    }
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 };

    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top-p", self.top_p, 1e-9, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
            ("repetition-penalty", self.repetition_penalty, 0.1, 10.0),
        ];
        match ranges.into_iter().find(|(_, value, least, most)| !(value >= least && value <= most)) {
            Some((name, value, least, most)) => Err(format!("{name} is {value}; it must be between {least} and {most}")),
            None => Ok(()),
        }
    }
}

/// Tokens that a repetition is measured against.
const MEMORY: usize = 256;

/// Chooses tokens, one position after the other.
#[derive(Clone, Debug)]
pub struct Sampler {
    settings: Sampling,
    key: Key,
}

impl Sampler {
    /// A sampler with these settings.
    pub fn new(settings: Sampling) -> Self {
        Self { settings, key: Key::new(settings.seed, "sample") }
    }

    /// The token for `position`, given the logits and the tokens before it.
    pub fn choose(&self, logits: &[f32], before: &[u32], position: usize) -> u32 {
        let mut logits: Vec<f64> = logits.iter().map(|&x| if x.is_finite() { f64::from(x) } else { f64::MIN }).collect();
        self.penalise(&mut logits, before);
        if self.settings.temperature == 0.0 {
            return best(logits.iter().copied().enumerate());
        }
        let key = self.key.child(position as u64);
        // The Gumbel trick: the largest log p + g, with g = −ln(−ln u), is a draw from p.
        best(self.candidates(&logits).into_iter().map(|(token, weight)| (token, weight - (-key.uniform(token as u64).ln()).ln())))
    }

    fn penalise(&self, logits: &mut [f64], before: &[u32]) {
        let penalty = self.settings.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut seen: Vec<u32> = before[before.len().saturating_sub(MEMORY)..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// The tokens that may be drawn, each with its logit over temperature, likeliest first.
    fn candidates(&self, logits: &[f64]) -> Vec<(usize, f64)> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.settings;
        let mut list: Vec<(usize, f64)> = logits.iter().map(|logit| logit / temperature).enumerate().collect();
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_k > 0 {
            list.truncate(top_k);
        }
        let top = list[0].1;
        let total: f64 = list.iter().map(|(_, weight)| (weight - top).exp()).sum();
        let mut sum = 0.0;
        let kept = list.iter().take_while(|(_, weight)| {
            let share = (weight - top).exp();
            let wanted = sum < top_p && share >= min_p;
            sum += share / total;
            wanted
        });
        let kept = kept.count().max(1);
        list.truncate(kept);
        list
    }
}

/// The index of the largest value; the first of equals.
fn best(values: impl Iterator<Item = (usize, f64)>) -> u32 {
    values.fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best }).0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -3.0, 1.9];

    fn shares(settings: Sampling) -> [f64; 5] {
        let mut counts = [0.0; 5];
        let sampler = Sampler::new(settings);
        for position in 0..20_000 {
            counts[sampler.choose(&LOGITS, &[], position) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let total: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for (share, &logit) in shares(Sampling { temperature: 1.0, ..Sampling::GREEDY }).iter().zip(&LOGITS) {
            assert!((share - f64::from(logit).exp() / total).abs() < 0.015);
        }
    }

    #[test]
    fn filters_leave_only_what_they_allow() {
        let warm = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let allowed = |settings| shares(settings).map(|share| share > 0.0);
        assert_eq!(allowed(Sampling { top_k: 2, ..warm }), [false, true, false, false, true]);
        assert_eq!(allowed(Sampling { top_p: 0.5, ..warm }), [false, true, false, false, true]);
        assert_eq!(allowed(Sampling { min_p: 0.3, ..warm }), [false, true, true, false, true]);
    }

    #[test]
    fn greedy_takes_the_likeliest_and_repetition_is_penalised() {
        assert_eq!(Sampler::new(Sampling::GREEDY).choose(&LOGITS, &[], 0), 1);
        assert_eq!(Sampler::new(Sampling { repetition_penalty: 1.5, ..Sampling::GREEDY }).choose(&LOGITS, &[1], 0), 4);
        assert_eq!(Sampler::new(Sampling::GREEDY).choose(&[f32::NAN, 1.0], &[], 0), 1);
        assert!(Sampling { top_p: 0.0, ..Sampling::GREEDY }.check().unwrap_err().contains("top-p"));
    }
}
