//! Export of steps as comma-separated values (RFC 4180). Pure.
//!
//! Without the crate `csv`, which would only replace `quoted` and would make the page larger.

use super::metrics::Metrics;
use super::quantities::{QUANTITIES, Quantity, quantity};
use super::settings::{SETTINGS, Setting, SettingValue};
use std::fmt::Display;

/// The binarized matrices of a block, in the order of `Metrics::flips`.
const MATRICES: [&str; 7] = ["q", "k", "v", "o", "gate", "up", "down"];

/// A function that formats a value of a row.
type CsvValue = fn(&Metrics) -> String;

/// Columns that are not quantities: the quantity before each, its name, and its value.
const OTHERS: [(usize, &str, CsvValue); 1] = [(quantity("flip_ratio"), "taken", |m| m.taken.to_string())];
/// The quantity before the columns of changed settings.
const CHANGED_AFTER: usize = quantity("seconds");

/// A column of every table.
enum CsvColumn {
    Quantity(&'static Quantity),
    Other(&'static str, CsvValue),
    Changed(&'static Setting),
}

impl CsvColumn {
    fn name(&self) -> String {
        match self {
            Self::Quantity(row) => row.name.into(),
            Self::Other(name, _) => name.to_string(),
            Self::Changed(setting) => format!("changed_{}", setting.name.replace('.', "_")),
        }
    }

    /// Formats the value of a step; empty if it has none.
    fn value(&self, metrics: &Metrics) -> String {
        match self {
            Self::Quantity(row) => maybe(row.recorded(metrics)),
            Self::Other(_, value) => value(metrics),
            Self::Changed(setting) => match metrics.changed.as_ref().and_then(|changed| changed.get(setting.name)) {
                None => String::new(),
                Some(SettingValue::Real(value)) => value.to_string(),
                Some(value) => quoted(&value.to_string()),
            },
        }
    }
}

/// Returns the columns of every table, in order.
fn columns() -> impl Iterator<Item = CsvColumn> {
    QUANTITIES.iter().enumerate().flat_map(|(index, row)| {
        let others = OTHERS.into_iter().filter(move |(after, ..)| *after == index).map(|(_, name, value)| CsvColumn::Other(name, value));
        let live = SETTINGS.iter().filter(move |setting| index == CHANGED_AFTER && setting.live).map(CsvColumn::Changed);
        [CsvColumn::Quantity(row)].into_iter().chain(others).chain(live)
    })
}

fn maybe(value: Option<impl Display>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// Quotes a text if necessary.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

/// Returns the header, for runs with at most `matrices` binarized matrices.
pub fn header(matrices: usize) -> String {
    let flips = (0..matrices).map(|n| format!("flips_{}_{}", n / MATRICES.len(), MATRICES[n % MATRICES.len()]));
    let names = ["run".to_string()].into_iter().chain(columns().map(|column| column.name())).chain(flips);
    names.collect::<Vec<_>>().join(",") + "\n"
}

/// Returns the row of a step of a run.
pub fn row(run: &str, metrics: &Metrics, matrices: usize) -> String {
    let mut row = quoted(run);
    for column in columns() {
        row.push(',');
        row.push_str(&column.value(metrics));
    }
    for n in 0..matrices {
        row.push(',');
        row.push_str(&maybe(metrics.flips.get(n)));
    }
    row + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Losses, Term};

    #[test]
    fn every_quantity_has_a_column_and_names_are_those_that_are_pinned() {
        let header = header(2 * MATRICES.len());
        let names: Vec<&str> = header.trim_end().split(',').collect();
        for row in &QUANTITIES {
            assert_eq!(names.iter().filter(|name| **name == row.name).count(), 1, "{}", row.name);
        }
        let pins = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pins/files.txt")).unwrap();
        assert!(pins.lines().any(|line| line.trim() == header.trim_end()), "tests/pins/files.txt has another header: {header}");
    }

    #[test]
    fn every_field_of_a_step_has_its_column() {
        let metrics = Metrics {
            ad: Some(1.0),
            kl: Some(2.0),
            norm: Some(1e-9),
            flips: vec![0.5; 8],
            threshold: Some(4.0),
            changed: serde_json::from_str(r#"{"lr": 0.5, "sample_prompt": "hi"}"#).unwrap(),
            held_out: Some(Losses::new(Term::ALL.map(|term| (term, 5.0 + term.index() as f64)))),
            held_out_loss: Some(5.5),
            ..Metrics::default()
        };
        let (header, row) = (header(9), row("a, \"b\"", &metrics, 9));
        let names: Vec<&str> = header.trim_end().split(',').collect();
        for (field, value) in serde_json::to_value(&metrics).unwrap().as_object().unwrap() {
            let columns = names.iter().filter(|name| *name == field || name.strip_prefix(field).is_some_and(|rest| rest.starts_with('_'))).count();
            let expected = match value {
                serde_json::Value::Array(_) => 9,
                serde_json::Value::Object(parts) => parts.len(),
                _ => 1,
            };
            assert!(columns >= expected, "{field} has {columns} columns");
        }
        assert!(row.starts_with("\"a, \"\"b\"\"\","), "{row}");
        let values: Vec<&str> = row.trim_end().trim_start_matches("\"a, \"\"b\"\"\",").split(',').collect();
        let value = |name: &str| values[names.iter().position(|known| *known == name).unwrap() - 1];
        assert_eq!((value("norm"), value("held_out_kl"), value("changed_lr"), value("flips_1_q"), value("flips_1_k")), ("0.000000001", "7", "0.5", "0.5", ""));
        assert_eq!(value("changed_sample_prompt"), "hi");
        assert_eq!(values.len() + 1, names.len());
    }
}
