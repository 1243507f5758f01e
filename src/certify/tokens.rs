//! Greedy decoding of the packed demo student: a device must choose the CPU device's tokens, up to
//! the first position where the best two logits are so close that rounding may decide.

use super::{Finding, go_on};
use crate::device::Gpu;
use crate::graph::Machine;
use crate::infer::Engine;
use crate::model::{ModelFile, Purpose};
use anyhow::{Context, Result};
use std::sync::Arc;

/// Tokens generated.
const TOKENS: usize = 64;
/// Below this margin of the best two logits two devices may differ.
const MARGIN: f32 = 1e-3;
/// What is continued. On the CPU device no margin of it is below [`MARGIN`].
const PROMPT: &str = "<|user|>hi, how are you?<|assistant|>";

/// A token chosen, and by how much its logit is above the next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chosen {
    token: u32,
    margin: f32,
}

pub(super) async fn check(gpu: &Arc<Gpu>, stop: &dyn Fn() -> bool) -> Result<Finding> {
    let expected = decode(Machine::cpu(), stop).await?;
    let got = decode(Machine::gpu(gpu.clone(), crate::ops::FUSIONS), stop).await?;
    Ok(compare(&expected, &got))
}

/// The tokens that follow the prompt; an end token does not end them.
async fn decode(mut machine: Machine, stop: &dyn Fn() -> bool) -> Result<Vec<Chosen>> {
    let student = ModelFile::embedded_student()?;
    let prompt = student.tokenizer.as_ref().context("the embedded student has no tokenizer")?.encode(PROMPT)?;
    let weights = student.load(&mut machine, Purpose::Inference(student.storage()))?;
    let mut engine = Engine::new(&mut machine, &weights, prompt.len() + TOKENS)?;
    let mut chosen = Vec::new();
    let mut feed = prompt;
    for _ in 0..TOKENS {
        go_on(stop)?;
        let best = best(&engine.feed(&mut machine, &feed).await?);
        feed = vec![best.token];
        chosen.push(best);
    }
    Ok(chosen)
}

fn best(logits: &[f32]) -> Chosen {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let logit = |token: u32| logits[token as usize];
    order.select_nth_unstable_by(1, |&a, &b| logit(b).total_cmp(&logit(a)));
    Chosen { token: order[0], margin: logit(order[0]) - logit(order[1]) }
}

fn compare(expected: &[Chosen], got: &[Chosen]) -> Finding {
    let sure = expected.iter().position(|chosen| chosen.margin < MARGIN).unwrap_or(expected.len());
    let least = expected.iter().map(|chosen| chosen.margin).fold(f32::INFINITY, f32::min);
    let differs = expected[..sure].iter().zip(got).position(|(expected, got)| expected.token != got.token);
    let outcome = format!("{} of {sure} tokens equal the CPU device's; the smallest margin is {least:.4}", differs.unwrap_or(sure));
    let failure = differs.map(|at| {
        let (want, got) = (expected[at], got[at]);
        format!("token {at} is {} by a margin of {}, and on the CPU device {} by {}", got.token, got.margin, want.token, want.margin)
    });
    Finding { outcome, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_leaves_nothing_to_rounding() {
        let chosen = pollster::block_on(decode(Machine::cpu(), &|| false)).expect("the embedded student decodes");
        assert!(chosen.len() == TOKENS && chosen.iter().all(|chosen| chosen.margin >= MARGIN), "{chosen:?}");
    }

    #[test]
    fn another_token_fails_unless_rounding_may_have_chosen_it() {
        let chosen = |tokens: [(u32, f32); 3]| tokens.map(|(token, margin)| Chosen { token, margin });
        let expected = chosen([(5, 1.0), (6, 0.5), (7, 2e-4)]);
        assert!(compare(&expected, &chosen([(5, 1.0), (6, 0.5), (9, 2e-4)])).failure.is_none());
        let finding = compare(&expected, &chosen([(5, 1.0), (8, 0.1), (7, 1.0)]));
        assert_eq!(finding.failure.as_deref(), Some("token 1 is 8 by a margin of 0.1, and on the CPU device 6 by 0.5"));
    }
}
