//! `signet eval`.

use super::choice;
use super::output::{self, put};
use crate::runner::{Command, Event, MatrixStorage, PerplexityRequest, Runner};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Measure a model.
#[derive(Args)]
pub(super) struct Eval {
    /// embedded, a packed or GGUF file, a model directory, a run's directory, or a name on Hugging Face (owner/name).
    #[arg(default_value = "embedded")]
    model: String,
    /// Perplexity on this text, by FBI-LLM's protocol: windows that do not overlap.
    #[arg(long, value_name = "FILE", required = true)]
    perplexity: PathBuf,
    /// How its matrices are kept on the device: f32, f16, or q8 (8-bit blocks); without it, as the file has them.
    #[arg(long, value_parser = choice::<MatrixStorage>)]
    storage: Option<MatrixStorage>,
    /// Tokens in a window; 2048 without it, or the model's context if that is shorter.
    #[arg(long)]
    window: Option<usize>,
    /// Where it is computed: auto, cpu, or an adapter's name or index.
    #[arg(long, default_value = "auto")]
    device: String,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, perplexity, storage, window, device, json } = self;
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} eta {eta}").expect("a fixed template");
        let bar = ProgressBar::new(0).with_style(style);
        let request = PerplexityRequest { model, device, text: perplexity, storage, window };
        let result = runner.run(Command::Perplexity(request), &mut |event| match &event {
            Event::Progress { done, of, note } => {
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(note.clone());
            }
            Event::Perplexity(report) => {
                bar.finish_and_clear();
                if json {
                    return output::put_json(&event);
                }
                let partly = if report.windows < report.windows_in_text { format!(" of {}: stopped early", report.windows_in_text) } else { String::new() };
                put(&format!("perplexity     {:.3}\n", report.perplexity));
                put(&format!("cross-entropy  {:.4} ± {:.4} nats a token\n", report.cross_entropy, report.standard_error));
                put(&format!("windows        {} of {} tokens{partly}\n", report.windows, report.window));
                put(&format!("speed          {:.0} tokens a second\n", report.tokens_per_second));
            }
            event => output::loaded(event),
        });
        bar.finish_and_clear();
        result
    }
}
