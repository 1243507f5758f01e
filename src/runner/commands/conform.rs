//! Conformance tests: each operation and complete models on a device against the float64 reference.

use super::save;
use crate::certify;
use crate::conform::{self, ConformOptions, ConformTarget, ConformUpdate, Report};
use crate::device::{Adapter, DeviceChoice, Skipped, adapters, first_that_opens, ranked, select};
use crate::platform;
use crate::runner::{ConformRequest, Event, Stop};
use anyhow::{Context, Result, bail};

/// Runs the conformance tests; returns an error if any case failed. A stop request takes effect between two cases, and the
/// report then has the cases that were run.
pub(super) async fn conform(request: ConformRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut options = ConformOptions::all(request.seed.unwrap_or_else(platform::seed));
    options.filter = request.filter.clone();
    let (targets, skipped) = targets(&request).await?;
    let mut failed = Vec::new();
    for Skipped { device, reason } in skipped {
        emit(Event::Note { text: format!("{device} cannot be used ({reason})") });
        // With `all`, a device that does not open counts as failed; `auto` uses another.
        failed.extend((request.device == "all").then_some(device));
    }
    for (n, target) in targets.into_iter().enumerate() {
        if stop.is_requested() {
            bail!("conformance stopped before all devices were tested");
        }
        let report = conform_one(&target, &options, stop, emit).await;
        if !report.passed() {
            failed.push(target.name());
        }
        // A partial report does not replace an existing one.
        if let (Some(path), false) = (&request.report, stop.is_requested() && report.cut.is_some()) {
            let name = path.file_name().with_context(|| format!("--report {}: not a file name", path.display()))?.to_string_lossy();
            let numbered = if request.device == "all" { path.with_file_name(format!("{name}-{n}")) } else { path.clone() };
            save::report_as(&numbered, &report)?;
        }
        let cut = report.cut.clone();
        emit(Event::Conformance { table: report.table(), report: Box::new(report) });
        if let (Some(why), true) = (cut, stop.is_requested()) {
            bail!("{}: {why}", target.name());
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("the conformance failed on {}", failed.join(", ")) }
}

/// Tests the operations of a device, and complete models unless there is a filter.
async fn conform_one(target: &ConformTarget, options: &ConformOptions, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Report {
    let models = if options.filter.is_none() { certify::count(target) } else { 0 };
    let mut operations = 0;
    let progress = |done: usize, of: usize| Event::Progress { done, of: of + models, note: target.name() };
    let mut report = conform::run(target, options, |update| {
        match update {
            ConformUpdate::Case(result) => emit(Event::Case { device: target.name(), result: result.clone() }),
            ConformUpdate::Done { done, of } => {
                operations = of;
                emit(progress(done, of));
            }
        }
        !stop.is_requested()
    })
    .await;
    if models > 0 && report.cut.is_none() {
        report.models = certify::models(target, &|| stop.is_requested(), |done| emit(progress(operations + done, operations))).await;
        if report.models.len() < models {
            report.cut = Some(format!("stopped after {} of {models} complete models", report.models.len()));
        }
    }
    report
}

/// Returns the devices to test, and those that do not open.
async fn targets(request: &ConformRequest) -> Result<(Vec<ConformTarget>, Vec<Skipped>)> {
    let adapters = adapters().await;
    let both = async |adapter: &&Adapter| ConformTarget::both_ways(adapter).await;
    let Ok(choice) = request.device.parse::<DeviceChoice>();
    match choice {
        _ if request.device == "all" => {
            let (mut targets, mut skipped) = (vec![ConformTarget::Cpu], Vec::new());
            for adapter in &adapters {
                let (target, failed) = first_that_opens([adapter], |adapter| adapter.name(), &both).await;
                targets.extend(target);
                skipped.extend(failed);
            }
            Ok((targets, skipped))
        }
        DeviceChoice::Auto => {
            let (target, skipped) = first_that_opens(ranked(&adapters), |adapter| adapter.name(), &both).await;
            Ok((vec![target.unwrap_or(ConformTarget::Cpu)], skipped))
        }
        choice => match select(&adapters, &choice)? {
            Some(adapter) => Ok((vec![ConformTarget::both_ways(adapter).await?], Vec::new())),
            None => Ok((vec![ConformTarget::Cpu], Vec::new())),
        },
    }
}
