//! The plotted data of one run, updated step by step.

use super::heat::Heat;
use signet::runner::{Curve, Metrics, QUANTITIES, QUANTITY_COUNT, SettingValue};

/// An event at a step, marked on all plots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The step.
    pub step: u64,
    /// The event.
    pub text: String,
}

/// Maximum number of marks; the oldest are dropped.
const MARKS: usize = 1000;

/// The curves of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// One curve for each of [`QUANTITIES`]; empty for those without a curve.
    curves: [Curve; QUANTITY_COUNT],
    /// Flip-flop ratio of every matrix.
    pub heat: Heat,
    /// Events, in order.
    pub marks: Vec<Mark>,
    /// Metrics of the last step.
    pub last: Option<Box<Metrics>>,
}

impl History {
    /// Adds a step. A step that was added before, after a rollback, replaces it and all later ones.
    pub fn push(&mut self, metrics: &Metrics) {
        if self.last.as_ref().is_some_and(|last| last.step >= metrics.step) {
            self.truncate(metrics.step.saturating_sub(1));
        }
        for (curve, row) in self.curves.iter_mut().zip(&QUANTITIES).filter(|(_, row)| row.curve) {
            if let Some(value) = row.drawn(metrics) {
                curve.push(metrics.step, value);
            }
        }
        self.heat.push(metrics.step, &metrics.flips);
        self.last = Some(Box::new(metrics.clone()));
    }

    /// Removes steps after `step`. Marks stay: they explain the rollback.
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

    /// Marks a step with the settings that changed at it, if any.
    pub fn mark_changes(&mut self, metrics: &Metrics) {
        let Some(changed) = &metrics.changed else { return };
        let changes = changed.values().map(|(setting, value)| match (setting.label.to_lowercase(), value) {
            (label, SettingValue::Text(_)) => label,
            (label, SettingValue::Real(value)) => format!("{label} {value}"),
            (label, value) => format!("{label} {value}"),
        });
        self.mark(metrics.step, format!("changed: {}", changes.collect::<Vec<_>>().join(", ")));
    }

    /// The curve of a quantity, by its index in [`QUANTITIES`].
    pub fn curve(&self, quantity: usize) -> &Curve {
        &self.curves[quantity]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet::runner::{Losses, Term, quantity};

    fn metrics(step: u64) -> Metrics {
        let held_out = step.is_multiple_of(10).then_some(Losses::new([(Term::Ad, 3.0), (Term::Ar, 4.0), (Term::KL, 0.5)]));
        Metrics { step, loss: step as f64, ad: Some(1.0), kl: Some(0.25), norm: None, flips: vec![0.5, 0.25], flip_ratio: 0.3, held_out, ..Metrics::default() }
    }

    #[test]
    fn every_curve_of_the_table_is_kept() {
        let held_out = Some(Losses::new(Term::ALL.map(|term| (term, 1.0))));
        let mut history = History::default();
        history.push(&Metrics { norm: Some(1.0), held_out, ..metrics(1) });
        for (place, row) in QUANTITIES.iter().enumerate() {
            assert_eq!(history.curve(place).len(), usize::from(row.curve), "{}", row.name);
        }
    }

    #[test]
    fn changed_settings_are_marked_at_their_step() {
        let mut history = History::default();
        let line = r#"{"lr": 0.0001, "sample_prompt": "hi"}"#;
        history.mark_changes(&metrics(4));
        history.mark_changes(&Metrics { changed: serde_json::from_str(line).unwrap(), ..metrics(5) });
        assert_eq!(history.marks, [Mark { step: 5, text: "changed: learning rate 0.0001, sample prompt".into() }]);
    }

    #[test]
    fn a_rollback_removes_steps_from_all_curves() {
        let mut history = History::default();
        (1..=50).for_each(|step| history.push(&metrics(step)));
        history.mark(50, "rolled back");
        (31..=35).for_each(|step| history.push(&metrics(step)));
        assert_eq!(history.curve(quantity("loss")).range(), Some((1, 35)));
        assert_eq!(history.curve(quantity("held_out_loss")).len(), 3);
        assert_eq!((history.curve(quantity("held_out_kl")).last(), history.curve(quantity("norm")).len()), (Some(0.5), 0));
        assert_eq!((history.marks.len(), history.heat.steps(), history.last.unwrap().step), (1, 35, 35));
    }
}
