//! `signet tokenizer`.

use super::output::{self, put};
use anyhow::Result;
use clap::{Args, Subcommand};
use signet::runner::{Command, Event, Runner, TokenizerRequest};
use std::path::PathBuf;

/// Make a tokenizer.
#[derive(Subcommand)]
pub(super) enum Tokenizer {
    Train(Train),
}

/// Train a byte-level BPE on files of text.
#[derive(Args)]
pub(super) struct Train {
    /// Files of text, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'.
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// Tokens it is to have: 256 bytes, 3 special ones, and merges.
    #[arg(long, default_value_t = 4096)]
    vocabulary: usize,
    /// The file to write.
    #[arg(long, default_value = "tokenizer.json")]
    out: PathBuf,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Tokenizer {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Tokenizer::Train(Train { texts, vocabulary, out, json }) = self;
        let name = out.display().to_string();
        runner.run(Command::TrainTokenizer(TokenizerRequest { texts, vocabulary, out }), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::TokenizerTrained { vocabulary, bytes, tokens } => {
                let share = *bytes as f64 / (*tokens).max(1) as f64;
                put(&format!("{name}: {vocabulary} tokens; the text is {tokens} of them, {share:.2} bytes each\n"));
            }
            _ => {}
        })
    }
}
