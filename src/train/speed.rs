//! The speed of a run, as it is displayed. Pure.

use std::collections::VecDeque;

/// The times of a step, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepSpan {
    /// The time when its launch began.
    pub(super) begun: f64,
    /// The time when all of it was submitted to the device.
    pub(super) launched: f64,
    /// The time when it was computed, if the launch waited for that.
    pub(super) done: Option<f64>,
}

impl StepSpan {
    /// Returns the duration of the step, if it was done at `done` and the step before at `before`: from its launch, or from
    /// the end of the step before if that was later. The next step is launched while one is computed; if launching is
    /// slower, it determines the speed. Work between steps does not count.
    pub(super) fn seconds(&self, before: f64, done: f64) -> f64 {
        (done - self.begun.max(before)).max(self.launched - self.begun).max(1e-6)
    }
}

/// Number of steps of the median.
const STEPS: usize = 21;

/// The median speed of the last steps, which is robust against outliers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speed(VecDeque<f64>);

impl Speed {
    /// Adds a step's tokens per second.
    pub fn add(&mut self, tokens_per_s: f64) {
        if self.0.len() == STEPS {
            self.0.pop_front();
        }
        self.0.push_back(tokens_per_s);
    }

    /// Tokens per second; none before the first step.
    pub fn tokens_per_s(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.0.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Returns the seconds for `tokens` tokens.
    pub fn seconds(&self, tokens: u64) -> Option<f64> {
        let rate = self.tokens_per_s().filter(|&rate| rate > 0.0)?;
        Some(tokens as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds of each step of a run, from its times and the time of its report.
    fn seconds(steps: &[(f64, f64, Option<f64>, f64)]) -> Vec<f64> {
        let mut before = 0.0;
        let time = |&(begun, launched, done, reported): &(f64, f64, Option<f64>, f64)| {
            let end = done.unwrap_or(reported);
            StepSpan { begun, launched, done }.seconds(std::mem::replace(&mut before, end), end)
        };
        steps.iter().map(time).collect()
    }

    #[test]
    fn a_step_takes_as_long_as_the_slower_of_launching_and_computing() {
        // Launched instantly and computed in ten seconds each; a pause before the last.
        assert_eq!(seconds(&[(0.0, 0.0, None, 10.0), (0.0, 0.0, None, 20.0), (10.0, 10.0, None, 30.0), (50.0, 50.0, None, 60.0)]), [10.0; 4]);
        // Launches wait for the first two steps, and the report of the first is read after the second.
        assert_eq!(seconds(&[(0.0, 10.0, Some(10.0), 20.0), (10.0, 20.0, Some(20.0), 20.0), (20.0, 20.0, None, 30.0)]), [10.0; 3]);
        // Launched in ten seconds, computed instantly; the report of the first is read after the second was launched, and
        // nothing is launched after the last.
        assert_eq!(seconds(&[(0.0, 10.0, None, 20.0), (10.0, 20.0, None, 30.0), (20.0, 30.0, None, 30.0)]), [20.0, 10.0, 10.0]);
    }

    #[test]
    fn outliers_do_not_change_the_speed() {
        let mut speed = Speed::default();
        assert_eq!((speed.tokens_per_s(), speed.seconds(100)), (None, None));
        for rate in [20.0, 1000.0, 1010.0, 990.0, 1.1e7, 1000.0, 5.0, 1005.0] {
            speed.add(rate);
        }
        assert!((990.0..1010.0).contains(&speed.tokens_per_s().unwrap()), "{speed:?}");
        assert_eq!(speed.seconds(2000), Some(2000.0 / speed.tokens_per_s().unwrap()));
        (0..STEPS).for_each(|_| speed.add(500.0));
        assert_eq!(speed.tokens_per_s(), Some(500.0));
    }
}
