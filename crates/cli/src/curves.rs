//! `signet curves`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, Event, Runner};
use std::path::PathBuf;

/// Write the curves of a run, or of several on the same axes, or every step of them as a table.
#[derive(Args)]
pub(super) struct Curves {
    /// Directories of runs.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file to write; its ending says what: .svg or .png for curves, .csv for every step.
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
