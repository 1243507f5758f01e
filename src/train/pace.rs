//! The speed of a run as a person is told it. Pure.

use std::collections::VecDeque;

/// Steps that it remembers.
const STEPS: usize = 21;

/// The speed of the last steps: their median, which one odd step does not move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace(VecDeque<f64>);

impl Pace {
    /// Takes in a step's tokens a second.
    pub fn add(&mut self, tokens_per_s: f64) {
        if self.0.len() == STEPS {
            self.0.pop_front();
        }
        self.0.push_back(tokens_per_s);
    }

    /// Tokens a second; none before the first step.
    pub fn tokens_per_s(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.0.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Seconds that `tokens` take.
    pub fn seconds(&self, tokens: u64) -> Option<f64> {
        let rate = self.tokens_per_s().filter(|&rate| rate > 0.0)?;
        Some(tokens as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_steps_do_not_move_the_speed() {
        let mut pace = Pace::default();
        assert_eq!((pace.tokens_per_s(), pace.seconds(100)), (None, None));
        for rate in [20.0, 1000.0, 1010.0, 990.0, 1.1e7, 1000.0, 5.0, 1005.0] {
            pace.add(rate);
        }
        assert!((990.0..1010.0).contains(&pace.tokens_per_s().unwrap()), "{pace:?}");
        assert_eq!(pace.seconds(2000), Some(2000.0 / pace.tokens_per_s().unwrap()));
        (0..STEPS).for_each(|_| pace.add(500.0));
        assert_eq!(pace.tokens_per_s(), Some(500.0));
    }
}
