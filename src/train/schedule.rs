//! The learning rate: linear warm-up, then a cosine to the end rate, by micro-step. Pure.

use serde::{Deserialize, Serialize};

/// A learning rate schedule over micro-steps, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Highest rate.
    pub peak: f64,
    /// Final rate.
    pub end: f64,
    /// Micro-steps of warm-up.
    pub warmup: u64,
    /// Number of all micro-steps.
    pub total: u64,
}

impl Schedule {
    /// Returns the rate at a micro-step: `peak · t ÷ warmup`, then `end + (peak − end)·(1 + cos π·p) ÷ 2`
    /// with p the progress after the warm-up, 0 to 1; `end` after the last.
    pub fn rate(&self, micro_step: u64) -> f64 {
        if micro_step < self.warmup {
            return self.peak * micro_step as f64 / self.warmup as f64;
        }
        let rest = self.total.saturating_sub(self.warmup).max(1);
        let passed = ((micro_step - self.warmup) as f64 / rest as f64).min(1.0);
        self.end + (self.peak - self.end) * 0.5 * (1.0 + (std::f64::consts::PI * passed).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_golden_runs() {
        let schedule = Schedule { peak: 0.003, end: 0.0003, warmup: 4, total: 16 };
        for (micro_step, want) in [(0, 0.0), (1, 0.00075), (4, 0.003), (5, 0.002953999865490242), (8, 0.002325), (15, 0.0003460001345097579)] {
            assert!((schedule.rate(micro_step) - want).abs() < 1e-12, "{micro_step}");
        }
        assert_eq!(schedule.rate(100), 0.0003);
    }
}
