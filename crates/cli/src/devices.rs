//! `signet devices`.

use super::output::{put, put_json};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, DeviceInfo, Event, Runner, format_bytes};

/// List the devices that `--device` accepts.
#[derive(Args)]
pub(super) struct Devices {
    /// Print the list as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        runner.run(Command::Devices, &mut |event| match &event {
            Event::Devices { .. } if self.json => put_json(&event),
            Event::Devices { adapters } => print(adapters),
            _ => {}
        })
    }
}

fn print(adapters: &[DeviceInfo]) {
    let chosen = |preferred: bool| if preferred { "   <- auto" } else { "" };
    put(&format!("cpu  the CPU device: no driver needed{}\n", chosen(adapters.iter().all(|adapter| !adapter.preferred))));
    for adapter in adapters {
        let DeviceInfo { index, name, kind, driver, binding_bytes, buffer_bytes, memory_bytes, lacks, features, preferred } = adapter;
        put(&format!("{index}    {name}: {kind}, driver {driver}{}\n", chosen(*preferred)));
        put(&format!(
            "     {} of memory, bindings up to {}, buffers up to {}, features: {}\n",
            memory_bytes.map_or("unknown".into(), format_bytes),
            format_bytes(*binding_bytes),
            format_bytes(*buffer_bytes),
            if features.is_empty() { "none".into() } else { features.join(", ") }
        ));
        for lack in lacks {
            put(&format!("     cannot be used: {lack}\n"));
        }
    }
}
