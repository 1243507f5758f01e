//! `signet data`, and the options by which commands read text.

use super::output::{self, put, size};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{self, Command, DataReport, DataRequest, Event, Runner, TrainConfig};
use std::path::PathBuf;

/// How text is read, of commands that take it with --data.
#[derive(Args, Clone, Default, PartialEq)]
pub(super) struct TextOptions {
    /// Of JSON lines the field that is read; auto takes text, messages (through the model's chat template) or token_ids.
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// The share of documents that is held out (0.02 is one in fifty); of fewer than fifty, of the text's end.
    #[arg(long, value_name = "SHARE")]
    held_out_share: Option<f64>,
    /// A file, or a pattern of several, that is held out in place of a share.
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
    /// Shuffle documents as wholes, in an order that this number decides; 0 leaves them as they lie.
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
}

impl TextOptions {
    /// Puts what was given into the settings.
    pub(super) fn set(&self, config: &mut TrainConfig) {
        if let Some(field) = &self.field {
            config.field = field.clone();
        }
        config.held_out_share = self.held_out_share.unwrap_or(config.held_out_share);
        config.held_out = self.held_out.clone().or(config.held_out.take());
        config.shuffle = self.shuffle.unwrap_or(config.shuffle);
    }
}

/// Look at a text as a run would read it: documents, tokens, what is held out, and the first rows. It is tokenized if it was not.
#[derive(Args)]
pub(super) struct Data {
    /// Files of text, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'; the embedded corpus without any.
    files: Vec<PathBuf>,
    /// Settings from a TOML file; options given here come on top.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The teacher, whose tokenizer and chat template are used: embedded, none, or a model directory.
    #[arg(long)]
    teacher: Option<String>,
    /// embedded, or a tokenizer.json or its directory, with the tokens and the chat template that the files beside it declare.
    #[arg(long)]
    tokenizer: Option<String>,
    #[command(flatten)]
    text: TextOptions,
    /// Tokens in a sequence.
    #[arg(long)]
    seq: Option<usize>,
    /// Documents to show.
    #[arg(long, default_value_t = 3)]
    rows: usize,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Data {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let config = self.settings()?;
        let bar = bar();
        let result = runner.run(Command::Data(Box::new(DataRequest { config, rows: self.rows })), &mut |event| match &event {
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
        let mut config = match &self.config {
            Some(path) => runner::settings(path)?,
            None => TrainConfig::default(),
        };
        if !self.files.is_empty() {
            config.data = self.files.clone();
        }
        if let Some(name) = &self.teacher {
            config.teacher = name.clone().into();
            // Nothing is trained: a text can be looked at without a teacher.
            config.loss = runner::Loss::Ar;
        }
        if let Some(name) = &self.tokenizer {
            config.tokenizer = name.clone().into();
        }
        config.seq = self.seq.unwrap_or(config.seq);
        self.text.set(&mut config);
        Ok(config)
    }
}

/// A bar for reading text, in MB.
pub(super) fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} MB {msg}").expect("a fixed template"))
}

/// Shows how far reading is; where there is no terminal, a line now and then.
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
    let DataReport { files, about, train, held_out, place, cache, kept, seconds, rows } = report;
    let tokens = about.tokens.max(1) as f64;
    let text = if about.bytes == 0 { "token ids".into() } else { format!("{} of text, {:.2} bytes a token", size(about.bytes), about.bytes as f64 / tokens) };
    let files = if *files == 0 { "the embedded corpus".into() } else { format!("{files} file{}", if *files == 1 { "" } else { "s" }) };
    put(&format!("text       {files}: {} documents, {} tokens; {text}\n", about.documents, about.tokens));
    if *train > 0 {
        put(&format!("trained on {train} tokens; held out {held_out} ({:.2} %)\n", *held_out as f64 / (train + held_out) as f64 * 100.0));
    }
    match (place, cache) {
        (Some(place), Some(cache)) => {
            put(&format!("kept in    {} ({} bytes an id), {seconds:.1} s\n", place.display(), about.width));
            put(&format!("cache      {}: {} texts, {}; delete what is no longer needed\n", cache.display(), kept.0, size(kept.1)));
        }
        _ => put(&format!("kept       nowhere: a small text is tokenized each time, {seconds:.1} s\n")),
    }
    for (n, row) in rows.iter().enumerate() {
        put(&format!("document {} {row:?}\n", n + 1));
    }
}
