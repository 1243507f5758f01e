//! The guard: detects spikes of losses and gradient norms, and decides what to do about them. Pure.
//!
//! It gives the device a norm threshold that depends on reports at least two steps old, so that no step
//! waits for a report: a step whose norm exceeds it, or is not finite, changes no parameter.

use super::step::StepReport;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Settings of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// True if it acts on spikes; steps that are not finite are always skipped.
    pub enabled: bool,
    /// Steps in its history.
    pub window: usize,
    /// Steps before it detects spikes.
    pub patience: usize,
    /// Robust z-score of the gradient norm above which a step is skipped.
    pub norm_z: f64,
    /// Robust z-score of the loss above which a step counts as a spike.
    pub loss_z: f64,
    /// Spikes or skipped steps in a row after which the run rolls back.
    pub tolerate: usize,
    /// Rollbacks after which the run stops.
    pub rollbacks: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { enabled: true, window: 64, patience: 16, norm_z: 12.0, loss_z: 12.0, tolerate: 3, rollbacks: 5 }
    }
}

/// The guard's verdict on a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardVerdict {
    /// Nothing unusual.
    Fine,
    /// The device skipped the step, with the reason.
    Skipped(String),
    /// The loss is high, but not yet for long.
    Spike(String),
    /// Roll back to the last scheduled checkpoint, and continue after the data that caused this.
    RollBack(String),
    /// Stop: there were too many rollbacks.
    GiveUp(String),
}

/// A step in the history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct HistoryStep {
    step: u64,
    loss: f64,
    norm: f64,
}

/// A loss scale that takes effect two steps after the report that caused it, so that it does not depend on
/// when the report was read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct LossScale {
    before: f32,
    after: f32,
    from: u64,
}

/// The guard's state; saved with checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    config: GuardConfig,
    history: VecDeque<HistoryStep>,
    in_a_row: usize,
    /// Rollbacks so far.
    pub rollbacks: usize,
    /// The loss scale, a power of two: before, and from a step on.
    scale: LossScale,
    full_scale: f32,
    steps_since_overflow: u64,
}

/// Steps without overflow after which the loss scale doubles.
const REGROW: u64 = 1000;

impl Guard {
    /// A guard without history. `loss_scale` is 1 for f32 training.
    pub fn new(config: GuardConfig, loss_scale: f32) -> Self {
        Self {
            config,
            history: VecDeque::new(),
            in_a_row: 0,
            rollbacks: 0,
            scale: LossScale { before: loss_scale, after: loss_scale, from: 0 },
            full_scale: loss_scale,
            steps_since_overflow: 0,
        }
    }

    /// Returns true if the last step was a spike or was skipped.
    pub fn suspicious(&self) -> bool {
        self.in_a_row > 0
    }

    /// Returns the norm above which `step` is skipped, from reports of `step − 2` and before.
    pub fn threshold(&self, step: u64) -> f32 {
        if !self.config.enabled {
            return f32::MAX;
        }
        let norms: Vec<f64> = self.history.iter().filter(|seen| seen.step + 2 <= step).map(|seen| seen.norm).collect();
        if norms.len() < self.config.patience {
            return f32::MAX;
        }
        (limit(norms, self.config.norm_z) as f32).min(f32::MAX)
    }

    /// Returns the loss scale of `step`.
    pub fn loss_scale(&self, step: u64) -> f32 {
        if step < self.scale.from { self.scale.before } else { self.scale.after }
    }

    fn rescale(&mut self, step: u64, factor: f32) {
        let before = self.loss_scale(step + 1);
        self.scale = LossScale { before, after: (self.scale.after * factor).clamp(f32::MIN_POSITIVE, self.full_scale), from: step + 2 };
    }

    /// Judges the report of `step` with the training loss `loss`.
    pub fn judge(&mut self, step: u64, loss: f64, report: &StepReport) -> GuardVerdict {
        if !report.norm.is_finite() || !loss.is_finite() {
            self.rescale(step, 0.5);
            self.steps_since_overflow = 0;
            return self.count(
                format!("step {step}: the gradient is not finite (loss {loss}, norm {}); loss scale is now {}", report.norm, self.scale.after),
                !report.taken,
            );
        }
        self.regrow(step);
        if !report.taken {
            return self.count(format!("step {step}: gradient norm {:.4} is a spike", report.norm), true);
        }
        let losses: Vec<f64> = self.history.iter().map(|seen| seen.loss).collect();
        if self.config.enabled && losses.len() >= self.config.patience && loss > limit(losses, self.config.loss_z) {
            return self.count(format!("step {step}: loss {loss:.4} is a spike"), false);
        }
        self.in_a_row = 0;
        self.history.push_back(HistoryStep { step, loss, norm: report.norm });
        if self.history.len() > self.config.window {
            self.history.pop_front();
        }
        GuardVerdict::Fine
    }

    fn count(&mut self, what: String, skipped: bool) -> GuardVerdict {
        self.in_a_row += 1;
        if self.in_a_row < self.config.tolerate.max(1) {
            return if skipped { GuardVerdict::Skipped(what) } else { GuardVerdict::Spike(what) };
        }
        if self.rollbacks >= self.config.rollbacks { GuardVerdict::GiveUp(what) } else { GuardVerdict::RollBack(what) }
    }

    /// Restores the history of `earlier` after a rollback, and counts the rollback.
    pub fn rolled_back(&mut self, earlier: Guard) {
        let scale = LossScale { before: self.scale.after, after: self.scale.after, from: 0 };
        *self = Guard { rollbacks: self.rollbacks + 1, scale, in_a_row: 0, ..earlier };
    }

    fn regrow(&mut self, step: u64) {
        self.steps_since_overflow += 1;
        if self.scale.after < self.full_scale && self.steps_since_overflow.is_multiple_of(REGROW) {
            self.rescale(step, 2.0);
        }
    }
}

/// Returns median + z robust deviations (1.4826 · MAD), but at least twice the median: early steps differ so
/// little that all later ones would be spikes.
fn limit(mut values: Vec<f64>, z: f64) -> f64 {
    let middle = median(&mut values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle + z * 1.4826 * median(&mut distances)).max(2.0 * middle)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { 0.5 * (values[half - 1] + values[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(norm: f64, taken: bool) -> StepReport {
        StepReport { norm, taken, ..Default::default() }
    }

    fn warmed() -> Guard {
        let mut guard = Guard::new(GuardConfig::default(), 1.0);
        for step in 0..40 {
            let wave = (step as f64).sin();
            assert_eq!(guard.judge(step, 5.0 + 0.1 * wave, &report(1.0 + 0.1 * wave, true)), GuardVerdict::Fine);
        }
        guard
    }

    #[test]
    fn the_threshold_uses_only_reports_two_steps_old() {
        let mut guard = warmed();
        let before = guard.threshold(40);
        guard.judge(40, 5.0, &report(1.9, true));
        assert_eq!(guard.threshold(40), before);
        assert_ne!(guard.threshold(42), before);
        assert!(before > 1.5 && before < 4.0, "{before}");
        assert_eq!(Guard::new(GuardConfig::default(), 1.0).threshold(5), f32::MAX);
    }

    #[test]
    fn spikes_in_a_row_roll_back_and_then_give_up() {
        let mut guard = warmed();
        assert!(matches!(guard.judge(40, 50.0, &report(1.0, true)), GuardVerdict::Spike(_)));
        assert!(matches!(guard.judge(41, 5.0, &report(90.0, false)), GuardVerdict::Skipped(_)));
        assert!(matches!(guard.judge(42, 50.0, &report(1.0, true)), GuardVerdict::RollBack(_)));
        guard.rolled_back(warmed());
        assert_eq!((guard.rollbacks, guard.judge(43, 5.0, &report(1.0, true))), (1, GuardVerdict::Fine));
        guard.rollbacks = 5;
        for step in 44..46 {
            guard.judge(step, 50.0, &report(1.0, true));
        }
        assert!(matches!(guard.judge(46, 50.0, &report(1.0, true)), GuardVerdict::GiveUp(_)));
    }

    #[test]
    fn an_overflow_halves_the_loss_scale() {
        let mut guard = Guard::new(GuardConfig::default(), 1024.0);
        assert!(matches!(guard.judge(0, f64::NAN, &report(f64::INFINITY, false)), GuardVerdict::Skipped(_)));
        assert_eq!((guard.loss_scale(1), guard.loss_scale(2)), (1024.0, 512.0));
        for step in 1..=REGROW {
            guard.judge(step, 1.0, &report(1.0, true));
        }
        assert_eq!((guard.loss_scale(REGROW + 1), guard.loss_scale(REGROW + 2)), (512.0, 1024.0));
    }
}
