//! `signet landscape`.

use super::options::DeviceOption;
use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Command, Event, LandscapeGrid, LandscapeRequest, Runner};
use std::path::PathBuf;

/// Draw the loss around a checkpoint, along two random directions that are normalised row by row.
#[derive(Args)]
pub(super) struct Landscape {
    /// A run's directory (its last checkpoint), or a model directory with all its weights.
    model: String,
    /// The file to write; its ending says what: .svg or .png for the picture, .json for the numbers.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The text that is measured; without it, the run's held-out text.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Points along a side, odd.
    #[arg(long, default_value_t = 25)]
    points: usize,
    /// How far it reaches; 1 is as far as each row of a matrix is long.
    #[arg(long, default_value_t = 1.0)]
    range: f64,
    /// Decides the directions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tokens in a window.
    #[arg(long, default_value_t = 128)]
    window: usize,
    /// Windows measured at each point.
    #[arg(long, default_value_t = 8)]
    windows: usize,
    #[command(flatten)]
    at: DeviceOption,
    /// One JSON object per event.
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
