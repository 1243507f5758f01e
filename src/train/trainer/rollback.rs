//! Rollbacks: to the last scheduled checkpoint, never to one of a stop or a request, so that interruptions do
//! not change the trained numbers.

use super::{SavedCheckpoint, TrainError, Trainer};
use crate::graph::Machine;
use crate::platform;
use crate::train::checkpoint::{Checkpoint, TrainState, clear_gradients, restore};
use crate::train::record::RunRecord;
use crate::train::run_dir::{RunDir, checkpoint, checkpoints};
use crate::train::step::Step;
use crate::train::train_config::TrainConfig;
use std::path::Path;

impl Trainer {
    /// Restores the last scheduled checkpoint (or the first weights), and continues with the data after `past`.
    pub(super) fn roll_back(&mut self, past: u64) -> Result<(), TrainError> {
        let target = last_scheduled(self.run.path(), self.config.checkpoint_every)?;
        let earlier = match target {
            Some(step) => with_taken_steps(restore(&self.run.checkpoint(step), &mut self.machine, &self.step.student)?.state, &self.run)?,
            None => {
                (self.first_weights)(&mut self.machine, &self.step)?;
                clear_moments(&mut self.machine, &self.step)?;
                clear_gradients(&mut self.machine, &self.step.student)?;
                self.first_state.clone()
            }
        };
        // A resume would continue from the checkpoints that are discarded here. The latest is removed first,
        // so that a resume after a kill in between replays up to this rollback.
        for step in self.run.remove_after(earlier.step)? {
            self.run.log(&format!("checkpoint of step {step} removed by a rollback"))?;
        }
        let mut guard = self.state.guard.clone();
        guard.rolled_back(earlier.guard.clone());
        self.state = TrainState { guard, cursor: past, seconds: self.state.seconds, device: self.device.clone(), ..earlier };
        self.saved = target.map(|step| SavedCheckpoint { step, scheduled: true });
        self.rolled_back = true;
        Ok(self.run.cut(self.state.step).map(drop)?)
    }
}

/// Returns the step of the last scheduled checkpoint of `run`; `every` is its `checkpoint_every`. A
/// directory without a state is not a checkpoint.
pub fn last_scheduled(run: &Path, every: u64) -> Result<Option<u64>, TrainError> {
    for step in checkpoints(run)?.into_iter().rev() {
        let path = checkpoint(run, step);
        if platform::exists(&path.join("state.json")) && Checkpoint::read(&path)?.state.is_scheduled(every) {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// Prunes the checkpoints of a run: keeps the last `keep`, the one of the lowest held-out loss, `best`, and the target of a
/// rollback. If one cannot be read, the target is unknown, and none is removed; a rollback would report the error.
pub(super) fn prune(run: &RunDir, config: &TrainConfig, best: Option<u64>) -> Result<(), TrainError> {
    match last_scheduled(run.path(), config.checkpoint_every) {
        Ok(target) => Ok(run.prune(config.keep, &[best, target])?),
        Err(_) => Ok(()),
    }
}

/// Removes steps after `step` from `metrics.jsonl`; returns a note if the rest differs from the checkpoint's record.
pub(super) fn damaged_metrics(run: &mut RunDir, step: u64, record: Option<&RunRecord>) -> Result<Option<String>, TrainError> {
    let gaps = run.cut(step)?;
    if gaps.is_empty() && record.is_none_or(|record| run.has_recorded(record)) {
        return Ok(None);
    }
    let named = if gaps.is_empty() { String::new() } else { format!(" ({gaps})") };
    let depends = match record {
        Some(_) => "Training does not depend on it, but curves do",
        None => "Curves depend on it, and with a checkpoint of an earlier version the number of steps taken",
    };
    Ok(Some(format!("metrics.jsonl is damaged, or was changed: up to step {step} it is not what was recorded{named}. {depends}")))
}

/// Verifies and cleans up a finished run: returns an error if its changes differ from its last checkpoint, a note if its
/// metrics do. Prunes checkpoints, since it may have been killed before it did.
pub fn close(run: &mut RunDir, config: &TrainConfig) -> Result<Option<String>, TrainError> {
    let Some(last) = run.checkpoints()?.pop() else { return Ok(None) };
    let Checkpoint { state, run: record, .. } = Checkpoint::read(&run.checkpoint(last))?;
    let then = record.as_ref().map(RunRecord::changes);
    run.changes(then.as_ref(), last, |_| Ok(()))?;
    prune(run, config, state.best.map(|(step, _)| step))?;
    damaged_metrics(run, last, record.as_ref())
}

/// Returns the state of a checkpoint with the number of taken steps, counted if it is absent.
pub(super) fn with_taken_steps(state: TrainState, run: &RunDir) -> Result<TrainState, TrainError> {
    let taken = match state.taken {
        Some(taken) => taken,
        None => state.step.saturating_sub(run.skipped(state.step)?),
    };
    Ok(TrainState { taken: Some(taken), ..state })
}

/// Sets both moments of every parameter to zero.
fn clear_moments(machine: &mut Machine, step: &Step) -> Result<(), TrainError> {
    for location in step.student.moments().flat_map(|(_, locations)| locations) {
        machine.write(&location, &vec![0; location.spec.words()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Variants;
    use crate::train::guard::{Guard, GuardConfig};

    /// Writes the state of a scheduled or requested checkpoint.
    fn save(run: &RunDir, step: u64, scheduled: bool) {
        let new = TrainState::new(Guard::new(GuardConfig::default(), 1.0), "a device");
        let state = TrainState { step, scheduled: Some(scheduled), ..new };
        platform::make_dir(&run.checkpoint(step)).unwrap();
        platform::write_atomic(&run.checkpoint(step).join("state.json"), &serde_json::to_vec(&state).unwrap()).unwrap();
    }

    #[test]
    fn pruning_spares_the_target_of_a_rollback_also_where_a_checkpoint_cannot_be_read() {
        let dir = std::env::temp_dir().join(format!("signet-rollback-prune-{}", std::process::id()));
        platform::remove_dir(&dir).unwrap();
        let config = TrainConfig { keep: 1, ..TrainConfig::default() };
        let run = RunDir::create(&dir, &config, &Variants::default()).unwrap();
        let saved = [(10, true), (20, true), (31, false), (32, false), (33, false)];
        saved.into_iter().for_each(|(step, scheduled)| save(&run, step, scheduled));
        let file = run.checkpoint(32).join("state.json");
        let whole = platform::read(&file).unwrap();
        // An unreadable checkpoint may be the newest of the schedule, so none is removed.
        for unreadable in ["{", r#"{"format": 99}"#] {
            platform::write_atomic(&file, unreadable.as_bytes()).unwrap();
            prune(&run, &config, None).unwrap();
            assert_eq!(run.checkpoints().unwrap(), [10, 20, 31, 32, 33], "{unreadable}");
        }
        platform::write_atomic(&file, &whole).unwrap();
        prune(&run, &config, Some(10)).unwrap();
        assert_eq!(run.checkpoints().unwrap(), [10, 20, 33]);
        prune(&run, &config, None).unwrap();
        assert_eq!(run.checkpoints().unwrap(), [20, 33]);
        drop(run);
        platform::remove_dir(&dir).unwrap();
    }
}
