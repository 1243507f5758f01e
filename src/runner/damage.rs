//! Errors about damaged checkpoints: adds the newest intact checkpoint and how to use it.

use super::kind::has_settings;
use super::protocol::TrainRequest;
use super::resume::{AdvisedError, resume_command};
use crate::train::{Checkpoint, checkpoint, checkpoints, newest_intact};
use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};

/// Returns an error if the checkpoint to resume from does not exist or its state cannot be read.
pub(super) fn check_resume(request: &TrainRequest) -> Result<()> {
    let steps = checkpoints(&request.run)?;
    let step = match request.from_step {
        Some(step) if !steps.contains(&step) => {
            let list = steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            bail!("--from-step {step}: {} has no checkpoint of this step. Its checkpoints: {list}", request.run.display())
        }
        Some(step) => step,
        None => match steps.last() {
            Some(&last) => last,
            None => return Ok(()),
        },
    };
    Checkpoint::read(&checkpoint(&request.run, step)).map(drop).map_err(|error| with_older(error.into(), request))
}

/// Adds to an error of a training that names a damaged checkpoint the command that resumes from an older one.
pub(super) fn with_older(error: anyhow::Error, request: &TrainRequest) -> anyhow::Error {
    let run = &request.run;
    // Newest first, since the path of a step can be a prefix of a later step's.
    let damaged = checkpoints(run).ok().and_then(|steps| steps.into_iter().rev().find(|&step| mentions(&error, &checkpoint(run, step))));
    let Some(step) = damaged else { return error };
    match newest_intact(run, step.saturating_add(1)) {
        // The checkpoint is intact: the error has another cause.
        Some(newest) if newest == step => error,
        Some(older) => {
            let command = resume_command(run, &request.device, request.memory);
            let advice = format!("Resume from it with `{command} --from-step {older}`; later ones are moved aside, not deleted");
            AdvisedError(format!("{error:#}. The newest intact checkpoint is that of step {older}. {advice}")).into()
        }
        None => AdvisedError(format!("{error:#}. No older checkpoint is intact. Start a new run under another --name")).into(),
    }
}

fn mentions(error: &anyhow::Error, path: &Path) -> bool {
    format!("{error:#}").contains(&path.display().to_string())
}

/// Adds to an error that names the damaged newest checkpoint of a run in `opened` the newest intact one. `opened` are the
/// paths that the command opens as models.
pub(super) fn with_older_model(error: anyhow::Error, opened: Vec<PathBuf>) -> anyhow::Error {
    let runs: Vec<PathBuf> = opened.into_iter().filter(|path| has_settings(path)).collect();
    let damaged = |run: &&PathBuf| checkpoints(run).ok().and_then(|mut steps| steps.pop()).filter(|&step| mentions(&error, &checkpoint(run, step)));
    let Some((run, step)) = runs.iter().find_map(|run| Some((run, damaged(&run)?))) else { return error };
    match newest_intact(run, step.saturating_add(1)) {
        // The checkpoint is intact: the error has another cause.
        Some(newest) if newest == step => error,
        Some(older) => anyhow!("{error:#}. The newest intact checkpoint of this run is {}. Pass its path", checkpoint(run, older).display()),
        None => anyhow!("{error:#}. No checkpoint of this run is intact"),
    }
}
