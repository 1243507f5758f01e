//! Conformance results of one device: a table that grows case by case, and the final report.

use crate::plots::number;
use eframe::egui::{self, CollapsingHeader, Grid, Ui};
use signet::runner::{CaseResult, Report};

/// Maximum number of failures kept as text.
const MAX_FAILURES: usize = 50;

/// All cases of an operation in a variant.
struct ResultRow {
    operation: String,
    variant: String,
    cases: usize,
    failed: usize,
    /// The largest error, as a fraction of the tolerance.
    worst: f64,
    known: bool,
}

/// Results of a device so far.
#[derive(Default)]
pub(super) struct ConformanceResults {
    /// The device's name.
    pub(super) device: String,
    rows: Vec<ResultRow>,
    failures: Vec<String>,
    cases: usize,
    failed: usize,
    pub(super) report: Option<Box<Report>>,
    /// The outcome; none while the check runs.
    ended: Option<Result<(), String>>,
}

/// An action on a report that the user chose.
pub(super) enum ReportAction {
    Save,
    Copy,
}

impl ConformanceResults {
    pub(super) fn new(device: impl Into<String>) -> Self {
        Self { device: device.into(), ..Self::default() }
    }

    /// Adds a comparison; the row of an operation moves to the top at its first unexpected failure.
    pub(super) fn add(&mut self, result: &CaseResult) {
        let CaseResult { operation, label, variant, worst, known, failure, .. } = result;
        let same = |row: &ResultRow| row.operation == *operation && row.variant == *variant;
        let at = self.rows.iter().position(same).unwrap_or_else(|| {
            let row = ResultRow { operation: operation.clone(), variant: variant.clone(), cases: 0, failed: 0, worst: 0.0, known: false };
            self.rows.push(row);
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.cases += 1;
        row.worst = row.worst.max(*worst);
        row.known |= known.is_some();
        self.cases += 1;
        let Some(failure) = failure else { return };
        row.failed += 1;
        if row.failed == 1 && known.is_none() {
            let row = self.rows.remove(at);
            self.rows.insert(0, row);
        }
        if known.is_none() {
            self.failed += 1;
            if self.failures.len() < MAX_FAILURES {
                self.failures.push(format!("{operation} {variant}, {label}, {:?}: {failure}", result.check).replace("  ", " "));
            }
        }
    }

    /// Sets the outcome.
    pub(super) fn end(&mut self, error: Option<String>) {
        self.ended = Some(error.map_or(Ok(()), Err));
    }

    /// The error that ended the check, if there is one.
    pub(super) fn problem(&self) -> Option<&str> {
        self.ended.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// A one-line summary.
    fn summary(&self) -> String {
        let Self { cases, failed, .. } = self;
        match &self.ended {
            None => format!("{cases} comparisons so far, {failed} failed"),
            Some(Ok(())) => format!("passed: {cases} comparisons"),
            Some(Err(error)) => format!("{error} ({} of {cases} comparisons passed)", cases - failed),
        }
    }

    /// Draws the results; returns the action on the report that the user chose.
    pub(super) fn ui(&self, ui: &mut Ui, number: usize) -> Option<ReportAction> {
        let mut wish = None;
        let Self { device, .. } = self;
        CollapsingHeader::new(format!("Conformance of {device}")).id_salt(number).default_open(true).show(ui, |ui| {
            let bad = self.failed > 0 || matches!(self.ended, Some(Err(_)));
            let colour = if bad { ui.visuals().error_fg_color } else { ui.visuals().text_color() };
            ui.colored_label(colour, self.summary());
            if self.report.is_some() {
                ui.horizontal_wrapped(|ui| {
                    if ui.button("Save report").on_hover_text(format!("Of {device}: as Markdown and as JSON, to keep or to attach to a driver bug")).clicked() {
                        wish = Some(ReportAction::Save);
                    }
                    if ui.button("Copy report").on_hover_text(format!("Of {device}: as Markdown")).clicked() {
                        wish = Some(ReportAction::Copy);
                    }
                });
            }
            if !self.failures.is_empty() {
                let more = self.failed - self.failures.len();
                ui.strong("Failures");
                self.failures.iter().for_each(|failure| drop(ui.colored_label(ui.visuals().error_fg_color, failure)));
                if more > 0 {
                    ui.label(format!("and {more} more"));
                }
            }
            self.models(ui);
            self.table(ui, number);
            self.unavailable(ui, number);
        });
        wish
    }

    fn models(&self, ui: &mut Ui) {
        for model in self.report.iter().flat_map(|report| &report.models) {
            match &model.failure {
                None => ui.label(format!("{}: passed: {}", model.what, model.outcome)),
                Some(failure) => ui.colored_label(ui.visuals().error_fg_color, format!("{}: failed: {failure} ({})", model.what, model.outcome)),
            };
        }
    }

    fn table(&self, ui: &mut Ui, number: usize) {
        if self.rows.is_empty() {
            return;
        }
        egui::ScrollArea::horizontal().id_salt(("table", number)).show(ui, |ui| {
            Grid::new(("rows", number)).num_columns(4).striped(true).spacing([24.0, 4.0]).show(ui, |ui| {
                for title in ["operation", "variant", "cases passed", "worst error, of the allowed"] {
                    ui.strong(title);
                }
                ui.end_row();
                for row in &self.rows {
                    let passed = format!("{} of {}{}", row.cases - row.failed, row.cases, if row.known { ", a known failure" } else { "" });
                    let colour = if row.failed > 0 && !row.known { ui.visuals().error_fg_color } else { ui.visuals().text_color() };
                    ui.colored_label(colour, &row.operation);
                    ui.label(if row.variant.is_empty() { "–" } else { &row.variant });
                    ui.colored_label(colour, passed);
                    ui.label(share(row.worst));
                    ui.end_row();
                }
            });
        });
    }

    fn unavailable(&self, ui: &mut Ui, at: usize) {
        let lacks = self.report.as_ref().map_or(&[][..], |report| &report.unavailable);
        if !lacks.is_empty() {
            CollapsingHeader::new("Variants this device cannot run").id_salt(("lacks", at)).show(ui, |ui| {
                lacks.iter().for_each(|lack| drop(ui.label(format!("{} {}: lacks {}", lack.operation, lack.variant, lack.why))));
            });
        }
    }
}

/// A fraction of the tolerance in percent; a dash if the error is not finite.
fn share(worst: f64) -> String {
    if worst < 1e6 { format!("{} %", number(100.0 * worst)) } else { "–".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(operation: &str, failure: Option<&str>, known: bool) -> CaseResult {
        let text = format!(
            r#"{{"operation":"{operation}","label":"3×4","check":"Forward","variant":"wide","checked":false,"known":{},"worst":0.25,"failure":{}}}"#,
            if known { "\"it is slow\"" } else { "null" },
            failure.map_or("null".into(), |failure| format!("\"{failure}\""))
        );
        serde_json::from_str(&text).expect("a result")
    }

    #[test]
    fn failures_come_first_and_known_ones_are_not_counted() {
        let mut checked = ConformanceResults::new("a device");
        for (operation, failure, known) in
            [("add", None, false), ("join", Some("odd"), true), ("rope", None, false), ("rope", Some("element 3 is wrong"), false)]
        {
            checked.add(&result(operation, failure, known));
        }
        let rows: Vec<(&str, usize, usize)> = checked.rows.iter().map(|row| (&*row.operation, row.cases, row.failed)).collect();
        assert_eq!(rows, [("rope", 2, 1), ("add", 1, 0), ("join", 1, 1)]);
        assert_eq!(checked.failures, ["rope wide, 3×4, Forward: element 3 is wrong"]);
        assert_eq!(checked.summary(), "4 comparisons so far, 1 failed");
        checked.end(Some("the conformance failed on a device".into()));
        assert_eq!(checked.summary(), "the conformance failed on a device (3 of 4 comparisons passed)");
        assert_eq!((share(0.25), share(f64::MAX)), ("25 %".into(), "–".into()));
    }
}
