//! Options of the app's program and of `signet app`, which passes them on. Neither crate depends on the other, so
//! crates/cli/src/app.rs includes this file.

use clap::Args;
use std::path::PathBuf;

/// The options.
#[derive(Args, Default)]
pub(super) struct AppOptions {
    /// Folder with the runs [default: the last one opened, or `runs`].
    #[arg(long)]
    pub(super) runs: Option<PathBuf>,
    /// Fill in the form of a new run from a TOML file, as for `train --config`.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Write the time of each frame and the CPU time of the app for it to a CSV file.
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) frames: Option<PathBuf>,
}
