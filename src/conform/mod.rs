//! The conformance: every operation's cases on a device, against the oracle (the twin in f64, with
//! the error that f32 allows), and every gradient against differences of its forward. It is part of
//! the program, not of its tests: wrong results on one vendor's driver are common, and the device
//! that matters is the user's.

mod codes;
mod differences;
mod environment;
mod fill;
mod limits;
mod markdown;
mod report;
mod results;
mod trial;
mod verify;

pub use environment::{AdapterInfo, Environment};
pub use report::{KnownFailureReport, ModelCheck, Report, ReportRow, Unavailable};
pub use verify::{Verdict, verify};

use crate::device::{Checks, Gpu};
use crate::graph::{Calculus, Case, Data, GpuMachine, Machine, Storage, Traced, VariantSupport, Variants};
use crate::ops;
use fill::{Contents, Random};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trial::{CpuTrial, Trial, check_results};

/// Unit roundoff of f32.
const UNIT: f64 = 1.0 / 16_777_216.0;
/// Unit roundoff of f16.
const UNIT_F16: f64 = 1.0 / 2048.0;

/// Where the kernels, or twins, are tried.
#[derive(Clone, Debug)]
pub enum ConformTarget {
    /// The CPU device.
    Cpu,
    /// A GPU, opened as often as there are ways to try it: with wgpu's checks in the kernels, and without.
    Gpu(Vec<Arc<Gpu>>),
}

impl ConformTarget {
    /// An adapter, without wgpu's checks in the kernels and with them.
    pub async fn both_ways(adapter: &crate::device::Adapter) -> Result<Self, crate::device::DeviceError> {
        let [off, on] = [Checks::Off, Checks::On].map(|checks| Gpu::open(adapter, checks));
        Ok(ConformTarget::Gpu(vec![Arc::new(off.await?), Arc::new(on.await?)]))
    }

    /// The device's name.
    pub fn name(&self) -> String {
        match self {
            ConformTarget::Cpu => "CPU".into(),
            ConformTarget::Gpu(ways) => ways.first().map_or("no GPU", |gpu| gpu.name()).into(),
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Check {
    /// The device's forward with the oracle's.
    Forward,
    /// The device's gradients with the oracle's.
    Backward,
    /// The oracle's gradients with differences of its forward. No device takes part.
    Differences,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 3] = [Check::Forward, Check::Backward, Check::Differences];
}

/// What is run.
#[derive(Clone, Debug)]
pub struct ConformOptions {
    /// Seed of all operands.
    pub seed: u64,
    /// Only cases whose `operation: label` contains this.
    pub filter: Option<String>,
    /// Which comparisons.
    pub checks: Vec<Check>,
}

impl ConformOptions {
    /// Everything, from this seed.
    pub fn all(seed: u64) -> Self {
        Self { seed, filter: None, checks: Check::ALL.to_vec() }
    }

    /// Whether a case of this `operation: label` is run.
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter))
    }
}

/// What came of one comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// The operation's file.
    pub operation: String,
    /// The case.
    pub label: String,
    /// What was compared.
    pub check: Check,
    /// The variant that was preferred; empty where no GPU took part.
    pub variant: String,
    /// Whether wgpu's checks were in the kernels.
    pub checked: bool,
    /// Why it is expected to fail here, if it is.
    pub known: Option<String>,
    /// The largest error, as a share of what is allowed.
    pub worst: f64,
    /// What is wrong, if anything is.
    pub failure: Option<String>,
}

/// What a run tells meanwhile.
#[derive(Debug)]
pub enum ConformUpdate<'a> {
    /// What came of a comparison.
    Case(&'a CaseResult),
    /// How far it is: cases, counted once for each check, however many variants a GPU has for them.
    Done {
        /// Done.
        done: usize,
        /// In all.
        of: usize,
    },
}

/// A run on its way.
struct Session<'a> {
    report: Report,
    done: usize,
    of: usize,
    /// Whom it tells; it says whether to go on.
    tell: &'a mut dyn FnMut(ConformUpdate<'_>) -> bool,
}

impl Session<'_> {
    fn result(&mut self, result: &CaseResult) {
        self.report.add(result);
        (self.tell)(ConformUpdate::Case(result));
    }

    /// Tells how far it is; ends the run where it was asked to stop, or its device is gone.
    fn may_continue(&mut self, target: &ConformTarget) -> bool {
        let Self { report, done, of, tell } = self;
        if !tell(ConformUpdate::Done { done: *done, of: *of }) && done < of {
            report.cut = Some(format!("stopped after {done} of {of} cases"));
        }
        if let ConformTarget::Gpu(ways) = target
            && let Some(reason) = ways.iter().find_map(|gpu| gpu.lost())
        {
            report.cut = Some(format!("the GPU was lost after {done} of {of} cases: {reason}"));
        }
        report.cut.is_none()
    }
}

/// Runs every case that `options` asks for, once for each variant that the device can run; `tell` learns
/// of each as it ends, and says whether to go on: if not, the report has what was done so far.
pub async fn run(target: &ConformTarget, options: &ConformOptions, mut tell: impl FnMut(ConformUpdate<'_>) -> bool) -> Report {
    let long = match target {
        ConformTarget::Gpu(ways) if options.checks.contains(&Check::Forward) => limits::trials(ways, |name| options.wants(name)),
        _ => Vec::new(),
    };
    run_families(target, options, ops::ALL, &long, &mut tell).await
}

async fn run_families(
    target: &ConformTarget, options: &ConformOptions, families: &[ops::Family], long: &[limits::LongTrial], tell: &mut dyn FnMut(ConformUpdate<'_>) -> bool,
) -> Report {
    let mut report = Report::new(target.name(), Environment::of(target), options.seed);
    if let ConformTarget::Gpu(ways) = target {
        report.known = ways.first().map_or(Vec::new(), |gpu| gpu.known_failures().map(KnownFailureReport::of).collect());
    }
    let cases = families.iter().flat_map(|family| (family.cases)().into_iter().map(|case| (family.name, case)));
    let cases: Vec<(&str, Case)> = cases.filter(|(name, case)| options.wants(&format!("{name}: {}", case.label))).collect();
    let checks = |case: &Case| options.checks.iter().copied().filter(|&check| applies(case, check)).collect::<Vec<_>>();
    let of = cases.iter().map(|(_, case)| checks(case).len()).sum::<usize>() + long.len();
    let mut session = Session { report, done: 0, of, tell };
    for (name, case) in &cases {
        for check in checks(case) {
            if !session.may_continue(target) {
                return session.report;
            }
            let mut random = Random::new(options.seed, &[name, &case.label]);
            for tried in run_case(target, case, check, &mut random, &mut session.report).await {
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

/// The largest error as a share of the allowed; with what is wrong, if it is not just too large.
type Outcome = Result<f64, (f64, String)>;

/// A failure that no error measures.
fn broken(failure: impl std::fmt::Display) -> (f64, String) {
    (f64::MAX, failure.to_string())
}

/// A case in one variant, one way.
struct VariantOutcome {
    variant: String,
    checked: bool,
    known: Option<String>,
    outcome: Outcome,
}

impl VariantOutcome {
    /// Where there are no variants.
    fn alone(outcome: Outcome) -> Vec<Self> {
        vec![Self { variant: String::new(), checked: false, known: None, outcome }]
    }
}

async fn run_case(target: &ConformTarget, case: &Case, check: Check, random: &mut Random, report: &mut Report) -> Vec<VariantOutcome> {
    let contents = Contents::draw(case, random);
    let trial = match check {
        Check::Forward => Trial::forward(case, &contents).map_err(broken),
        Check::Backward => Trial::gradient(case, &contents, random).map_err(broken),
        Check::Differences => return VariantOutcome::alone(differences::check(case, &contents, random)),
    };
    let in_floats = match check {
        Check::Forward => Some(codes::in_floats(case, &contents)).map(|(case, contents)| Trial::forward(&case, &contents)).transpose().map_err(broken),
        _ => Ok(None),
    };
    let prepared = trial.and_then(|trial| Ok((oracle(in_floats?.as_ref().unwrap_or(&trial))?, trial)));
    let (expected, trial) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return VariantOutcome::alone(Err(failure)),
    };
    let ConformTarget::Gpu(ways) = target else {
        let got = trial.run_on(Machine::cpu()).await.map_err(broken);
        return VariantOutcome::alone(got.and_then(|got| check_results(&trial, &expected, &got, Storage::F32)));
    };
    let mut tried = Vec::new();
    for gpu in ways {
        let offers = GpuMachine::new(gpu.clone(), ops::FUSIONS).variant_support(&trial.tape);
        for (name, offers) in group_by_variant(offers, report) {
            let storage = if offers.iter().any(|offer| offer.storage == Storage::F16) { Storage::F16 } else { Storage::F32 };
            let known = offers.iter().find_map(|offer| offer.known).map(|known| known.reason.to_owned());
            let got = trial.run_on(machine_with_variant(gpu, name)).await.map_err(broken);
            let outcome = got.and_then(|got| check_results(&trial, &expected, &got, storage));
            tried.push(VariantOutcome { variant: name.into(), checked: gpu.checks() == Checks::On, known, outcome });
        }
    }
    tried
}

/// What the oracle has for every result of a trial.
fn oracle(trial: &Trial) -> Result<Vec<Data<Traced>>, (f64, String)> {
    let mut oracle = CpuTrial::<Traced>::new(trial).map_err(broken)?;
    oracle.run();
    Ok((0..trial.results.len()).map(|n| oracle.result(n)).collect())
}

/// The variants that some operation of a tape can run, in the order of their names' first places;
/// those it cannot are noted in the report.
fn group_by_variant(offers: Vec<VariantSupport>, report: &mut Report) -> Vec<(&'static str, Vec<VariantSupport>)> {
    let mut names: Vec<(&'static str, Vec<VariantSupport>)> = Vec::new();
    for offer in offers {
        if let Some(why) = &offer.obstacle {
            report.lack(offer.operation, offer.variant, why);
            continue;
        }
        match names.iter_mut().find(|(name, _)| *name == offer.variant) {
            Some((_, same)) => same.push(offer),
            None => names.push((offer.variant, vec![offer])),
        }
    }
    names
}

/// A machine that prefers a variant, and runs it even if it is known to fail.
fn machine_with_variant(gpu: &Arc<Gpu>, variant: &str) -> Machine {
    let mut machine = GpuMachine::new(gpu.clone(), ops::FUSIONS);
    machine.allow_known_failures();
    machine.set_variants(Variants::preferring(variant));
    Machine::Gpu(machine)
}

#[cfg(test)]
mod tests;
