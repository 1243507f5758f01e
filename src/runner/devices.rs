//! The machines that work can run on, and whether they compute right.

use super::{Event, Stop, save};
use crate::certify;
use crate::conform::{self, Options, Report, Target, Told};
use crate::device::{Adapter, Checks, Choice, Gpu, adapters, select};
use crate::graph::{Counter, Machine};
use crate::ops::FUSIONS;
use crate::platform;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
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

/// Runs the conformance; fails if anything did. Asked to stop, it does between two cases, and gives the
/// report of those that were tried.
pub(super) async fn conform(request: ConformRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut options = Options::all(request.seed.unwrap_or_else(platform::seed));
    options.filter = request.filter.clone();
    let mut failed = Vec::new();
    for (n, target) in targets(&request).await?.into_iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::super::{Command, Runner};
    use super::*;

    /// What a command tells; it is asked to stop once `stop_at` parts are done. With its error, if any.
    fn events(command: Command, stop_at: usize) -> (Vec<Event>, Option<String>) {
        let stop = Stop::default();
        let mut events = Vec::new();
        let result = Runner::new(stop.clone()).run(command, &mut |event| {
            if matches!(event, Event::Progress { done, .. } if done == stop_at) {
                stop.ask();
            }
            events.push(event);
        });
        (events, result.err().map(|error| format!("{error:#}")))
    }

    fn conform_cpu(report: Option<std::path::PathBuf>) -> Command {
        Command::Conform(ConformRequest { device: "cpu".into(), seed: Some(1), filter: Some("swiglu: ".into()), report })
    }

    fn progress(events: &[Event]) -> Vec<(usize, usize)> {
        events.iter().filter_map(|event| if let Event::Progress { done, of, .. } = event { Some((*done, *of)) } else { None }).collect()
    }

    fn reports(events: &[Event]) -> Vec<&Report> {
        events.iter().filter_map(|event| if let Event::Conformance { report, .. } = event { Some(&**report) } else { None }).collect()
    }

    #[test]
    fn conformance_tells_how_far_it_is_and_keeps_what_was_done_when_it_is_stopped() {
        let scratch = std::env::temp_dir().join(format!("signet-conform-{}", std::process::id()));
        platform::make_dir(&scratch).unwrap();
        let (told, error) = events(conform_cpu(Some(scratch.join("whole"))), usize::MAX);
        let of = reports(&told)[0].cases();
        assert!(error.is_none() && of > 3 && reports(&told)[0].passed());
        assert_eq!(progress(&told), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
        assert_eq!(told.iter().filter(|event| matches!(event, Event::Case { .. })).count(), of);

        let (told, error) = events(conform_cpu(Some(scratch.join("whole"))), 2);
        assert_eq!(error.as_deref(), Some(&*format!("CPU: stopped after 2 of {of} cases")));
        let part = reports(&told)[0];
        assert_eq!((part.cases(), progress(&told).len()), (2, 3));
        // The whole report that was there stays.
        let kept = || platform::read_text(&scratch.join("whole.json")).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&kept()).unwrap().cases(), of);

        let save = |name: &str| Command::SaveReport { report: Box::new(part.clone()), path: scratch.join(name) };
        assert!(events(save("part"), usize::MAX).1.is_none());
        assert!(platform::read_text(&scratch.join("part.md")).unwrap().contains("Not all of it was tried: stopped after 2"));
        assert_eq!(serde_json::from_str::<Report>(&platform::read_text(&scratch.join("part.json")).unwrap()).unwrap().cases(), 2);
        let error = events(save("part.md/where"), usize::MAX).1.expect("a file is no folder");
        assert!(error.contains("part.md: the folder could not be made"), "{error}");
        platform::remove_dir(&scratch).unwrap();
    }

    #[test]
    fn benchmarks_tell_how_far_they_are_and_stop() {
        let decode = |tokens| {
            let bench = crate::bench::DecodeBench { size: "tiny".into(), prompt: 4, tokens, dense: true, kernels: false };
            Command::BenchDecode { bench, device: "cpu".into() }
        };
        let (told, error) = events(decode(2), usize::MAX);
        assert!(error.is_none() && matches!(told.last(), Some(Event::BenchDecode(_))), "{error:?}");
        let of = 15;
        assert_eq!(progress(&told), (0..=of).map(|done| (done, of)).collect::<Vec<_>>());
        let stopped = |command: Command, at: usize| {
            let (told, error) = events(command, at);
            let (done, of) = *progress(&told).last().unwrap();
            assert!(done == at && done < of, "{done} of {of}");
            assert_eq!(error.unwrap(), format!("stopped after {done} of {of} parts"));
        };
        stopped(decode(2), 3);
        stopped(Command::BenchMatmul { device: "cpu".into() }, 0);
        stopped(Command::BenchDispatch { device: "cpu".into() }, 4);
        let storage = crate::model::MatrixStorage::F32;
        let bench = crate::bench::TrainBench {
            size: "tiny".into(),
            batch: 1,
            seq: 8,
            steps: 2,
            teacher_storage: storage,
            moments: crate::model::Moments::F32,
            kernels: false,
            recompute: false,
        };
        stopped(Command::BenchTrain { bench, device: "cpu".into() }, 1);
    }
}
