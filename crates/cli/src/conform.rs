//! `signet conform`.

use super::output::{self, put, put_json};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, ConformRequest, Event, Runner};
use std::path::PathBuf;

/// Check every operation on a device against a float64 reference; exits 1 on a mismatch.
#[derive(Args)]
pub(super) struct Conform {
    /// Device to check: all, auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "all")]
    device: String,
    /// Seed of the inputs, to reproduce an earlier check [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Check only cases whose "operation: label" contains this text.
    #[arg(long)]
    filter: Option<String>,
    /// Write the full report to PATH.md and PATH.json, for a driver bug report; with --device all to PATH-0.md and so on.
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// Print one JSON report per device.
    #[arg(long)]
    json: bool,
}

impl Conform {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { device, seed, filter, report, json } = self;
        runner.run(Command::Conform(ConformRequest { device, seed, filter, report }), &mut |event| match &event {
            Event::Conformance { .. } if json => put_json(&event),
            Event::Conformance { table, .. } => put(&format!("{table}\n")),
            Event::Case { device, result } if result.failure.is_some() => {
                let known = if result.known.is_some() { " as known" } else { "" };
                output::note(&format!("{device}: {} {} {}: failed{known}", result.operation, result.variant, result.label))
            }
            _ => {}
        })
    }
}
