//! Sampling settings, and the parameters of one draw. Pure: sampling itself is an operation
//! ([`Sample`](crate::ops::Sample)) on the device that has the logits.

use crate::ops::{Draw, MEMORY};
use crate::rng::Key;
use serde::{Deserialize, Serialize};

/// Sampling settings. The neutral value of each leaves the distribution unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy decoding.
    pub temperature: f64,
    /// Keep the k most likely tokens; 0 for all.
    pub top_k: usize,
    /// Keep the most likely tokens with this cumulative probability; 1 for all.
    pub top_p: f64,
    /// Keep tokens with at least this fraction of the top token's probability; 0 for all.
    pub min_p: f64,
    /// Divides positive logits of recent tokens and multiplies negative ones; 1 for no penalty.
    pub repetition_penalty: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.0, repetition_penalty: 1.1, seed: 0 }
    }
}

impl Sampling {
    /// Greedy decoding: always the most likely token.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 };

    /// Validates the settings.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top-p", self.top_p, 1e-9, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
            ("repetition-penalty", self.repetition_penalty, 0.1, 10.0),
        ];
        match ranges.into_iter().find(|(_, value, min, max)| !(value >= min && value <= max)) {
            Some((name, value, min, max)) => Err(format!("{name} is {value}; it must be between {min} and {max}")),
            None => Ok(()),
        }
    }
}

/// Computes the draw for each position.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    settings: Sampling,
    key: Key,
    count: usize,
}

impl Sampler {
    /// Makes a sampler over the ids below `count`.
    pub fn new(settings: Sampling, count: usize) -> Self {
        Self { settings, key: Key::new(settings.seed, "sample"), count }
    }

    /// The parameters of the draw at `position`.
    pub fn draw(&self, position: usize) -> Draw {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, .. } = self.settings;
        Draw {
            count: clamped(self.count),
            key: self.key.child(position as u64).words(),
            temperature: temperature as f32,
            penalty: repetition_penalty as f32,
            top_k: clamped(top_k),
            top_p: top_p as f32,
            log_min_p: (min_p.ln() as f32).max(f32::MIN),
            recent_index: (position % MEMORY) as u32,
        }
    }

    /// The ring buffer of recent tokens of a text.
    pub fn recent(text: &[u32]) -> Vec<u32> {
        let mut recent = vec![u32::MAX; MEMORY];
        let first = text.len().saturating_sub(MEMORY);
        for (position, &token) in text.iter().enumerate().skip(first) {
            recent[position % MEMORY] = token;
        }
        recent
    }
}

fn clamped(n: usize) -> u32 {
    n.min(u32::MAX as usize) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -3.0, 1.9];

    fn choose(settings: Sampling, logits: &[f32], before: &[u32], position: usize) -> u32 {
        Sampler::new(settings, logits.len()).draw(position).of(logits, &Sampler::recent(before)).token
    }

    fn shares(settings: Sampling) -> [f64; 5] {
        let mut counts = [0.0; 5];
        for position in 0..20_000 {
            counts[choose(settings, &LOGITS, &[], position) as usize] += 1.0 / 20_000.0;
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
    fn rare_tokens_are_drawn_at_their_rate() {
        // One token with probability 0.999, and 4,000 that share the rest.
        let logits: Vec<f32> = (0..4001).map(|n| if n == 77 { 0.0 } else { (1e-3f32 / 0.999 / 4000.0).ln() }).collect();
        let warm = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let rare: Vec<u32> = (0..20_000).map(|position| choose(warm, &logits, &[], position)).filter(|&token| token != 77).collect();
        assert!((8..36).contains(&rare.len()), "{} of 20 expected", rare.len());
        assert!(rare.iter().any(|&token| token < 2000) && rare.iter().any(|&token| token >= 2000), "{rare:?}");
    }

    #[test]
    fn filters_keep_only_allowed_tokens() {
        let warm = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let allowed = |settings| shares(settings).map(|share| share > 0.0);
        assert_eq!(allowed(Sampling { top_k: 2, ..warm }), [false, true, false, false, true]);
        assert_eq!(allowed(Sampling { top_p: 0.5, ..warm }), [false, true, false, false, true]);
        assert_eq!(allowed(Sampling { min_p: 0.3, ..warm }), [false, true, true, false, true]);
    }

    #[test]
    fn greedy_takes_the_likeliest_and_repetition_is_penalised() {
        assert_eq!(choose(Sampling::GREEDY, &LOGITS, &[], 0), 1);
        let penalised = Sampling { repetition_penalty: 1.5, ..Sampling::GREEDY };
        assert_eq!(choose(penalised, &LOGITS, &[1], 0), 4);
        // Seen, but not within the memory of the penalty.
        let long: Vec<u32> = std::iter::once(1).chain([0; MEMORY]).collect();
        assert_eq!((choose(penalised, &LOGITS, &long[..MEMORY], 0), choose(penalised, &LOGITS, &long, 0)), (4, 1));
        assert_eq!(choose(Sampling::GREEDY, &[f32::NAN, 1.0], &[], 0), 1);
        assert!(Sampling { top_p: 0.0, ..Sampling::GREEDY }.check().unwrap_err().contains("top-p"));
    }
}
