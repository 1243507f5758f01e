//! The machines that work can run on, and whether they compute right.

use super::{Event, Stop};
use crate::certify;
use crate::conform::{self, Options, Report, Target};
use crate::device::{Adapter, Checks, Choice, Gpu, adapters, select};
use crate::graph::{Counter, Machine};
use crate::ops::FUSIONS;
use crate::platform;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// An adapter, in plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// By which it can be chosen.
    pub index: usize,
    /// Name and backend.
    pub name: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu` (a software adapter) or `Other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Bytes one binding may have.
    pub binding_bytes: u64,
    /// Bytes one buffer may have.
    pub buffer_bytes: u64,
    /// Bytes of its own memory, if its backend tells.
    pub memory_bytes: Option<u64>,
    /// Limits it lacks: what it has, what is needed. Empty if it can be used.
    pub lacks: Vec<String>,
    /// Features beyond core WebGPU that kernels could use: `f16`, `subgroups`, `timestamps`, `immediates`,
    /// and the cooperative matrices, by size and factors.
    pub features: Vec<String>,
    /// Whether `--device auto` takes it.
    pub preferred: bool,
}

impl DeviceInfo {
    fn of(adapter: &Adapter, preferred: Option<usize>) -> Self {
        let features = [
            ("f16", wgpu::Features::SHADER_F16),
            ("subgroups", wgpu::Features::SUBGROUP),
            ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
            ("immediates", wgpu::Features::IMMEDIATES),
        ];
        Self {
            index: adapter.index,
            name: adapter.name(),
            kind: format!("{:?}", adapter.info.device_type),
            driver: format!("{} {}", adapter.info.driver, adapter.info.driver_info).trim().to_string(),
            binding_bytes: adapter.limits.max_storage_buffer_binding_size,
            buffer_bytes: adapter.limits.max_buffer_size,
            memory_bytes: adapter.memory(),
            lacks: adapter.lacks().iter().map(|(limit, have, need)| format!("{limit} is {have}, {need} needed")).collect(),
            features: {
                let cooperative = adapter.cooperative();
                let matrices = cooperative.iter().map(|found| format!("{0}×{0} matrices in {1}", found.size, if found.half { "f16" } else { "f32" }));
                features.iter().filter(|(_, feature)| adapter.features.contains(*feature)).map(|(name, _)| name.to_string()).chain(matrices).collect()
            },
            preferred: preferred == Some(adapter.index),
        }
    }
}

/// The machine that `device` names, and how to call it.
pub(super) async fn machine(device: &str) -> Result<(Machine, String)> {
    let Ok(choice) = device.parse::<Choice>();
    if choice == Choice::Cpu {
        return Ok((Machine::cpu(), "the CPU device".into()));
    }
    let adapters = adapters().await;
    match select(&adapters, &choice)? {
        None => Ok((Machine::cpu(), "the CPU device".into())),
        Some(adapter) => {
            let gpu = Gpu::open(adapter, Checks::Off).await?;
            let name = format!("{}, driver {} {}", gpu.name(), gpu.info().driver, gpu.info().driver_info);
            Ok((Machine::gpu(Arc::new(gpu), FUSIONS), name))
        }
    }
}

/// A machine that was not opened: what can be planned there.
pub(super) struct Place {
    /// Counts what would be reserved.
    pub(super) counter: Counter,
    /// Bytes it has, if it tells.
    pub(super) memory: Option<u64>,
    /// How to call it.
    pub(super) name: String,
}

/// The place that `choice` means among adapters.
pub(super) fn place(adapters: &[Adapter], choice: &Choice) -> Result<Place> {
    Ok(match select(adapters, choice)? {
        None => Place { counter: Machine::cpu().counter(), memory: platform::memory(), name: "the CPU device".into() },
        Some(adapter) => {
            let most_words = usize::try_from(adapter.most_bytes() / 4).unwrap_or(usize::MAX);
            let name = format!("{}, driver {} {}", adapter.name(), adapter.info.driver, adapter.info.driver_info);
            Place { counter: Counter::new(most_words, FUSIONS), memory: adapter.memory(), name }
        }
    })
}

pub(super) async fn list() -> Result<Vec<DeviceInfo>> {
    let adapters = adapters().await;
    let preferred = select(&adapters, &Choice::Auto)?.map(|adapter| adapter.index);
    Ok(adapters.iter().map(|adapter| DeviceInfo::of(adapter, preferred)).collect())
}

/// What is tried, and where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConformRequest {
    /// `all` for the CPU device and every adapter; else one as for `--device`.
    pub device: String,
    /// Seed of all operands; one from the clock if absent.
    pub seed: Option<u64>,
    /// Only cases whose `operation: label` contains this.
    pub filter: Option<String>,
    /// Where reports go: `PATH.md` and `PATH.json`, numbered if there are several devices.
    pub report: Option<std::path::PathBuf>,
}

/// Runs the conformance; fails if anything did.
pub(super) async fn conform(request: ConformRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut options = Options::all(request.seed.unwrap_or_else(platform::seed));
    options.filter = request.filter.clone();
    let mut failed = Vec::new();
    for (n, target) in targets(&request).await?.into_iter().enumerate() {
        if stop.asked() {
            bail!("stopped before all devices were tried");
        }
        let mut report = conform::run(&target, &options, |result| emit(Event::Case { device: target.name(), result: result.clone() })).await;
        if request.filter.is_none() {
            report.models = certify::models(&target).await;
        }
        if !report.passed() {
            failed.push(target.name());
        }
        if let Some(path) = &request.report {
            write(&report, path, (request.device == "all").then_some(n))?;
        }
        emit(Event::Conformance { table: report.table(), report: Box::new(report) });
    }
    if failed.is_empty() { Ok(()) } else { bail!("the conformance failed on {}", failed.join(", ")) }
}

/// Writes a report beside `path`: as Markdown and as JSON, each whole or not at all.
fn write(report: &Report, path: &Path, number: Option<usize>) -> Result<()> {
    let stem = path.file_name().with_context(|| format!("--report {}: it names no file", path.display()))?.to_string_lossy().into_owned();
    let json = serde_json::to_string_pretty(report)? + "\n";
    for (ending, text) in [("md", report.markdown()), ("json", json)] {
        let number = number.map_or(String::new(), |number| format!("-{number}"));
        let file = path.with_file_name(format!("{stem}{number}.{ending}"));
        platform::write_atomic(&file, text.as_bytes()).with_context(|| format!("{}: the report could not be written", file.display()))?;
    }
    Ok(())
}

async fn targets(request: &ConformRequest) -> Result<Vec<Target>> {
    let adapters = adapters().await;
    let Ok(choice) = request.device.parse::<Choice>();
    let chosen: Vec<&Adapter> = if request.device == "all" { adapters.iter().collect() } else { select(&adapters, &choice)?.into_iter().collect() };
    let mut targets = if request.device == "all" || chosen.is_empty() { vec![Target::Cpu] } else { Vec::new() };
    for adapter in chosen {
        targets.push(Target::both_ways(adapter).await?);
    }
    Ok(targets)
}
