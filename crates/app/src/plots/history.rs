//! Everything that is drawn of one run, kept up as its steps arrive.

use super::curve::Curve;
use super::heat::Heat;
use signet::runner::Metrics;

/// A quantity of a run, by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The loss that is minimised.
    Loss,
    /// The same on held-out text.
    HeldOutLoss,
    /// KL divergence of the student from the teacher.
    Kl,
    /// The same on held-out text.
    HeldOutKl,
    /// Share of binarized weights whose sign changed.
    Flips,
    /// Gradient norm before clipping.
    Norm,
    /// Learning rate.
    Rate,
    /// Tokens a second.
    Speed,
}

impl Quantity {
    /// All, in the order of [`History`]'s curves.
    pub const ALL: [Quantity; 8] =
        [Quantity::Loss, Quantity::HeldOutLoss, Quantity::Kl, Quantity::HeldOutKl, Quantity::Flips, Quantity::Norm, Quantity::Rate, Quantity::Speed];

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Loss => "loss",
            Quantity::HeldOutLoss => "held-out loss",
            Quantity::Kl => "KL from the teacher",
            Quantity::HeldOutKl => "held-out KL",
            Quantity::Flips => "flip-flop ratio",
            Quantity::Norm => "gradient norm",
            Quantity::Rate => "learning rate",
            Quantity::Speed => "tokens/s",
        }
    }

    fn of(self, metrics: &Metrics) -> Option<f64> {
        let held = metrics.held_out.as_ref();
        match self {
            Quantity::Loss => Some(metrics.loss),
            Quantity::HeldOutLoss => metrics.held_out_loss(),
            Quantity::Kl => metrics.kl,
            Quantity::HeldOutKl => held.filter(|_| metrics.kl.is_some()).map(|losses| losses.kl()),
            Quantity::Flips => (!metrics.flips.is_empty()).then_some(metrics.flip_ratio),
            Quantity::Norm => metrics.norm,
            Quantity::Rate => Some(metrics.lr),
            Quantity::Speed => Some(metrics.tokens_per_s),
        }
    }
}

/// Something that happened at a step, marked on all plots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub step: u64,
    /// What.
    pub text: String,
}

/// Marks kept; of more, the oldest go.
const MARKS: usize = 1000;

/// The curves of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    curves: [Curve; Quantity::ALL.len()],
    /// Flips of every matrix.
    pub heat: Heat,
    /// What happened, by step.
    pub marks: Vec<Mark>,
    /// The last step.
    pub last: Option<Box<Metrics>>,
}

impl History {
    /// Adds a step. One that comes again, after a rollback, takes the place of all from it on.
    pub fn push(&mut self, metrics: &Metrics) {
        if self.last.as_ref().is_some_and(|last| last.step >= metrics.step) {
            self.truncate(metrics.step.saturating_sub(1));
        }
        for (curve, quantity) in self.curves.iter_mut().zip(Quantity::ALL) {
            if let Some(value) = quantity.of(metrics) {
                curve.push(metrics.step, value);
            }
        }
        self.heat.push(metrics.step, &metrics.flips);
        self.last = Some(Box::new(metrics.clone()));
    }

    /// Forgets steps after `step`. Marks stay: they tell why.
    pub fn truncate(&mut self, step: u64) {
        self.curves.iter_mut().for_each(|curve| curve.truncate(step));
        self.heat.truncate(step);
        self.last = self.last.take().filter(|last| last.step <= step);
    }

    /// Marks a step.
    pub fn mark(&mut self, step: u64, text: impl Into<String>) {
        if self.marks.len() == MARKS {
            self.marks.remove(0);
        }
        self.marks.push(Mark { step, text: text.into() });
    }

    /// The curve of a quantity.
    pub fn curve(&self, quantity: Quantity) -> &Curve {
        &self.curves[quantity as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet::runner::{Losses, Term};

    fn metrics(step: u64) -> Metrics {
        let held_out = step.is_multiple_of(10).then_some(Losses::new([(Term::Ad, 3.0), (Term::Ar, 4.0), (Term::KL, 0.5)]));
        Metrics { step, loss: step as f64, ad: Some(1.0), kl: Some(0.25), norm: None, flips: vec![0.5, 0.25], flip_ratio: 0.3, held_out, ..Metrics::default() }
    }

    #[test]
    fn a_rollback_takes_steps_back_everywhere() {
        let mut history = History::default();
        (1..=50).for_each(|step| history.push(&metrics(step)));
        history.mark(50, "rolled back");
        (31..=35).for_each(|step| history.push(&metrics(step)));
        assert_eq!(history.curve(Quantity::Loss).range(), Some((1, 35)));
        assert_eq!(history.curve(Quantity::HeldOutLoss).len(), 3);
        assert_eq!((history.curve(Quantity::HeldOutKl).last(), history.curve(Quantity::Norm).len()), (Some(0.5), 0));
        assert_eq!((history.marks.len(), history.heat.steps(), history.last.unwrap().step), (1, 35, 35));
    }
}
