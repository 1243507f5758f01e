//! What a run of the conformance found, as data.

use super::{CaseResult, Check, Environment};
use crate::device::KnownFailure;
use serde::{Deserialize, Serialize};

/// Failures that are kept in words, for each row.
const MAX_FAILURES: usize = 5;

/// The outcome on one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Format of this report.
    pub version: u32,
    /// The device.
    pub device: String,
    /// The device and the program, in detail.
    pub about: Environment,
    /// Seed of all operands; the same seed gives the same report.
    pub seed: u64,
    /// One for each operation, variant and check.
    pub rows: Vec<ReportRow>,
    /// Variants that this device cannot run.
    pub unavailable: Vec<Unavailable>,
    /// Entries of the table of known failures that are about this device.
    pub known: Vec<KnownFailureReport>,
    /// Whole models, if they were tried.
    pub models: Vec<ModelCheck>,
    /// Why it ended before its end, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// The cases of one operation in one variant under one check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRow {
    /// The operation's file.
    pub operation: String,
    /// The variant that was preferred; empty where no GPU took part.
    pub variant: String,
    /// What was compared.
    pub check: Check,
    /// Cases run, with wgpu's checks and without counted apart.
    pub cases: usize,
    /// Cases that failed.
    pub failed: usize,
    /// The largest error without wgpu's checks in the kernels, as a share of what is allowed.
    pub worst: Option<f64>,
    /// The largest error with them.
    pub worst_checked: Option<f64>,
    /// The first failures.
    pub failures: Vec<String>,
    /// Why it is expected to fail here, if it is: the reason of a known failure.
    pub known: Option<String>,
}

/// A variant that a device cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The operation's file.
    pub operation: String,
    /// The variant.
    pub variant: String,
    /// What the device lacks.
    pub why: String,
}

/// An entry of the table of known failures, and what came of its kernels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownFailureReport {
    /// What is wrong.
    pub reason: String,
    /// Where that is documented.
    pub link: String,
    /// Whether it fails only now and then.
    pub sometimes: bool,
    /// Cases in which its kernels ran.
    pub cases: usize,
    /// Cases that failed.
    pub failed: usize,
}

impl KnownFailureReport {
    pub(super) fn of(known: &KnownFailure) -> Self {
        Self { reason: known.reason.into(), link: known.link.into(), sometimes: known.sometimes, cases: 0, failed: 0 }
    }

    /// Whether the entry is no longer true.
    pub fn stale(&self) -> bool {
        self.cases > 0 && self.failed == 0 && !self.sometimes
    }
}

/// A whole model on the device and on the CPU device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCheck {
    /// What was done.
    pub what: String,
    /// What came of it, in words and figures.
    pub outcome: String,
    /// What is wrong, if anything is.
    pub failure: Option<String>,
}

impl Report {
    pub(super) fn new(device: String, about: Environment, seed: u64) -> Self {
        Self { version: 2, device, about, seed, rows: Vec::new(), unavailable: Vec::new(), known: Vec::new(), models: Vec::new(), cut: None }
    }

    pub(super) fn add(&mut self, result: &CaseResult) {
        let same = |row: &ReportRow| row.operation == result.operation && row.check == result.check && row.variant == result.variant;
        let place = self.rows.iter().position(same).unwrap_or_else(|| {
            self.rows.push(ReportRow::empty(result));
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
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

    /// Notes a variant that cannot be run.
    pub(super) fn lack(&mut self, operation: &str, variant: &str, why: &str) {
        let lack = Unavailable { operation: operation.into(), variant: variant.into(), why: why.into() };
        if !self.unavailable.contains(&lack) {
            self.unavailable.push(lack);
        }
    }

    /// Cases run.
    pub fn cases(&self) -> usize {
        self.rows.iter().map(|row| row.cases).sum()
    }

    /// Cases that failed, known failures left out.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.known.is_none()).map(|row| row.failed).sum()
    }

    /// Whether all of it was run, nothing failed that is not known to, and every known failure still is one.
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
