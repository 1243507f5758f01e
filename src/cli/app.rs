//! `signet app`, and `signet` alone.

use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Open the app: train, watch, talk, in a window.
#[derive(Args, Default)]
pub(super) struct App {
    /// Folder of the runs; the one shown last, or `runs`.
    #[arg(long)]
    runs: Option<PathBuf>,
}

impl App {
    pub(super) fn run(self) -> Result<()> {
        if !crate::runner::has_display() {
            bail!("there is no display for the app's window. Train in the terminal with `signet train`; `signet --help` lists everything else");
        }
        crate::app::open(self.runs)
    }
}
