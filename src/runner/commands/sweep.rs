//! A grid of runs, one after another. What is done is skipped and what was begun goes on, so that the same
//! request takes a sweep up again wherever it stopped.

use super::plan;
use super::train::{Asked, to_its_end};
use crate::formats::toml_file;
use crate::platform;
use crate::runner::plan_cache::PlanCache;
use crate::runner::protocol::{PlanTrainRequest, SweepRequest, SweepRun, TrainRequest};
use crate::runner::run_inputs::Inputs;
use crate::runner::{Event, Stop, Tuning};
use crate::train::{self, Divergence, Ending, Loss, Member, RunDir, TrainConfig, TrainError};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Plans all runs, and trains them unless it is a dry run.
pub(super) async fn sweep(request: SweepRequest, tuning: Tuning, asked: Asked<'_>, cache: &mut PlanCache, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let about = || format!("sweep {}", request.file.display());
    let text = toml_file(&request.file).context("sweep")?;
    let members = train::members(&text).map_err(|problem| anyhow::anyhow!(problem)).with_context(about)?;
    let runs = planned(members, &request, cache, asked.stop, emit).await.with_context(about)?;
    emit(Event::SweepPlanned { runs: runs.clone() });
    if request.dry {
        return Ok(());
    }
    let mut failed = Vec::new();
    for (n, run) in runs.iter().enumerate().filter(|(_, run)| !run.is_done()) {
        emit(Event::SweepRun { n: n + 1, of: runs.len(), name: run.name.clone() });
        let train = as_request(run, &request);
        match to_its_end(train, tuning, asked, emit).await {
            Ok(Ending::Finished) => {}
            Ok(Ending::Stopped) => {
                emit(Event::SweepEnded { done: runs[..n].len() - failed.len(), of: runs.len(), failed });
                return Ok(());
            }
            // That a combination diverges is a result; the others are still wanted.
            Err(error) if matches!(error.downcast_ref(), Some(TrainError::Diverged(_))) => failed.push(format!("{}: {error}", run.name)),
            Err(error) => return Err(error).with_context(|| format!("run {}", run.name)),
        }
    }
    let problem = failed.first().cloned();
    emit(Event::SweepEnded { done: runs.len() - failed.len(), of: runs.len(), failed });
    match problem {
        Some(problem) => bail!("not all runs came to their end: {problem}"),
        None => Ok(()),
    }
}

fn is_begun(path: &Path) -> bool {
    platform::exists(&path.join("run.toml"))
}

fn as_request(run: &SweepRun, request: &SweepRequest) -> TrainRequest {
    TrainRequest {
        run: run.path.clone(),
        numbered: false,
        config: Some(*run.config.clone()),
        resume: is_begun(&run.path),
        from_step: None,
        device: request.device.clone(),
        memory: request.memory,
    }
}

/// Looks at every run before the first begins: whether it is what was begun in its place, whether what it
/// reads is there and fits together, and whether the device holds it.
async fn planned(members: Vec<Member>, request: &SweepRequest, cache: &mut PlanCache, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<SweepRun>> {
    let (mut runs, mut seen) = (Vec::new(), Vec::new());
    for Member { name, config } in members {
        let path = request.folder.join(&name);
        let step = if is_begun(&path) { done(&path, &config)? } else { 0 };
        let mut run = SweepRun { name, path, config: Box::new(config), step, memory: 0 };
        if !run.is_done() {
            let train = as_request(&run, request);
            // A run that was saved keeps its checkpoint's shape and tokenizer.
            let inputs = (what_it_reads(&run.config), train.saved()?);
            if !seen.contains(&inputs) {
                Inputs::open(&run.config, inputs.1.as_deref(), stop, emit).with_context(|| format!("run {}", run.name))?;
                seen.push(inputs);
            }
            let plan = PlanTrainRequest { train, teacher_shape: None };
            let report = plan::planned(plan, cache).await.with_context(|| format!("run {}", run.name))?;
            if report.fits == Some(false) {
                bail!("run {}: it does not fit; {}. Nothing was begun", run.name, report.advice.unwrap_or_default());
            }
            run.memory = report.plan.total();
        }
        runs.push(run);
    }
    Ok(runs)
}

/// Steps that a run which was begun has saved; refuses one of other settings, or that somebody trains.
fn done(path: &Path, config: &TrainConfig) -> Result<u64> {
    let (run, then) = RunDir::open(path)?;
    train::check_same(path, &then, config).context("give another folder with --runs, or the file its settings back")?;
    Ok(run.checkpoints()?.last().copied().unwrap_or(0))
}

/// The settings that decide what a run opens, those of how it is trained as by default.
fn what_it_reads(config: &TrainConfig) -> TrainConfig {
    let TrainConfig { seed, steps, lr, end_lr, warmup, beta1, beta2, epsilon, weight_decay, clip, guard, .. } = TrainConfig::default();
    let loss = if config.loss == Loss::Ar { Loss::Ar } else { Loss::Ad };
    let divergence = Divergence::Forward;
    TrainConfig { loss, divergence, seed, steps, lr, end_lr, warmup, beta1, beta2, epsilon, weight_decay, clip, guard, ..config.clone() }
}
