//! The report of a conformance run, as data.

use super::{CaseResult, Check, Environment};
use crate::device::KnownFailure;
use serde::{Deserialize, Serialize};

/// Maximum failures described in a row.
const MAX_FAILURES: usize = 5;

/// The conformance report of a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Format version.
    pub version: u32,
    /// The device.
    pub device: String,
    /// The device and the program, in detail.
    #[serde(rename = "about")]
    pub environment: Environment,
    /// Seed of all operands; the same seed gives the same report.
    pub seed: u64,
    /// One row for each operation, variant and check.
    pub rows: Vec<ReportRow>,
    /// Variants that this device cannot run.
    pub unavailable: Vec<Unavailable>,
    /// Known failures of this device.
    pub known: Vec<KnownFailureReport>,
    /// Results of whole models, if they were run.
    pub models: Vec<ModelCheck>,
    /// The reason why the run is incomplete, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// Summary of the cases of an operation, variant and check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRow {
    /// The operation's file.
    pub operation: String,
    /// The preferred variant; empty without a GPU.
    pub variant: String,
    /// The kind of comparison.
    pub check: Check,
    /// Cases run; those with and without wgpu's checks count separately.
    pub cases: usize,
    /// Failed cases.
    pub failed: usize,
    /// The largest error relative to the bound, without wgpu's checks in the kernels.
    pub worst: Option<f64>,
    /// The same with wgpu's checks.
    pub worst_checked: Option<f64>,
    /// Descriptions of the first failures.
    pub failures: Vec<String>,
    /// The reason of a known failure, if any.
    pub known: Option<String>,
}

/// A variant that a device cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The operation's file.
    pub operation: String,
    /// The variant.
    pub variant: String,
    /// The requirement that the device does not meet.
    pub why: String,
}

/// An entry of the table of known failures, with the results of its kernels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownFailureReport {
    /// The failure.
    pub reason: String,
    /// The bug report.
    pub link: String,
    /// True if it fails only sometimes.
    pub sometimes: bool,
    /// Cases that ran its kernels.
    pub cases: usize,
    /// Failed cases.
    pub failed: usize,
}

impl KnownFailureReport {
    pub(super) fn of(known: &KnownFailure) -> Self {
        Self { reason: known.reason.into(), link: known.link.into(), sometimes: known.sometimes, cases: 0, failed: 0 }
    }

    /// Returns true if the entry is outdated: its kernels pass.
    pub fn stale(&self) -> bool {
        self.cases > 0 && self.failed == 0 && !self.sometimes
    }
}

/// The comparison of a whole model on the device with the CPU device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCheck {
    /// Description of the test.
    pub what: String,
    /// The result with numbers.
    pub outcome: String,
    /// The failure, if any.
    pub failure: Option<String>,
}

impl Report {
    pub(super) fn new(device: String, environment: Environment, seed: u64) -> Self {
        Self { version: 2, device, environment, seed, rows: Vec::new(), unavailable: Vec::new(), known: Vec::new(), models: Vec::new(), cut: None }
    }

    pub(super) fn add(&mut self, result: &CaseResult) {
        let same = |row: &ReportRow| row.operation == result.operation && row.check == result.check && row.variant == result.variant;
        let index = self.rows.iter().position(same).unwrap_or_else(|| {
            self.rows.push(ReportRow::empty(result));
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        let worst = if result.checked { &mut row.worst_checked } else { &mut row.worst };
        *worst = Some(worst.unwrap_or(0.0).max(result.worst));
        row.cases += 1;
        row.known = row.known.take().or_else(|| result.known.clone());
        if let Some(failure) = &result.failure {
            row.failed += 1;
            if row.failures.len() < MAX_FAILURES {
                let checked = if result.checked { ", with wgpu's checks" } else { "" };
                row.failures.push(format!("{}{checked}: {failure}", result.label));
            }
        }
        if let Some(reason) = &result.known
            && let Some(entry) = self.known.iter_mut().find(|entry| entry.reason == *reason)
        {
            entry.cases += 1;
            entry.failed += usize::from(result.failure.is_some());
        }
    }

    /// Adds a variant that the device cannot run.
    pub(super) fn add_unavailable(&mut self, operation: &str, variant: &str, why: &str) {
        let lack = Unavailable { operation: operation.into(), variant: variant.into(), why: why.into() };
        if !self.unavailable.contains(&lack) {
            self.unavailable.push(lack);
        }
    }

    /// The number of cases run.
    pub fn cases(&self) -> usize {
        self.rows.iter().map(|row| row.cases).sum()
    }

    /// The number of failed cases, without known failures.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.known.is_none()).map(|row| row.failed).sum()
    }

    /// Returns true if the run is complete, has only known failures, and no known failure is outdated.
    pub fn passed(&self) -> bool {
        let models = self.models.iter().all(|model| model.failure.is_none());
        self.cut.is_none() && self.cases() > 0 && self.failed() == 0 && models && !self.known.iter().any(KnownFailureReport::stale)
    }
}

impl ReportRow {
    fn empty(result: &CaseResult) -> Self {
        Self {
            operation: result.operation.clone(),
            variant: result.variant.clone(),
            check: result.check,
            cases: 0,
            failed: 0,
            worst: None,
            worst_checked: None,
            failures: Vec::new(),
            known: None,
        }
    }
}
