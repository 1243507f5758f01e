//! Comparison of generated tokens of the packed demo student: a device must sample the same tokens as the CPU device, up to
//! the first position where the two best candidates, including noise, are so close that rounding may decide. The device
//! samples with several tokens in flight, as in a chat.

use super::{Finding, check_not_stopped};
use crate::device::Gpu;
use crate::graph::Machine;
use crate::infer::{DecodeQueue, Engine, Sampler, Sampling};
use crate::model::{ModelFile, Purpose};
use crate::ops::SampledToken;
use anyhow::{Context, Result};
use std::sync::Arc;

/// Tokens to generate.
const TOKENS: usize = 64;
/// Minimum margin between the two best candidates at which devices must agree.
const MARGIN: f64 = 1e-3;
/// The prompt. On the CPU device no margin is below [`MARGIN`], with greedy decoding or [`DRAWN`].
const PROMPT: &str = "<|user|>hi, how are you?<|assistant|>";
/// Sampling settings in which every setting has an effect.
pub(super) const DRAWN: Sampling = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.01, repetition_penalty: 1.1, seed: 5 };

/// The demo student on a machine.
struct Student {
    machine: Machine,
    engine: Engine,
    prompt: Vec<u32>,
    sampler: Sampler,
}

impl Student {
    fn new(mut machine: Machine, sampling: Sampling) -> Result<Self> {
        let student = ModelFile::embedded_student()?;
        let tokenizer = student.tokenizer.as_ref().context("the embedded student has no tokenizer")?;
        let prompt = tokenizer.encode(PROMPT)?;
        let weights = student.load(&mut machine, Purpose::Inference(student.storage()))?;
        let engine = Engine::new(&mut machine, &weights, prompt.len() + TOKENS)?;
        Ok(Self { machine, engine, prompt, sampler: Sampler::new(sampling, tokenizer.vocabulary()) })
    }

    /// Samples tokens on the host from logits; end tokens do not end the text.
    async fn sample_on_host(mut self, stop: &dyn Fn() -> bool) -> Result<Vec<SampledToken>> {
        let mut text = self.prompt.clone();
        let mut chosen = Vec::new();
        for _ in 0..TOKENS {
            check_not_stopped(stop)?;
            let logits = self.engine.feed(&mut self.machine, &text[self.engine.position()..]).await?;
            let drawn = self.sampler.draw(text.len()).of(&logits, &Sampler::recent(&text));
            text.push(drawn.token);
            chosen.push(drawn);
        }
        Ok(chosen)
    }

    /// Samples tokens on the machine.
    async fn sample_on_device(mut self, stop: &dyn Fn() -> bool) -> Result<Vec<u32>> {
        self.engine.set_sampler(&mut self.machine, self.sampler, &self.prompt)?;
        let mut queue = DecodeQueue::new(&mut self.engine, &mut self.machine, &self.prompt, TOKENS)?;
        let mut tokens = Vec::new();
        while let Some(token) = queue.next(&mut self.engine, &mut self.machine).await? {
            check_not_stopped(stop)?;
            tokens.push(token);
        }
        Ok(tokens)
    }
}

pub(super) async fn check(gpu: &Arc<Gpu>, sampling: Sampling, stop: &dyn Fn() -> bool) -> Result<Finding> {
    let expected = Student::new(Machine::cpu(), sampling)?.sample_on_host(stop).await?;
    let got = Student::new(Machine::gpu(gpu.clone(), crate::ops::FUSIONS), sampling)?.sample_on_device(stop).await?;
    Ok(compare(&expected, &got))
}

fn compare(expected: &[SampledToken], got: &[u32]) -> Finding {
    let sure = expected.iter().position(|drawn| drawn.margin < MARGIN).unwrap_or(expected.len());
    let least = expected.iter().map(|drawn| drawn.margin).fold(f64::INFINITY, f64::min);
    let differs = (0..sure).find(|&at| got.get(at) != Some(&expected[at].token));
    let outcome = format!("{} of {sure} tokens equal the CPU device's; the smallest margin is {least:.4}", differs.unwrap_or(sure));
    let failure = differs.map(|at| {
        let (want, got) = (expected[at], got.get(at).map_or("missing".into(), u32::to_string));
        format!("token {at} is {got}, and on the CPU device {} by a margin of {}", want.token, want.margin)
    });
    Finding { outcome, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margins_of_the_prompt_are_large_enough() {
        for sampling in [Sampling::GREEDY, DRAWN] {
            let student = || Student::new(Machine::cpu(), sampling).expect("the embedded student loads");
            let chosen = pollster::block_on(student().sample_on_host(&|| false)).expect("it decodes");
            assert!(chosen.len() == TOKENS && chosen.iter().all(|drawn| drawn.margin >= MARGIN), "{chosen:?}");
            let decoded = pollster::block_on(student().sample_on_device(&|| false)).expect("it decodes");
            assert_eq!(chosen.iter().map(|drawn| drawn.token).collect::<Vec<_>>(), decoded);
        }
    }

    #[test]
    fn other_tokens_fail_unless_the_margin_is_small() {
        let expected = [(5, 1.0), (6, 0.5), (7, 2e-4)].map(|(token, margin)| SampledToken { token, margin });
        assert!(compare(&expected, &[5, 6, 9]).failure.is_none());
        let finding = compare(&expected, &[5, 8, 7]);
        assert_eq!(finding.failure.as_deref(), Some("token 1 is 8, and on the CPU device 6 by a margin of 0.5"));
        assert!(compare(&expected, &[5]).failure.unwrap().contains("token 1 is missing"));
    }
}
