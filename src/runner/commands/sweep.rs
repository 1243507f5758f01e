//! Trains a grid of runs, one after another. Finished runs are skipped and started ones resumed, so that the same request resumes
//! a sweep.

use super::plan;
use super::train::{TrainControl, train_to_end};
use crate::formats::toml_file;
use crate::platform;
use crate::runner::plan_cache::PlanCache;
use crate::runner::protocol::{PlanTrainRequest, SweepRequest, SweepRun, TrainRequest};
use crate::runner::run_inputs::Inputs;
use crate::runner::{Event, Stop, Tuning};
use crate::train::{self, Divergence, Ending, Loss, Member, RunDir, TrainConfig, TrainError};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Plans all runs, and trains them unless the request is a dry run.
pub(super) async fn sweep(request: SweepRequest, tuning: Tuning, control: TrainControl<'_>, cache: &mut PlanCache, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let describe = || format!("sweep {}", request.file.display());
    let text = toml_file(&request.file).context("sweep")?;
    let members = train::members(&text).map_err(|problem| anyhow::anyhow!(problem)).with_context(describe)?;
    let runs = planned(members, &request, cache, control.stop, emit).await.with_context(describe)?;
    emit(Event::SweepPlanned { runs: runs.clone() });
    if request.dry {
        return Ok(());
    }
    let mut failed = Vec::new();
    for (n, run) in runs.iter().enumerate().filter(|(_, run)| !run.is_done()) {
        emit(Event::SweepRun { n: n + 1, of: runs.len(), name: run.name.clone() });
        let train = as_request(run, &request);
        match train_to_end(train, tuning, control, emit).await {
            Ok(Ending::Finished) => {}
            Ok(Ending::Stopped) => {
                emit(Event::SweepEnded { done: runs[..n].len() - failed.len(), of: runs.len(), failed });
                return Ok(());
            }
            // A combination that diverges is a result; the sweep continues with the others.
            Err(error) if matches!(error.downcast_ref(), Some(TrainError::Diverged(_))) => failed.push(format!("{}: {error}", run.name)),
            Err(error) => return Err(error).with_context(|| format!("run {}", run.name)),
        }
    }
    let problem = failed.first().cloned();
    emit(Event::SweepEnded { done: runs.len() - failed.len(), of: runs.len(), failed });
    match problem {
        Some(problem) => bail!("some runs failed: {problem}"),
        None => Ok(()),
    }
}

fn is_started(path: &Path) -> bool {
    platform::exists(&path.join("run.toml"))
}

fn as_request(run: &SweepRun, request: &SweepRequest) -> TrainRequest {
    TrainRequest {
        run: run.path.clone(),
        numbered: false,
        config: Some(*run.config.clone()),
        resume: is_started(&run.path),
        from_step: None,
        device: request.device.clone(),
        memory: request.memory,
    }
}

/// Plans and checks all runs before the first starts: that a started run has the same settings, that its inputs exist and
/// fit together, and that it fits on the device.
async fn planned(members: Vec<Member>, request: &SweepRequest, cache: &mut PlanCache, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<SweepRun>> {
    let (mut runs, mut seen) = (Vec::new(), Vec::new());
    for Member { name, config } in members {
        let path = request.folder.join(&name);
        let step = if is_started(&path) { saved_step(&path, &config)? } else { 0 };
        let mut run = SweepRun { name, path, config: Box::new(config), step, memory: 0 };
        if !run.is_done() {
            let train = as_request(&run, request);
            // A resumed run keeps its checkpoint's shape and tokenizer.
            let inputs = (input_settings(&run.config), train.saved()?);
            if !seen.contains(&inputs) {
                Inputs::open(&run.config, inputs.1.as_deref(), stop, emit).with_context(|| format!("run {}", run.name))?;
                seen.push(inputs);
            }
            let plan = PlanTrainRequest { train, teacher_shape: None };
            let report = plan::planned(plan, cache).await.with_context(|| format!("run {}", run.name))?;
            if report.fits == Some(false) {
                bail!("run {}: does not fit in memory; {}. No run was started", run.name, report.advice.unwrap_or_default());
            }
            run.memory = report.plan.total();
        }
        runs.push(run);
    }
    Ok(runs)
}

/// Returns the step of a started run's last checkpoint; an error if its settings differ or another process trains it.
fn saved_step(path: &Path, config: &TrainConfig) -> Result<u64> {
    let (run, then) = RunDir::open(path)?;
    train::check_same(path, &then, config)
        .context("the settings differ from those of the existing run. Choose another folder with --runs, or restore the settings in the file")?;
    Ok(run.checkpoints()?.last().copied().unwrap_or(0))
}

/// Returns a run's settings with those that do not affect its inputs at their defaults.
fn input_settings(config: &TrainConfig) -> TrainConfig {
    let TrainConfig { seed, steps, lr, end_lr, warmup, beta1, beta2, epsilon, weight_decay, clip, guard, .. } = TrainConfig::default();
    let loss = if config.loss == Loss::Ar { Loss::Ar } else { Loss::Ad };
    let divergence = Divergence::Forward;
    TrainConfig { loss, divergence, seed, steps, lr, end_lr, warmup, beta1, beta2, epsilon, weight_decay, clip, guard, ..config.clone() }
}
