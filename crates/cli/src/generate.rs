//! `signet generate`.

use super::options::{DeviceOption, ModelOptions, PlanOptions, SamplingOptions};
use super::output::{self, put};
use anyhow::{Context, Result, bail};
use clap::Args;
use signet::runner::{Command, Event, GenerateRequest, Runner};
use std::io::Read;

/// Maximum size of a prompt from standard input, in bytes.
const MAX_PROMPT: u64 = 64 << 20;

/// Generate text from a prompt.
#[derive(Args)]
pub(super) struct Generate {
    /// Prompt [default: read from standard input].
    #[arg(long, short)]
    prompt: Option<String>,
    #[command(flatten)]
    pub(super) of: ModelOptions,
    /// Maximum tokens of the prompt and the generated text together [default: the model's context, at most 4096].
    #[arg(long)]
    context: Option<usize>,
    /// Print one JSON object per event: pieces of text, then statistics.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    plan: PlanOptions,
    #[command(flatten)]
    sampling: SamplingOptions,
}

impl Generate {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { of, prompt, context, json, plan, sampling } = self;
        if plan.plan {
            return plan.print(of, context, json, runner);
        }
        let ModelOptions { model, at: DeviceOption { device }, .. } = of;
        let prompt = match prompt {
            Some(prompt) => prompt,
            None => read_prompt()?,
        };
        let request = GenerateRequest { model, device, context, prompt, request: sampling.request() };
        runner.run(Command::Generate(Box::new(request)), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::Text { text } => put(text),
            Event::Generated(report) => {
                put("\n");
                output::note(&output::summary(report));
            }
            event => output::loaded(event),
        })
    }
}

/// Reads the prompt from standard input.
fn read_prompt() -> Result<String> {
    let mut prompt = String::new();
    std::io::stdin().take(MAX_PROMPT + 1).read_to_string(&mut prompt).context("standard input")?;
    if prompt.len() as u64 > MAX_PROMPT {
        bail!("cannot read standard input: the prompt is longer than {} MB", MAX_PROMPT >> 20);
    }
    Ok(prompt)
}
