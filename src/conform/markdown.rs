//! Formatting of a report as Markdown, readable as plain text.

use super::report::{KnownFailureReport, Report, ReportRow};
use std::fmt::Write;

/// Titles and widths of the table's columns; true for numbers.
const COLUMNS: [(&str, usize, bool); 7] = [
    ("operation", 10, false),
    ("variant", 10, false),
    ("check", 11, false),
    ("cases", 5, true),
    ("failed", 6, true),
    ("worst error ÷ allowed", 21, true),
    ("with wgpu's checks", 18, true),
];

impl Report {
    /// Formats the whole report: device, table and failures.
    pub fn markdown(&self) -> String {
        let mut out = format!("# Conformance of {}\n\n", self.device);
        self.write_about(&mut out).expect("written to a string");
        out.push_str("\n## Operations\n\n");
        out + &self.table()
    }

    fn write_about(&self, out: &mut String) -> std::fmt::Result {
        let environment = &self.environment;
        writeln!(out, "- Signet {}, wgpu {}, {}; seed {}", environment.signet, environment.wgpu, environment.system, self.seed)?;
        let Some(adapter) = &environment.adapter else {
            return writeln!(out, "- the CPU device: the operations' twins in f32");
        };
        writeln!(out, "- adapter: {}, {}, {}", adapter.name, adapter.backend, adapter.kind)?;
        writeln!(out, "- vendor {:#06x}, device {:#06x}; driver: {} {}", adapter.vendor, adapter.device, adapter.driver, adapter.driver_info)?;
        let [min, max] = adapter.subgroup_sizes;
        writeln!(out, "- features used: {}; subgroups of {min} to {max}", list(&adapter.features_used))?;
        let limits: Vec<String> = adapter.limits_used.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
        writeln!(out, "- limits: {}", list(&limits))
    }

    /// Formats the summary, the table, and lists of unavailable variants, known failures and failures.
    pub fn table(&self) -> String {
        let mut out = String::new();
        self.write_table(&mut out).expect("written to a string");
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let (cases, failed) = (self.cases(), self.failed());
        let known: usize = self.rows.iter().filter(|row| row.known.is_some()).map(|row| row.failed).sum();
        write!(out, "{} (seed {}): {} of {cases} comparisons passed", self.device, self.seed, cases - failed - known)?;
        writeln!(out, "{}\n", if known > 0 { format!(", {known} failed as known") } else { String::new() })?;
        if let Some(why) = &self.cut {
            writeln!(out, "The run is incomplete: {why}\n")?;
        }
        out.push('|');
        COLUMNS.iter().try_for_each(|(name, width, _)| write!(out, " {name:width$} |"))?;
        out.push_str("\n|");
        for (_, width, figures) in COLUMNS {
            write!(out, "{}{}|", "-".repeat(width + 1), if figures { ":" } else { "-" })?;
        }
        out.push('\n');
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", line(row)))?;
        let sections = [
            ("Whole models", self.model_lines()),
            (
                "Variants this device cannot run",
                self.unavailable.iter().map(|lack| format!("{} {}: lacks {}", lack.operation, lack.variant, lack.why)).collect(),
            ),
            ("Known failures", self.known.iter().map(known_failure_line).collect()),
            ("Failures", self.rows.iter().filter(|row| row.failed > 0).flat_map(failure_lines).collect()),
        ];
        for (title, items) in sections.into_iter().filter(|(_, items)| !items.is_empty()) {
            writeln!(out, "\n{title}:\n")?;
            items.iter().try_for_each(|item| writeln!(out, "- {item}"))?;
        }
        Ok(())
    }

    fn model_lines(&self) -> Vec<String> {
        let line = |model: &super::ModelCheck| match &model.failure {
            Some(failure) => format!("{}: FAILED: {failure} ({})", model.what, model.outcome),
            None => format!("{}: passed: {}", model.what, model.outcome),
        };
        self.models.iter().map(line).collect()
    }
}

fn line(row: &ReportRow) -> String {
    let check = format!("{:?}", row.check).to_lowercase();
    let variant = if row.variant.is_empty() { "–" } else { &row.variant };
    let cells = [row.operation.clone(), variant.into(), check, row.cases.to_string(), row.failed.to_string(), share(row.worst), share(row.worst_checked)];
    let cell = |(cell, (_, width, figures)): (&String, (&str, usize, bool))| if figures { format!(" {cell:>width$} |") } else { format!(" {cell:width$} |") };
    let cells: String = cells.iter().zip(COLUMNS).map(cell).collect();
    format!("|{cells}{}", if row.known.is_some() { " known failure" } else { "" })
}

fn known_failure_line(known: &KnownFailureReport) -> String {
    let KnownFailureReport { reason, link, cases, failed, .. } = known;
    let so_far = format!("{reason} ({link}): {failed} of {cases} comparisons failed");
    if known.stale() { format!("{so_far}. This entry is outdated: remove it from src/device/known_failures.rs") } else { so_far }
}

fn failure_lines(row: &ReportRow) -> impl Iterator<Item = String> {
    row.failures.iter().map(|failure| format!("{} {}, {:?}: {failure}", row.operation, row.variant, row.check).replace("  ", " "))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

/// Formats an error relative to its bound; a dash if there is no number.
fn share(worst: Option<f64>) -> String {
    match worst {
        Some(worst) if worst < 1e6 => format!("{worst:.3}"),
        _ => "–".into(),
    }
}
