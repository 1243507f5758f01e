//! `signet conform`.

use super::output::{self, put, put_json};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, ConformRequest, Event, Runner};
use std::path::PathBuf;

/// Hold every operation on a device against a float64 oracle; fails if any result is off.
#[derive(Args)]
pub(super) struct Conform {
    /// all, auto, cpu, or an adapter's name or index.
    #[arg(long, default_value = "all")]
    device: String,
    /// Seed of the operands, to repeat a run; a new one each time without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only cases whose "operation: label" contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Write the whole report to PATH.md and PATH.json (PATH-0.md and so on with --device all), to keep or to attach to a driver bug.
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// One JSON report per device.
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
