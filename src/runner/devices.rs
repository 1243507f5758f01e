//! The machines that work can run on, and whether they compute right.

use super::protocol::{ConformRequest, DeviceInfo};
use super::{Event, Stop, save};
use crate::certify;
use crate::conform::{self, Options, Report, Target, Told};
use crate::device::{Adapter, Checks, Choice, DeviceError, Gpu, Skipped, adapters, first_that_opens, ranked, select};
use crate::graph::{Counter, Machine};
use crate::ops::FUSIONS;
use crate::platform;
use anyhow::{Context, Result, bail};
use std::sync::Arc;

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

/// How the CPU device is called.
const CPU: &str = "the CPU device";

/// An open machine.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) machine: Machine,
    /// How to call it.
    pub(super) name: String,
    /// Why `auto` took it and not another, where that is not plain.
    pub(super) notes: Vec<String>,
}

impl Opened {
    fn cpu() -> Self {
        Self { machine: Machine::cpu(), name: CPU.into(), notes: Vec::new() }
    }

    pub(super) fn gpu(gpu: Arc<Gpu>, name: String) -> Self {
        Self { machine: Machine::gpu(gpu, FUSIONS), name, notes: Vec::new() }
    }
}

/// Opens the machine that `device` names; `before` is the one that a run was trained on so far.
pub(super) async fn open(device: &str, before: Option<&str>) -> Result<Opened> {
    let Ok(choice) = device.parse::<Choice>();
    let adapters = if choice == Choice::Cpu { Vec::new() } else { adapters().await };
    open_among(&adapters, &choice, before, async |adapter| Gpu::open(adapter, Checks::Off).await).await
}

/// As [`open`], and tells why `auto` took it.
pub(super) async fn machine(device: &str, emit: &mut dyn FnMut(Event)) -> Result<(Machine, String)> {
    let Opened { machine, name, notes } = open(device, None).await?;
    notes.into_iter().for_each(|text| emit(Event::Note { text }));
    Ok((machine, name))
}

/// Opens what `choice` means among adapters. What is named is opened or refused; `auto` tries one after the
/// other, then takes the CPU device.
pub(super) async fn open_among(
    adapters: &[Adapter], choice: &Choice, before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>,
) -> Result<Opened> {
    if *choice == Choice::Auto {
        return Ok(open_auto(adapters, before, open).await);
    }
    match select(adapters, choice)? {
        None => Ok(Opened::cpu()),
        Some(adapter) => Ok(Opened::gpu(Arc::new(open(adapter).await?), adapter.description())),
    }
}

/// A run stays on the device that it was trained on `before`, where it can.
async fn open_auto(adapters: &[Adapter], before: Option<&str>, open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>) -> Opened {
    let candidates = candidates(adapters, before);
    let tried = async |adapter: &&Adapter| {
        let gpu = Arc::new(open(adapter).await?);
        gpu.probe().await?;
        Ok(Opened::gpu(gpu, adapter.description()))
    };
    let (opened, skipped) = first_that_opens(candidates, |adapter| adapter.name(), tried).await;
    let mut opened = opened.unwrap_or_else(Opened::cpu);
    if !skipped.is_empty() {
        let reasons = skipped.iter().map(|Skipped { device, reason }| format!("{device} cannot be used ({reason})"));
        opened.notes.push(format!("auto took {}, because {}", opened.name, reasons.collect::<Vec<_>>().join(", and ")));
    }
    match before {
        Some(before) if before != opened.name => {
            opened.notes.push(format!("the run was trained on {before} so far; on {} it does not continue to the same bits", opened.name));
        }
        Some(CPU) if !ranked(adapters).is_empty() => {
            opened.notes.push("the run was trained on the CPU device so far and stays there; --device moves it".into())
        }
        _ => {}
    }
    opened
}

/// The adapters that `auto` tries, in this order: first those that a run was trained on before, also software.
fn candidates<'a>(adapters: &'a [Adapter], before: Option<&str>) -> Vec<&'a Adapter> {
    let Some(before) = before else { return ranked(adapters) };
    if before == CPU {
        return Vec::new();
    }
    let same = |adapter: &&Adapter| before.strip_prefix(&*adapter.name()).is_some_and(|rest| rest.starts_with(", driver "));
    let mut found: Vec<&Adapter> = adapters.iter().filter(|adapter| adapter.lacks().is_empty()).filter(same).collect();
    // Of several of one name, the one with that driver.
    found.sort_by_key(|adapter| adapter.description() != before);
    found.extend(ranked(adapters).into_iter().filter(|adapter| !same(adapter)));
    found
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
        None => Place { counter: Machine::cpu().counter(), memory: platform::memory(), name: CPU.into() },
        Some(adapter) => {
            let most_words = usize::try_from(adapter.most_bytes() / 4).unwrap_or(usize::MAX);
            Place { counter: Counter::new(most_words, FUSIONS), memory: adapter.memory(), name: adapter.description() }
        }
    })
}

pub(super) async fn list() -> Result<Vec<DeviceInfo>> {
    let adapters = adapters().await;
    let preferred = select(&adapters, &Choice::Auto)?.map(|adapter| adapter.index);
    Ok(adapters.iter().map(|adapter| DeviceInfo::of(adapter, preferred)).collect())
}

/// Runs the conformance; fails if anything did. Asked to stop, it does between two cases, and gives the
/// report of those that were tried.
pub(super) async fn conform(request: ConformRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut options = Options::all(request.seed.unwrap_or_else(platform::seed));
    options.filter = request.filter.clone();
    let (targets, skipped) = targets(&request).await?;
    let mut failed = Vec::new();
    for Skipped { device, reason } in skipped {
        emit(Event::Note { text: format!("{device} cannot be used ({reason})") });
        // Of all devices, one that does not open fails; `auto` takes another.
        failed.extend((request.device == "all").then_some(device));
    }
    for (n, target) in targets.into_iter().enumerate() {
        if stop.asked() {
            bail!("stopped before all devices were tried");
        }
        let report = conform_one(&target, &options, stop, emit).await;
        if !report.passed() {
            failed.push(target.name());
        }
        // A report that was there is not replaced by a part of one.
        if let (Some(path), false) = (&request.report, stop.asked() && report.cut.is_some()) {
            let name = path.file_name().with_context(|| format!("--report {}: it names no file", path.display()))?.to_string_lossy();
            let numbered = if request.device == "all" { path.with_file_name(format!("{name}-{n}")) } else { path.clone() };
            save::report_as(&numbered, &report)?;
        }
        let cut = report.cut.clone();
        emit(Event::Conformance { table: report.table(), report: Box::new(report) });
        if let (Some(why), true) = (cut, stop.asked()) {
            bail!("{}: {why}", target.name());
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("the conformance failed on {}", failed.join(", ")) }
}

/// Operations, and whole models unless there is a filter.
async fn conform_one(target: &Target, options: &Options, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Report {
    let models = if options.filter.is_none() { certify::count(target) } else { 0 };
    let mut operations = 0;
    let progress = |done: usize, of: usize| Event::Progress { done, of: of + models, note: target.name() };
    let mut report = conform::run(target, options, |told| {
        match told {
            Told::Case(result) => emit(Event::Case { device: target.name(), result: result.clone() }),
            Told::Done { done, of } => {
                operations = of;
                emit(progress(done, of));
            }
        }
        !stop.asked()
    })
    .await;
    if models > 0 && report.cut.is_none() {
        report.models = certify::models(target, &|| stop.asked(), |done| emit(progress(operations + done, operations))).await;
        if report.models.len() < models {
            report.cut = Some(format!("stopped after {} of {models} whole models", report.models.len()));
        }
    }
    report
}

/// The devices that are checked, and those that do not open.
async fn targets(request: &ConformRequest) -> Result<(Vec<Target>, Vec<Skipped>)> {
    let adapters = adapters().await;
    let both = async |adapter: &&Adapter| Target::both_ways(adapter).await;
    let Ok(choice) = request.device.parse::<Choice>();
    match choice {
        _ if request.device == "all" => {
            let (mut targets, mut skipped) = (vec![Target::Cpu], Vec::new());
            for adapter in &adapters {
                let (target, failed) = first_that_opens([adapter], |adapter| adapter.name(), &both).await;
                targets.extend(target);
                skipped.extend(failed);
            }
            Ok((targets, skipped))
        }
        Choice::Auto => {
            let (target, skipped) = first_that_opens(ranked(&adapters), |adapter| adapter.name(), &both).await;
            Ok((vec![target.unwrap_or(Target::Cpu)], skipped))
        }
        choice => match select(&adapters, &choice)? {
            Some(adapter) => Ok((vec![Target::both_ways(adapter).await?], Vec::new())),
            None => Ok((vec![Target::Cpu], Vec::new())),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
