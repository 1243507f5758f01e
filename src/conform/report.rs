//! What a run of the conformance found, for people and for files.

use super::{CaseResult, Check};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Failures that are kept in words, for each row.
const TOLD: usize = 5;

/// The outcome on one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Format of this report.
    pub version: u32,
    /// The device.
    pub device: String,
    /// Seed of all operands; the same seed gives the same run.
    pub seed: u64,
    /// One for each operation and check.
    pub rows: Vec<Row>,
}

/// The cases of one operation under one check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The operation's file.
    pub operation: String,
    /// What was compared.
    pub check: Check,
    /// Cases run.
    pub cases: usize,
    /// Cases that failed.
    pub failed: usize,
    /// The largest error, as a share of what is allowed.
    pub worst: f64,
    /// The first failures.
    pub failures: Vec<String>,
}

impl Report {
    pub(super) fn new(device: String, seed: u64) -> Self {
        Self { version: 1, device, seed, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, result: &CaseResult) {
        let same = |row: &Row| row.operation == result.operation && row.check == result.check;
        let place = self.rows.iter().position(same).unwrap_or_else(|| {
            self.rows.push(Row::empty(result));
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        row.cases += 1;
        row.worst = row.worst.max(result.worst);
        if let Some(failure) = &result.failure {
            row.failed += 1;
            if row.failures.len() < TOLD {
                row.failures.push(format!("{}: {failure}", result.label));
            }
        }
    }

    /// Cases run.
    pub fn cases(&self) -> usize {
        self.rows.iter().map(|row| row.cases).sum()
    }

    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.rows.iter().map(|row| row.failed).sum()
    }

    /// Whether something was run and nothing failed.
    pub fn passed(&self) -> bool {
        self.cases() > 0 && self.failed() == 0
    }

    /// A table in Markdown, which also reads well as plain text; below it, what failed.
    pub fn table(&self) -> String {
        let mut out = format!("{} (seed {}): {} of {} comparisons passed\n\n", self.device, self.seed, self.cases() - self.failed(), self.cases());
        out.push_str(
            "| operation  | check       | cases | failed | worst error ÷ allowed |\n|------------|-------------|------:|-------:|----------------------:|\n",
        );
        for row in &self.rows {
            let check = format!("{:?}", row.check).to_lowercase();
            writeln!(out, "| {:10} | {check:11} | {:5} | {:6} | {:>21} |", row.operation, row.cases, row.failed, share(row.worst))
                .expect("written to a string");
        }
        for row in self.rows.iter().filter(|row| row.failed > 0) {
            for failure in &row.failures {
                write!(out, "\n{}, {:?}: {failure}", row.operation, row.check).expect("written to a string");
            }
        }
        out
    }
}

impl Row {
    fn empty(result: &CaseResult) -> Self {
        Self { operation: result.operation.clone(), check: result.check, cases: 0, failed: 0, worst: 0.0, failures: Vec::new() }
    }
}

/// A share of what is allowed; where there is no number for it, a dash.
fn share(worst: f64) -> String {
    if worst < 1e6 { format!("{worst:.3}") } else { "–".into() }
}
