//! `signet check`.

use super::output::{self, put};
use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Command, Event, Outcome, Runner};
use std::path::{Path, PathBuf};

/// Verify the files of a run, a model or a cache; exits 1 if any is damaged.
#[derive(Args)]
pub(super) struct Check {
    /// Run, checkpoint, packed file, GGUF file, model directory, token cache, teacher cache, or a folder with these.
    path: PathBuf,
    /// Restore a run's damaged run.toml, variants.json and changes.jsonl from its newest checkpoint.
    #[arg(long)]
    repair: bool,
    /// Print one JSON object per file.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { path, repair, json } = self;
        let mut counts = (0, 0);
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").expect("a fixed template"));
        runner.run(Command::Check { path, repair }, &mut |event| {
            if let Event::CheckEnded { whole, unverified, damaged } = event {
                counts = (whole + unverified + damaged, damaged);
            }
            match &event {
                Event::Progress { done, of, note } => {
                    bar.set_length(*of as u64);
                    bar.set_position(*done as u64);
                    bar.set_message(note.clone());
                }
                event if json => output::put_json(event),
                Event::Checked { path, outcome } => bar.suspend(|| put(&line(path, outcome))),
                Event::CheckEnded { damaged: 0, .. } => put(&format!("{} files, none damaged\n", counts.0)),
                event => output::tuning(event),
            }
        })?;
        bar.finish_and_clear();
        match counts {
            (_, 0) => Ok(()),
            (all, damaged) => bail!("{damaged} of {all} files are damaged"),
        }
    }
}

fn line(path: &Path, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Whole => format!("ok           {}\n", path.display()),
        Outcome::NoChecksum => format!("no checksum  {} can be read; an earlier version or another program wrote it\n", path.display()),
        Outcome::Newer { problem } => format!("not checked  {problem}\n"),
        Outcome::Damaged { problem } => format!("damaged      {problem}\n"),
    }
}
