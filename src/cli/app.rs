//! `signet app`, and `signet` alone.

use crate::runner::Stop;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Open the app: train, watch, talk, in a window.
#[derive(Args, Default)]
pub(super) struct App {
    /// Folder of the runs; the one shown last, or `runs`.
    #[arg(long)]
    runs: Option<PathBuf>,
    /// Fill the form of a new run from a TOML file, as `train --config` reads it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write down when each frame was drawn and what the app itself took for it, as CSV.
    #[arg(long, value_name = "FILE", hide = true)]
    frames: Option<PathBuf>,
}

impl App {
    pub(super) fn run(self, stop: Stop) -> Result<()> {
        if !crate::runner::has_display() {
            bail!("there is no display for the app's window. Train in the terminal with `signet train`; `signet --help` lists everything else");
        }
        let config = self.config.as_deref().map(crate::runner::settings).transpose()?;
        crate::app::open(crate::app::Options { runs: self.runs, first_runs: None, config, stop, frames: self.frames })?;
        crate::runner::exit(0)
    }
}
