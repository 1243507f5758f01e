//! `signet tokenizer`.

use super::output::{self, put};
use anyhow::Result;
use clap::{Args, Subcommand};
use signet::runner::{Command, Event, Runner, TokenizerRequest};
use std::path::PathBuf;

/// Train a tokenizer.
#[derive(Subcommand)]
pub(super) enum Tokenizer {
    Train(TokenizerTrain),
}

/// Train a byte-level BPE tokenizer on text files.
#[derive(Args)]
pub(super) struct TokenizerTrain {
    /// Text: plain or JSON Lines files, also as .gz or .zst, or glob patterns such as 'books/*.txt'.
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// Vocabulary size: 256 bytes, 3 special tokens, and merges.
    #[arg(long, default_value_t = 4096)]
    vocabulary: usize,
    /// File to write.
    #[arg(long, default_value = "tokenizer.json")]
    out: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Tokenizer {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Tokenizer::Train(TokenizerTrain { texts, vocabulary, out, json }) = self;
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
