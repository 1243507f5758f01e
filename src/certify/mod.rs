//! Whole models on a device, held to the CPU device: one training step, and tokens of the demo student,
//! greedy and drawn. With `conform`'s operations they make an adapter's certificate.

mod step;
mod tokens;

use crate::conform::{ConformTarget, ModelCheck};
use crate::infer::Sampling;

/// How many models are tried on a target: none on the CPU device, which is what they are held to.
pub fn count(target: &ConformTarget) -> usize {
    match target {
        ConformTarget::Gpu(ways) if !ways.is_empty() => 3,
        _ => 0,
    }
}

/// Tries them on a GPU, telling `done` how many were. Once `stop` says so it ends within a second; a
/// model that was not done is not in the result.
pub async fn models(target: &ConformTarget, stop: &dyn Fn() -> bool, mut done: impl FnMut(usize)) -> Vec<ModelCheck> {
    let mut checks = Vec::new();
    let ConformTarget::Gpu(ways) = target else { return checks };
    let Some(gpu) = ways.first() else { return checks };
    for n in 0..count(target) {
        let (what, finding) = match n {
            0 => ("one training step of a small model", step::check(gpu, stop).await),
            1 => ("64 greedy tokens of the packed demo student", tokens::check(gpu, Sampling::GREEDY, stop).await),
            _ => ("64 drawn tokens of the packed demo student", tokens::check(gpu, tokens::DRAWN, stop).await),
        };
        if stop() {
            break;
        }
        checks.push(model_check(what, finding));
        done(n + 1);
    }
    checks
}

/// An error where a check was asked to stop; its finding is of no use then.
fn check_not_stopped(stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
    anyhow::ensure!(!stop(), "stopped");
    Ok(())
}

/// What a check found, in words, and what is wrong, if anything is.
struct Finding {
    outcome: String,
    failure: Option<String>,
}

fn model_check(what: &str, finding: anyhow::Result<Finding>) -> ModelCheck {
    let finding = finding.unwrap_or_else(|error| Finding { outcome: "it did not run".into(), failure: Some(format!("{error:#}")) });
    ModelCheck { what: what.into(), outcome: finding.outcome, failure: finding.failure }
}
