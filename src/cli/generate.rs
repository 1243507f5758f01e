//! `signet generate`.

use super::output::{self, PlanOptions, SamplingOptions, put};
use crate::runner::{Command, Event, GenerateRequest, Runner};
use anyhow::{Context, Result};
use clap::Args;

/// Continue a text.
#[derive(Args)]
pub(super) struct Generate {
    /// embedded, a packed or GGUF file, a model directory, a run's directory, or a name on Hugging Face (owner/name).
    #[arg(default_value = "embedded")]
    model: String,
    /// The text to continue; standard input without it.
    #[arg(long, short)]
    prompt: Option<String>,
    /// Where it is computed: auto, cpu, or an adapter's name or index.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Tokens that prompt and continuation may have; the model's context, but 4096 at most.
    #[arg(long)]
    context: Option<usize>,
    /// One JSON object per event: the text piece by piece, then figures.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    plan: PlanOptions,
    #[command(flatten)]
    sampling: SamplingOptions,
}

impl Generate {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, prompt, device, context, json, plan, sampling } = self;
        if plan.plan {
            return plan.print(model, device, context, json, runner);
        }
        let prompt = match prompt {
            Some(prompt) => prompt,
            None => std::io::read_to_string(std::io::stdin()).context("standard input")?,
        };
        let request = GenerateRequest { model, device, context, prompt, request: sampling.request() };
        runner.run(Command::Generate(Box::new(request)), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::Text { text } => put(text),
            Event::Generated(report) => {
                put("\n");
                eprintln!("{}", output::summary(report));
            }
            event => output::loaded(event),
        })
    }
}
