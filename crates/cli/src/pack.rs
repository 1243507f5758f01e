//! `signet pack`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{self, Command, Event, Runner};
use std::path::PathBuf;

/// Pack a model into one file with its tokenizer and chat template: binarized weights in 1 bit, the rest in f16.
#[derive(Args)]
pub(super) struct Pack {
    /// Model directory, or a run's directory.
    model: String,
    /// File to write.
    out: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, out, json } = self;
        let file = out.clone();
        runner.run(Command::Pack { model, out }, &mut |event| match &event {
            event if json => output::put_json(event),
            Event::Packed(report) => {
                let weights = match report.binarized_weights {
                    0 => "full precision in f16".into(),
                    weights => format!("{:.1} M binarized weights at {:.4} bits each", weights as f64 / 1e6, report.bits_per_weight),
                };
                put(&format!("{}: {}, {weights}\n", file.display(), runner::format_bytes(report.bytes)));
                put(&format!("chat with it: {}\n", runner::command_on(&["chat"], &file)));
            }
            event => output::tuning(event),
        })
    }
}
