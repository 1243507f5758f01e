//! Opens the device that a command runs on.

use super::Event;
use crate::device::{Adapter, Checks, DeviceChoice, DeviceError, Gpu, Skipped, adapters, first_that_opens, ranked, select};
use crate::graph::{Counter, Machine};
use crate::ops::FUSIONS;
use crate::platform;
use anyhow::Result;
use std::sync::Arc;

/// Name of the CPU device.
const CPU: &str = "the CPU device";

/// An opened device.
#[derive(Debug)]
pub(super) struct OpenedDevice {
    pub(super) machine: Machine,
    /// Its name.
    pub(super) name: String,
    /// Messages that explain an unexpected choice by `auto`.
    pub(super) notes: Vec<String>,
}

impl OpenedDevice {
    fn cpu() -> Self {
        Self { machine: Machine::cpu(), name: CPU.into(), notes: Vec::new() }
    }

    pub(super) fn gpu(gpu: Arc<Gpu>, name: String) -> Self {
        Self { machine: Machine::gpu(gpu, FUSIONS), name, notes: Vec::new() }
    }
}

/// Opens the device named `device`. `before` is the device that the run was trained on so far.
pub(super) async fn open(device: &str, before: Option<&str>) -> Result<OpenedDevice> {
    let Ok(choice) = device.parse::<DeviceChoice>();
    let adapters = if choice == DeviceChoice::Cpu { Vec::new() } else { adapters().await };
    open_among(&adapters, &choice, before, async |adapter| Gpu::open(adapter, Checks::Off).await).await
}

/// Opens a device as [`open`] does, and emits its notes.
pub(super) async fn machine(device: &str, emit: &mut dyn FnMut(Event)) -> Result<(Machine, String)> {
    let OpenedDevice { machine, name, notes } = open(device, None).await?;
    notes.into_iter().for_each(|text| emit(Event::Note { text }));
    Ok((machine, name))
}

/// Opens the device that `choice` selects. A named device is opened or an error; `auto` tries one adapter after another,
/// then falls back to the CPU device.
pub(super) async fn open_among(
    adapters: &[Adapter], choice: &DeviceChoice, before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>,
) -> Result<OpenedDevice> {
    if *choice == DeviceChoice::Auto {
        return Ok(open_auto(adapters, before, open).await);
    }
    match select(adapters, choice)? {
        None => Ok(OpenedDevice::cpu()),
        Some(adapter) => Ok(OpenedDevice::gpu(Arc::new(open(adapter).await?), adapter.description())),
    }
}

/// Opens the device for `auto`. A run stays on the device that it was trained on (`before`), if possible.
async fn open_auto(adapters: &[Adapter], before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>) -> OpenedDevice {
    let (opened, skipped) = first_usable(candidates(adapters, before), open).await;
    let mut opened = opened.map_or_else(OpenedDevice::cpu, |(adapter, gpu)| OpenedDevice::gpu(gpu, adapter.description()));
    if !skipped.is_empty() {
        let reasons = skipped.iter().map(|Skipped { device, reason }| format!("{device} cannot be used ({reason})"));
        opened.notes.push(format!("auto selected {}, because {}", opened.name, reasons.collect::<Vec<_>>().join(", and ")));
    }
    match before {
        Some(before) if before != opened.name => {
            opened.notes.push(format!("the run was trained on {before}; on {}, results are not bit-identical", opened.name));
        }
        Some(CPU) if !ranked(adapters).is_empty() => {
            opened.notes.push("the run was trained on the CPU device and continues there; choose another with --device".into())
        }
        _ => {}
    }
    opened
}

/// Opens the first of the candidates that works, and returns the ones before it with their reasons.
pub(super) async fn first_usable<'a>(
    candidates: Vec<&'a Adapter>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>,
) -> (Option<(&'a Adapter, Arc<Gpu>)>, Vec<Skipped>) {
    let tried = async |adapter: &&'a Adapter| {
        let gpu = Arc::new(open(adapter).await?);
        gpu.probe().await?;
        Ok((*adapter, gpu))
    };
    first_that_opens(candidates, |adapter| adapter.name(), tried).await
}

/// Returns the adapters that `auto` tries, in order. The adapter that a run was trained on (`before`) comes first, even if it
/// is a software adapter.
fn candidates<'a>(adapters: &'a [Adapter], before: Option<&str>) -> Vec<&'a Adapter> {
    let Some(before) = before else { return ranked(adapters) };
    if before == CPU {
        return Vec::new();
    }
    let same = |adapter: &&Adapter| before.strip_prefix(&*adapter.name()).is_some_and(|rest| rest.starts_with(", driver "));
    let mut found: Vec<&Adapter> = adapters.iter().filter(|adapter| adapter.missing_limits().is_empty()).filter(same).collect();
    // Among adapters of the same name, the same driver first.
    found.sort_by_key(|adapter| adapter.description() != before);
    found.extend(ranked(adapters).into_iter().filter(|adapter| !same(adapter)));
    found
}

/// A device for memory plans, not opened.
pub(super) struct PlannedDevice {
    /// Counts memory without allocating it.
    pub(super) counter: Counter,
    /// Bytes of memory; none if it does not report them.
    pub(super) memory: Option<u64>,
    /// Its name.
    pub(super) name: String,
}

/// Returns the device that `choice` selects, without opening it.
pub(super) fn planned_device(adapters: &[Adapter], choice: &DeviceChoice) -> Result<PlannedDevice> {
    Ok(match select(adapters, choice)? {
        None => PlannedDevice { counter: Machine::cpu().counter(), memory: platform::memory(), name: CPU.into() },
        Some(adapter) => {
            let max_words = usize::try_from(adapter.max_binding_bytes() / 4).unwrap_or(usize::MAX);
            PlannedDevice { counter: Counter::new(max_words, FUSIONS), memory: adapter.memory(), name: adapter.description() }
        }
    })
}

#[cfg(test)]
pub(super) mod tests;
