//! `signet teach`.

use super::options::DeviceOption;
use super::output::{self, put_json};
use super::settings::{FileAndOptions, Name, OF_TEXT, SettingSubset, WithConfigFile};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{self, Command, Event, Runner, TeachRequest};
use std::path::PathBuf;

/// The settings that are options of `teach`.
struct OfTeach;

impl SettingSubset for OfTeach {
    const SOME: Option<&'static [&'static [Name]]> = Some(&[
        &[
            ("teacher", Some("The teacher: embedded, a model directory, or its name on Hugging Face (owner/name)")),
            ("tokenizer", None),
            ("data", Some("Files of text, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'; the embedded corpus without any")),
        ],
        OF_TEXT,
        &[("temperature", Some("Temperature of the distillation"))],
    ]);
}

impl WithConfigFile for OfTeach {
    const FILE: &'static str = "Settings of the runs it is for, from a TOML file; options given here come on top";
}

/// Keep a teacher's likeliest tokens for every position of a text, so that `train --teacher-cache`
/// needs no teacher. Given again, it makes what is missing.
#[derive(Args)]
pub(super) struct Teach {
    /// Directory of the cache.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens kept at each position, at most 256; all others become one bucket.
    #[arg(long, default_value_t = 32)]
    top: usize,
    #[command(flatten)]
    settings: FileAndOptions<OfTeach>,
    #[command(flatten)]
    at: DeviceOption,
    /// One JSON object per event instead of a progress bar.
    #[arg(long)]
    json: bool,
}

impl Teach {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let config = self.settings.settings()?;
        let request = TeachRequest { out: self.out.clone(), top: self.top, config, device: self.at.device.clone() };
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").expect("a fixed template"));
        let result = runner.run(Command::Teach(Box::new(request)), &mut |event| match &event {
            _ if self.json => put_json(&event),
            Event::Progress { done, of, note } => {
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(note.clone());
                // Without a terminal, a line for each twentieth.
                if bar.is_hidden() && (done * 20 / of) > (done.saturating_sub(64) * 20 / of) {
                    output::note(&format!("{done} of {of}: {note}"));
                }
            }
            Event::TeacherCacheEnded { finished } => {
                bar.finish_and_clear();
                let usage = runner::command_on(&["train", "--teacher-cache"], &self.out);
                output::note(&if *finished { format!("use it with: {usage}") } else { "stopped; run the same command to resume".into() });
            }
            event => output::tuning(event),
        });
        bar.finish_and_clear();
        result
    }
}
