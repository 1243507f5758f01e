//! `signet conform`.

use super::output::{put, put_json};
use crate::runner::{Command, ConformRequest, Event, Runner};
use anyhow::Result;
use clap::Args;

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
    /// With wgpu's own checks in the kernels, as a browser has them.
    #[arg(long)]
    checked: bool,
    /// One JSON report per device.
    #[arg(long)]
    json: bool,
}

impl Conform {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { device, seed, filter, checked, json } = self;
        runner.run(Command::Conform(ConformRequest { device, seed, filter, checked }), &mut |event| match &event {
            Event::Conformance { .. } if json => put_json(&event),
            Event::Conformance { table, .. } => put(&format!("{table}\n")),
            Event::Case { device, result } if result.failure.is_some() => eprintln!("{device}: {} {}: failed", result.operation, result.label),
            _ => {}
        })
    }
}
