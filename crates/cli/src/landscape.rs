//! `signet landscape`.

use super::options::DeviceOption;
use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Command, Event, LandscapeGrid, LandscapeRequest, Runner};
use std::path::PathBuf;

/// Plot the loss landscape around a checkpoint, along two random directions normalized by row.
#[derive(Args)]
pub(super) struct Landscape {
    /// Run directory (its last checkpoint is used), or a model directory with latent weights.
    model: String,
    /// File to write: .svg or .png for a plot, .json for the values.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Text to compute the loss on [default: the run's held-out text].
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Grid points per side, an odd number.
    #[arg(long, default_value_t = 25)]
    points: usize,
    /// Extent of the grid, relative to the norm of each matrix row.
    #[arg(long, default_value_t = 1.0)]
    range: f64,
    /// Seed for the directions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tokens per window.
    #[arg(long, default_value_t = 128)]
    window: usize,
    /// Windows per grid point.
    #[arg(long, default_value_t = 8)]
    windows: usize,
    #[command(flatten)]
    at: DeviceOption,
    /// Print one JSON object per event.
    #[arg(long)]
    json: bool,
}

impl Landscape {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, out, text, points, range, seed, window, windows, at, json } = self;
        let grid = LandscapeGrid { points, range, seed };
        let style = ProgressStyle::with_template("{bar:24} {msg}, {per_sec}, eta {eta}").expect("a fixed template");
        let bar = ProgressBar::new(0).with_style(style);
        let request = LandscapeRequest { model, text, window, windows, grid, device: at.device, out };
        let result = runner.run(Command::Landscape(Box::new(request)), &mut |event| match &event {
            _ if json => output::put_json(&event),
            Event::Note { text } => output::note(text),
            Event::Progress { done, of, note } => {
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(note.clone());
            }
            Event::Landscape { out, centre, greatest } => {
                bar.finish_and_clear();
                put(&format!("{}: loss {centre:.4} at the checkpoint, at most {greatest:.4}\n", out.display()));
            }
            _ => {}
        });
        bar.finish_and_clear();
        result
    }
}
