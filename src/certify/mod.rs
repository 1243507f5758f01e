//! Conformance of whole models: one training step, and greedy and sampled tokens of the demo student, compared with the CPU
//! device. Together with the operations in `conform` they certify an adapter.

mod tokens;
mod train_step;

use crate::conform::{ConformTarget, ModelCheck};
use crate::infer::Sampling;

/// The number of model checks for a target: none on the CPU device, which is the reference.
pub fn count(target: &ConformTarget) -> usize {
    match target {
        ConformTarget::Gpu(gpus) if !gpus.is_empty() => 3,
        _ => 0,
    }
}

/// Runs the model checks on a GPU and calls `done` with the number of completed ones. When `stop` returns true, it ends
/// within a second and returns the completed checks.
pub async fn models(target: &ConformTarget, stop: &dyn Fn() -> bool, mut done: impl FnMut(usize)) -> Vec<ModelCheck> {
    let mut checks = Vec::new();
    let ConformTarget::Gpu(gpus) = target else { return checks };
    let Some(gpu) = gpus.first() else { return checks };
    for n in 0..count(target) {
        let (what, finding) = match n {
            0 => ("one training step of a small model", train_step::check(gpu, stop).await),
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

/// Returns an error if a stop was requested.
fn check_not_stopped(stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
    anyhow::ensure!(!stop(), "stopped");
    Ok(())
}

/// The result of a check, and the failure, if any.
struct Finding {
    outcome: String,
    failure: Option<String>,
}

fn model_check(what: &str, finding: anyhow::Result<Finding>) -> ModelCheck {
    let finding = finding.unwrap_or_else(|error| Finding { outcome: "it did not run".into(), failure: Some(format!("{error:#}")) });
    ModelCheck { what: what.into(), outcome: finding.outcome, failure: finding.failure }
}
