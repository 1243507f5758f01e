//! Conformance testing: compares every operation on a device with the oracle (the CPU twin in f64, with error bounds for
//! f32), and every gradient with finite differences. It is part of the program and not only of its tests, since wrong
//! results on some drivers are common, and the device that matters is the user's.

mod codes;
mod differences;
mod environment;
mod expected;
mod fill;
mod limits;
mod markdown;
mod report;
mod trial;
mod variant_check;

pub use environment::{AdapterInfo, Environment};
pub use report::{KnownFailureReport, ModelCheck, Report, ReportRow, Unavailable};
pub use variant_check::{VariantVerdict, verify};

use crate::device::{Checks, Gpu};
use crate::graph::{Calculus, Case, Data, GpuMachine, Machine, Storage, Traced, VariantSupport, Variants};
use crate::ops;
use fill::{OperandContents, Random};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trial::{CpuTrial, Trial, check_results};

/// Unit roundoff of f32.
const UNIT: f64 = 1.0 / 16_777_216.0;
/// Unit roundoff of f16.
const UNIT_F16: f64 = 1.0 / 2048.0;

/// The device under test.
#[derive(Clone, Debug)]
pub enum ConformTarget {
    /// The CPU device.
    Cpu,
    /// A GPU, opened without and with wgpu's checks in the kernels.
    Gpu(Vec<Arc<Gpu>>),
}

impl ConformTarget {
    /// Opens an adapter without and with wgpu's checks in the kernels.
    pub async fn both_ways(adapter: &crate::device::Adapter) -> Result<Self, crate::device::DeviceError> {
        let [off, on] = [Checks::Off, Checks::On].map(|checks| Gpu::open(adapter, checks));
        Ok(ConformTarget::Gpu(vec![Arc::new(off.await?), Arc::new(on.await?)]))
    }

    /// The device's name.
    pub fn name(&self) -> String {
        match self {
            ConformTarget::Cpu => "CPU".into(),
            ConformTarget::Gpu(gpus) => gpus.first().map_or("no GPU", |gpu| gpu.name()).into(),
        }
    }
}

/// A kind of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Check {
    /// The device's forward pass with the oracle's.
    Forward,
    /// The device's gradients with the oracle's.
    Backward,
    /// The oracle's gradients with finite differences of its forward pass; independent of the device.
    Differences,
}

impl Check {
    /// All kinds.
    pub const ALL: [Check; 3] = [Check::Forward, Check::Backward, Check::Differences];
}

/// Options of a conformance run.
#[derive(Clone, Debug)]
pub struct ConformOptions {
    /// Seed of all operands.
    pub seed: u64,
    /// Run only cases whose `operation: label` contains this text.
    pub filter: Option<String>,
    /// Run only variants whose name contains this text.
    pub variant: Option<String>,
    /// The comparisons to run.
    pub checks: Vec<Check>,
}

impl ConformOptions {
    /// All checks of all cases, with this seed.
    pub fn all(seed: u64) -> Self {
        Self { seed, filter: None, variant: None, checks: Check::ALL.to_vec() }
    }

    /// Returns true if the filter matches a case with this `operation: label`.
    fn includes(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter))
    }

    /// Returns true if the filter matches this variant.
    fn includes_variant(&self, name: &str) -> bool {
        self.variant.as_ref().is_none_or(|filter| name.contains(filter))
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// The operation's file.
    pub operation: String,
    /// The case.
    pub label: String,
    /// The kind of comparison.
    pub check: Check,
    /// The preferred variant; empty without a GPU.
    pub variant: String,
    /// True with wgpu's checks in the kernels.
    pub checked: bool,
    /// The reason of a known failure, if any.
    pub known: Option<String>,
    /// The largest error relative to the bound.
    pub worst: f64,
    /// The failure, if any.
    pub failure: Option<String>,
}

/// A progress update of a run.
#[derive(Debug)]
pub enum ConformUpdate<'a> {
    /// The result of a comparison.
    Case(&'a CaseResult),
    /// Progress in cases, counted once for each check, independent of the number of variants.
    Done {
        /// Completed cases.
        done: usize,
        /// Total cases.
        of: usize,
    },
}

/// A run in progress.
struct ConformRun<'a> {
    options: &'a ConformOptions,
    report: Report,
    done: usize,
    of: usize,
    /// Receives updates; returns false to stop.
    tell: &'a mut dyn FnMut(ConformUpdate<'_>) -> bool,
}

impl ConformRun<'_> {
    fn result(&mut self, result: &CaseResult) {
        self.report.add(result);
        (self.tell)(ConformUpdate::Case(result));
    }

    /// Reports progress. Returns false, and notes it in the report, if a stop was requested or the device is lost.
    fn may_continue(&mut self, target: &ConformTarget) -> bool {
        let Self { report, done, of, tell, .. } = self;
        if !tell(ConformUpdate::Done { done: *done, of: *of }) && done < of {
            report.cut = Some(format!("stopped after {done} of {of} cases"));
        }
        if let ConformTarget::Gpu(gpus) = target
            && let Some(reason) = gpus.iter().find_map(|gpu| gpu.lost())
        {
            report.cut = Some(format!("the GPU was lost after {done} of {of} cases: {reason}"));
        }
        report.cut.is_none()
    }
}

/// Runs every selected case in every variant that the device supports. `tell` receives updates and returns false to stop;
/// the report then has the results so far.
pub async fn run(target: &ConformTarget, options: &ConformOptions, mut tell: impl FnMut(ConformUpdate<'_>) -> bool) -> Report {
    let long = match target {
        ConformTarget::Gpu(gpus) if options.checks.contains(&Check::Forward) => limits::trials(gpus, |name| options.includes(name)),
        _ => Vec::new(),
    };
    run_families(target, options, ops::ALL, &long, &mut tell).await
}

async fn run_families(
    target: &ConformTarget, options: &ConformOptions, families: &[ops::Family], long: &[limits::LongTrial], tell: &mut dyn FnMut(ConformUpdate<'_>) -> bool,
) -> Report {
    let mut report = Report::new(target.name(), Environment::of(target), options.seed);
    if let ConformTarget::Gpu(gpus) = target {
        report.known = gpus.first().map_or(Vec::new(), |gpu| gpu.known_failures().map(KnownFailureReport::of).collect());
    }
    let cases = families.iter().flat_map(|family| (family.cases)().into_iter().map(|case| (family.name, case)));
    let cases: Vec<(&str, Case)> = cases.filter(|(name, case)| options.includes(&format!("{name}: {}", case.label))).collect();
    let checks = |case: &Case| options.checks.iter().copied().filter(|&check| applies(case, check)).collect::<Vec<_>>();
    let of = cases.iter().map(|(_, case)| checks(case).len()).sum::<usize>() + long.len();
    let mut session = ConformRun { options, report, done: 0, of, tell };
    for (name, case) in &cases {
        for check in checks(case) {
            if !session.may_continue(target) {
                return session.report;
            }
            let mut random = Random::new(options.seed, &[name, &case.label]);
            for tried in run_case(target, case, check, options, &mut random, &mut session.report).await {
                let VariantOutcome { variant, checked, known, outcome } = tried;
                let (worst, failure) = outcome.map_or_else(|(worst, failure)| (worst, Some(failure)), |worst| (worst, None));
                let (operation, label, worst) = (name.to_string(), case.label.clone(), worst.min(f64::MAX));
                session.result(&CaseResult { operation, label, check, variant, checked, known, worst, failure });
            }
            session.done += 1;
        }
    }
    for trial in long {
        if !session.may_continue(target) {
            return session.report;
        }
        trial.run(&mut session).await;
        session.done += 1;
    }
    session.may_continue(target);
    session.report
}

fn applies(case: &Case, check: Check) -> bool {
    match check {
        Check::Forward => true,
        Check::Backward => case.has_gradient(),
        Check::Differences => case.has_gradient() || matches!(case.calculus, Calculus::InPlace(_)),
    }
}

/// The largest error relative to the bound; with a description if it is a failure.
type CheckResult = Result<f64, (f64, String)>;

/// A failure without a numeric error.
fn hard_failure(failure: impl std::fmt::Display) -> (f64, String) {
    (f64::MAX, failure.to_string())
}

/// The result of a case in one variant.
struct VariantOutcome {
    variant: String,
    checked: bool,
    known: Option<String>,
    outcome: CheckResult,
}

impl VariantOutcome {
    /// A single result, if there are no variants.
    fn without_variants(outcome: CheckResult) -> Vec<Self> {
        vec![Self { variant: String::new(), checked: false, known: None, outcome }]
    }
}

async fn run_case(
    target: &ConformTarget, case: &Case, check: Check, options: &ConformOptions, random: &mut Random, report: &mut Report,
) -> Vec<VariantOutcome> {
    let contents = OperandContents::draw(case, random);
    let trial = match check {
        Check::Forward => Trial::forward(case, &contents).map_err(hard_failure),
        Check::Backward => Trial::gradient(case, &contents, random).map_err(hard_failure),
        Check::Differences => return VariantOutcome::without_variants(differences::check(case, &contents, random)),
    };
    let in_floats = match check {
        Check::Forward => Some(codes::in_floats(case, &contents)).map(|(case, contents)| Trial::forward(&case, &contents)).transpose().map_err(hard_failure),
        _ => Ok(None),
    };
    let prepared = trial.and_then(|trial| Ok((oracle(in_floats?.as_ref().unwrap_or(&trial))?, trial)));
    let (expected, trial) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return VariantOutcome::without_variants(Err(failure)),
    };
    let ConformTarget::Gpu(gpus) = target else {
        let got = trial.run_on(Machine::cpu()).await.map_err(hard_failure);
        return VariantOutcome::without_variants(got.and_then(|got| check_results(&trial, &expected, &got, Storage::F32)));
    };
    let mut tried = Vec::new();
    for gpu in gpus {
        let offers = GpuMachine::new(gpu.clone(), ops::FUSIONS).variant_support(&trial.tape);
        for (name, offers) in group_by_variant(offers, options, report) {
            let storage = if offers.iter().any(|offer| offer.storage == Storage::F16) { Storage::F16 } else { Storage::F32 };
            let known = offers.iter().find_map(|offer| offer.known).map(|known| known.reason.to_owned());
            let got = trial.run_on(machine_with_variant(gpu, name)).await.map_err(hard_failure);
            let outcome = got.and_then(|got| check_results(&trial, &expected, &got, storage));
            tried.push(VariantOutcome { variant: name.into(), checked: gpu.checks() == Checks::On, known, outcome });
        }
    }
    tried
}

/// Computes the oracle's value of every result of a trial.
fn oracle(trial: &Trial) -> Result<Vec<Data<Traced>>, (f64, String)> {
    let mut oracle = CpuTrial::<Traced>::new(trial).map_err(hard_failure)?;
    oracle.run();
    Ok((0..trial.results.len()).map(|n| oracle.result(n)).collect())
}

/// Groups the selected offers by variant, in order of first occurrence. Variants that the device cannot run are noted in the
/// report.
fn group_by_variant(offers: Vec<VariantSupport>, options: &ConformOptions, report: &mut Report) -> Vec<(&'static str, Vec<VariantSupport>)> {
    let mut names: Vec<(&'static str, Vec<VariantSupport>)> = Vec::new();
    for offer in offers.into_iter().filter(|offer| options.includes_variant(offer.variant)) {
        if let Some(why) = &offer.missing_requirement {
            report.add_unavailable(offer.operation, offer.variant, why);
            continue;
        }
        match names.iter_mut().find(|(name, _)| *name == offer.variant) {
            Some((_, same)) => same.push(offer),
            None => names.push((offer.variant, vec![offer])),
        }
    }
    names
}

/// Makes a machine that prefers a variant, even with a known failure.
fn machine_with_variant(gpu: &Arc<Gpu>, variant: &str) -> Machine {
    let mut machine = GpuMachine::new(gpu.clone(), ops::FUSIONS);
    machine.allow_known_failures();
    machine.set_variants(Variants::preferring(variant));
    Machine::Gpu(machine)
}

#[cfg(test)]
mod tests;
