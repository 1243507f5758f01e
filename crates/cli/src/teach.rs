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
            ("teacher", Some("Teacher model: embedded, a model directory, or a Hugging Face name (owner/name)")),
            ("tokenizer", None),
            ("data", Some("Text: plain or JSON Lines files, also as .gz or .zst, or glob patterns such as 'books/*.txt'; without any, the embedded corpus")),
        ],
        OF_TEXT,
        &[("temperature", Some("Distillation temperature"))],
    ]);
}

impl WithConfigFile for OfTeach {
    const FILE: &'static str = "Read settings of the runs that will use the cache from a TOML file; options override it";
}

/// Cache a teacher's top-k probabilities for a text, for `train --teacher-cache`. The same command resumes after an interruption.
#[derive(Args)]
pub(super) struct Teach {
    /// Directory of the cache.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens to keep at each position (k), at most 256; the probabilities of all others are added up.
    #[arg(long, default_value_t = 32)]
    top: usize,
    #[command(flatten)]
    settings: FileAndOptions<OfTeach>,
    #[command(flatten)]
    at: DeviceOption,
    /// Print one JSON object per event instead of a progress bar.
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
