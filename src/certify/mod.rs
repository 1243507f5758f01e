//! Whole models on a device, held to the CPU device: one training step, and greedy decoding of the
//! demo student. With `conform`'s operations they make an adapter's certificate.

mod step;
mod tokens;

use crate::conform::{ModelCheck, Target};

/// Tries both on a GPU; there is nothing to try on the CPU device, which is what they are held to.
pub async fn models(target: &Target) -> Vec<ModelCheck> {
    let Target::Gpu(ways) = target else { return Vec::new() };
    let Some(gpu) = ways.first() else { return Vec::new() };
    vec![told("one training step of a small model", step::check(gpu).await), told("64 greedy tokens of the packed demo student", tokens::check(gpu).await)]
}

/// What a check found, in words, and what is wrong, if anything is.
struct Finding {
    outcome: String,
    failure: Option<String>,
}

fn told(what: &str, finding: anyhow::Result<Finding>) -> ModelCheck {
    let finding = finding.unwrap_or_else(|error| Finding { outcome: "it did not run".into(), failure: Some(format!("{error:#}")) });
    ModelCheck { what: what.into(), outcome: finding.outcome, failure: finding.failure }
}
