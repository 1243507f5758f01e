//! `signet pack`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{self, Command, Event, Runner};
use std::path::PathBuf;

/// Write a model as one file, tokenizer and chat template included: a student's weights in 1 bit,
/// everything else in f16.
#[derive(Args)]
pub(super) struct Pack {
    /// A model directory, or a run's directory.
    model: String,
    /// The file to write.
    out: PathBuf,
    /// The figures as one JSON object.
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
