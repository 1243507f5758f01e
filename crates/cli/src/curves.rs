//! `signet curves`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, Event, Runner};
use std::path::PathBuf;

/// Plot the curves of one or more runs, or write all their steps as CSV.
#[derive(Args)]
pub(super) struct Curves {
    /// Run directories.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// File to write: .svg or .png for a plot, .csv for all steps.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Curves {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { runs, out } = self;
        runner.run(Command::Export { runs, out, replace: true }, &mut |event| match event {
            Event::Note { text } => output::note(&text),
            Event::Exported { out, runs } => put(&format!("{}: {runs} run{}\n", out.display(), if runs == 1 { "" } else { "s" })),
            _ => {}
        })
    }
}
