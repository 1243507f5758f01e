//! `signet data`.

use super::output::{self, put};
use super::settings::{FileAndOptions, Name, OF_TEXT, SettingSubset, WithConfigFile};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{self, Command, DataReport, DataRequest, Event, Runner, TrainConfig, format_bytes};
use std::path::PathBuf;

/// The settings that are options of `data`.
struct OfData;

impl SettingSubset for OfData {
    const SOME: Option<&'static [&'static [Name]]> =
        Some(&[&[("teacher", Some("Teacher whose tokenizer and chat template are used: embedded, none, or a model directory")), ("tokenizer", None)], OF_TEXT]);
}

impl WithConfigFile for OfData {
    const FILE: &'static str = "Read settings from a TOML file; options override it";
}

/// Show how a run reads a text: documents, tokens, held-out part, first documents. Tokenizes the text if needed.
#[derive(Args)]
pub(super) struct Data {
    /// Text: plain or JSON Lines files, also as .gz or .zst, or glob patterns such as 'books/*.txt'; without any, the embedded corpus.
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: FileAndOptions<OfData>,
    /// Number of documents to print.
    #[arg(long, alias = "rows", default_value_t = 3)]
    documents: usize,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Data {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let config = self.settings()?;
        let bar = bar();
        let result = runner.run(Command::Data(Box::new(DataRequest { config, rows: self.documents })), &mut |event| match &event {
            Event::Progress { done, of, note } => advance(&bar, *done, *of, note),
            Event::Data(report) => {
                bar.finish_and_clear();
                if self.json { output::put_json(&event) } else { print(report) }
            }
            _ => {}
        });
        bar.finish_and_clear();
        result
    }

    fn settings(&self) -> Result<TrainConfig> {
        let mut config = self.settings.settings()?;
        if !self.files.is_empty() {
            config.data = self.files.clone();
        }
        if self.settings.has("teacher") {
            // Nothing is trained, so the loss needs no teacher.
            config.loss = runner::Loss::Ar;
        }
        Ok(config)
    }
}

/// Creates a progress bar for reading text, in MB.
pub(super) fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} MB {msg}").expect("a fixed template"))
}

/// Updates the progress bar; without a terminal, prints a line for each tenth.
pub(super) fn advance(bar: &ProgressBar, done: usize, of: usize, note: &str) {
    let before = bar.position() as usize;
    bar.set_length(of as u64);
    bar.set_position(done as u64);
    bar.set_message(note.to_string());
    if bar.is_hidden() && done * 10 / of.max(1) != before * 10 / of.max(1) {
        output::note(&format!("{done} of {of} MB: {note}"));
    }
}

fn print(report: &DataReport) {
    let DataReport { files, about, train, held_out, directory, cache, kept, seconds, rows } = report;
    let tokens = about.tokens.max(1) as f64;
    let text =
        if about.bytes == 0 { "token ids".into() } else { format!("{} of text, {:.2} bytes a token", format_bytes(about.bytes), about.bytes as f64 / tokens) };
    let files = if *files == 0 { "the embedded corpus".into() } else { format!("{files} file{}", if *files == 1 { "" } else { "s" }) };
    put(&format!("text       {files}: {} documents, {} tokens; {text}\n", about.documents, about.tokens));
    if *train > 0 {
        put(&format!("trained on {train} tokens; held out {held_out} ({:.2} %)\n", *held_out as f64 / (train + held_out) as f64 * 100.0));
    }
    match (directory, cache) {
        (Some(directory), Some(cache)) => {
            put(&format!("cached in  {} ({} bytes per id), {seconds:.1} s\n", directory.display(), about.width));
            put(&format!("cache      {}: {} texts, {}; delete what is no longer needed\n", cache.display(), kept.0, format_bytes(kept.1)));
        }
        _ => put(&format!("not cached: a small text is tokenized each time, {seconds:.1} s\n")),
    }
    for (n, row) in rows.iter().enumerate() {
        put(&format!("document {} {row:?}\n", n + 1));
    }
}
