//! The values of a comparison, computed as the table of quantities defines them, and their columns.

use crate::ops::Term;
use crate::train::{Average, Compared, Metrics, QUANTITIES, QUANTITY_COUNT, Summary, Unit, quantity};
use serde::Serialize;

/// A column of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompareColumn {
    /// The name of its averages in [`super::ComparedGroup`].
    pub name: &'static str,
    /// The column header.
    pub head: String,
    /// Unit of its values, for formatting.
    #[serde(skip)]
    pub unit: Unit,
}

/// Name of the column of the lowest held-out loss, which is a value of a run and not of a step.
pub(super) const BEST: &str = "best";

/// The columns after the lowest held-out loss.
const LAST: [usize; 4] = [quantity("flip_ratio"), quantity("step"), quantity("tokens"), quantity("seconds")];

/// Returns the columns, starting with held-out losses: divergences, then next-token loss. `best_by` is the term that selected
/// the best step.
pub(super) fn columns(best_by: Term) -> Vec<CompareColumn> {
    let places = || Term::ALL.into_iter().map(|term| quantity(term.held_out()));
    let (next, divergences): (Vec<usize>, Vec<usize>) = places().partition(|&index| index == const { quantity("held_out_ar") });
    let column = |index: usize| {
        let row = &QUANTITIES[index];
        row.compared.map(|Compared { name, head, .. }| CompareColumn { name, head: head.into(), unit: row.unit })
    };
    let by = QUANTITIES[quantity(best_by.held_out())].compared.map_or("", |compared| compared.head);
    let best = CompareColumn { name: BEST, head: format!("best {by}"), unit: Unit::Nats };
    divergences.into_iter().chain(next).filter_map(column).chain([best]).chain(LAST.into_iter().filter_map(column)).collect()
}

/// The compared values of a run, updated as its metrics are read.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnValues {
    last: [Option<f64>; QUANTITY_COUNT],
    /// All values of quantities that are averaged over the last tenth of the steps.
    all: [Vec<f64>; QUANTITY_COUNT],
}

impl ColumnValues {
    pub(super) fn add(&mut self, metrics: &Metrics) {
        for (index, row) in QUANTITIES.iter().enumerate() {
            match row.compared.map(|compared| compared.summary) {
                Some(Summary::Last) => self.last[index] = row.drawn(metrics),
                Some(Summary::LastMeasured) if metrics.held_out.is_some() => self.last[index] = row.drawn(metrics),
                Some(Summary::LastTenth) => self.all[index].extend(row.drawn(metrics)),
                Some(Summary::LastMeasured) | None => {}
            }
        }
    }

    /// Returns the run's value of a quantity.
    pub(super) fn of(&self, index: usize) -> Option<f64> {
        let all = &self.all[index];
        if all.is_empty() { self.last[index] } else { Average::of(&all[all.len() - all.len().div_ceil(10)..]).map(|average| average.mean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_compared_quantity_has_one_column() {
        let columns = columns(Term::KL);
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        assert!(names.starts_with(&["kl"]) && names.ends_with(&["ar", "best", "flips", "steps", "tokens", "seconds"]), "{names:?}");
        for row in QUANTITIES.iter().filter_map(|row| row.compared) {
            assert_eq!(names.iter().filter(|name| **name == row.name).count(), 1, "{}", row.name);
        }
        let head = |name: &str| columns.iter().find(|column| column.name == name).unwrap().head.clone();
        assert_eq!((head("best"), head("seconds")), ("best KL(teacher‖student)".into(), "minutes".into()));
    }
}
