//! Options of the app's program and of `signet app`, which passes them on. Neither crate depends on the other, so
//! crates/cli/src/app.rs includes this file.

use clap::Args;
use std::path::PathBuf;

/// The options.
#[derive(Args, Default)]
pub(super) struct AppOptions {
    /// Folder of the runs; the one shown last, or `runs`.
    #[arg(long)]
    pub(super) runs: Option<PathBuf>,
    /// Fill the form of a new run from a TOML file, as `train --config` reads it.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Write down when each frame was drawn and what the app itself took for it, as CSV.
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) frames: Option<PathBuf>,
}
