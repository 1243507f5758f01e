//! `signet bench`.

use super::output::{self, put, size};
use crate::runner::{Command, DecodeBench, DecodeReport, DecodeSide, Event, Runner};
use anyhow::Result;
use clap::{Args, Subcommand};

/// Time the machine.
#[derive(Subcommand)]
pub(super) enum Bench {
    Decode(Decode),
}

/// Time decoding: a packed model of random weights against the same one dense in f16.
#[derive(Args)]
pub(super) struct Decode {
    /// tiny, 5M, 130M, 1.3B, 7B or 13B.
    #[arg(long, default_value = "130M")]
    size: String,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Tokens decoded.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Leave the dense model out: it needs up to 16 times the memory.
    #[arg(long)]
    packed_only: bool,
    /// Where it is computed: auto, cpu, or an adapter's name or index.
    #[arg(long, default_value = "auto")]
    device: String,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        match self {
            Bench::Decode(decode) => decode.run(runner),
        }
    }
}

impl Decode {
    fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { size, prompt, tokens, packed_only, device, json } = self;
        let bench = DecodeBench { size, prompt, tokens, dense: !packed_only };
        runner.run(Command::BenchDecode { bench, device }, &mut |event| match &event {
            Event::Note { text } => eprintln!("{text} …"),
            Event::BenchDecode(_) if json => output::put_json(&event),
            Event::BenchDecode(report) => print(report),
            _ => {}
        })
    }
}

fn print(report: &DecodeReport) {
    let DecodeReport { bench, device, bandwidth, packed, dense } = report;
    put(&format!("{} on {device}, {} tokens after a prompt of {}; memory moves {:.1} GB/s\n", bench.size, bench.tokens, bench.prompt, bandwidth / 1e9));
    let line = |name: &str, side: &DecodeSide| {
        let DecodeSide { tokens_per_second, first_token_seconds, prefill_tokens_per_second, bytes_per_token, memory, roofline } = side;
        put(&format!(
            "{name:<10} {tokens_per_second:>8.1} tokens/s   first token {:>7.1} ms   prefill {prefill_tokens_per_second:>7.0} tokens/s   reads {} a token, {:.0}% of what memory allows   {} of memory\n",
            1e3 * first_token_seconds,
            size(*bytes_per_token),
            100.0 * roofline,
            size(*memory)
        ));
    };
    line("packed", packed);
    if let Some(dense) = dense {
        line("dense f16", dense);
        put(&format!("packed is {:.2} times as fast\n", packed.tokens_per_second / dense.tokens_per_second));
    }
}
