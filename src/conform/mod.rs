//! The conformance: every operation's cases on a device, against the oracle (the twin in f64, with
//! the error that f32 allows), and every gradient against differences of its forward. It is part of
//! the program, not of its tests: wrong results on one vendor's driver are common, and the device
//! that matters is the user's.

mod codes;
mod differences;
mod fill;
mod report;
mod trial;
mod verify;

pub use report::{Report, Row};
pub use verify::{Verdict, verify};

use crate::device::Gpu;
use crate::graph::{Calculus, Case, Machine, Traced};
use crate::ops;
use fill::{Contents, Random};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trial::{Bench, Trial, judge};

/// Unit roundoff of f32.
const UNIT: f64 = 1.0 / 16_777_216.0;
/// Unit roundoff of f16.
const UNIT_F16: f64 = 1.0 / 2048.0;

/// Where the kernels, or twins, are tried.
#[derive(Clone, Debug)]
pub enum Target {
    /// The CPU device.
    Cpu,
    /// A GPU.
    Gpu(Arc<Gpu>),
}

impl Target {
    /// The device's name.
    pub fn name(&self) -> String {
        match self {
            Target::Cpu => "CPU".into(),
            Target::Gpu(gpu) => gpu.name().into(),
        }
    }

    fn machine(&self) -> Machine {
        match self {
            Target::Cpu => Machine::cpu(),
            Target::Gpu(gpu) => Machine::gpu(gpu.clone(), ops::FUSIONS),
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
pub struct Options {
    /// Seed of all operands.
    pub seed: u64,
    /// Only cases whose `operation: label` contains this.
    pub filter: Option<String>,
    /// Which comparisons.
    pub checks: Vec<Check>,
}

impl Options {
    /// Everything, from this seed.
    pub fn all(seed: u64) -> Self {
        Self { seed, filter: None, checks: Check::ALL.to_vec() }
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
    /// The largest error, as a share of what is allowed.
    pub worst: f64,
    /// What is wrong, if anything is.
    pub failure: Option<String>,
}

/// Runs every case that `options` asks for; `on_result` learns of each as it ends.
pub async fn run(target: &Target, options: &Options, mut on_result: impl FnMut(&CaseResult)) -> Report {
    let mut report = Report::new(target.name(), options.seed);
    for family in ops::ALL {
        for case in (family.cases)() {
            let wanted = options.filter.as_ref().is_none_or(|filter| format!("{}: {}", family.name, case.label).contains(filter));
            for &check in options.checks.iter().filter(|&&check| wanted && applies(&case, check)) {
                let mut random = Random::new(options.seed, &[family.name, &case.label]);
                let outcome = run_case(target, &case, check, &mut random).await;
                let (worst, failure) = outcome.map_or_else(|(worst, failure)| (worst, Some(failure)), |worst| (worst, None));
                let result = CaseResult { operation: family.name.into(), label: case.label.clone(), check, worst: worst.min(f64::MAX), failure };
                on_result(&result);
                report.add(&result);
            }
        }
    }
    report
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

async fn run_case(target: &Target, case: &Case, check: Check, random: &mut Random) -> Outcome {
    let contents = Contents::draw(case, random);
    let trial = match check {
        Check::Forward => Trial::forward(case, &contents).map_err(broken)?,
        Check::Backward => Trial::gradient(case, &contents, random).map_err(broken)?,
        Check::Differences => return differences::check(case, &contents, random),
    };
    let in_floats = match check {
        Check::Forward => Some(codes::in_floats(case, &contents)).map(|(case, contents)| Trial::forward(&case, &contents)).transpose().map_err(broken)?,
        _ => None,
    };
    let mut oracle = Bench::<Traced>::new(in_floats.as_ref().unwrap_or(&trial)).map_err(broken)?;
    oracle.run();
    let expected: Vec<_> = (0..trial.results.len()).map(|n| oracle.result(n)).collect();
    let got = trial.run_on(target.machine()).await.map_err(broken)?;
    judge(&trial, &expected, &got)
}

#[cfg(test)]
mod tests;
