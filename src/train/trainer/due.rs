//! Work that is due after a step: evaluation on held-out text, a sample, a checkpoint.

use super::rollback::prune;
use super::{Emit, Outstanding, SavedCheckpoint, TrainError, Trainer};
use crate::infer::{DecodeQueue, Sampler, Sampling};
use crate::model::{ChatFormat, generation_config, tokenizer_config};
use crate::platform;
use crate::train::changes::Changes;
use crate::train::checkpoint::{TrainState, save};
use crate::train::svg;
use crate::train::train_event::TrainEvent;

/// The work that is due after a step.
#[derive(Clone, Copy)]
pub(super) struct Due {
    evaluate: bool,
    sample: bool,
    /// True if a scheduled checkpoint is due, of this step or postponed from an earlier one.
    save: bool,
    /// True at the last step, whose checkpoint is written whatever the guard's verdict.
    last: bool,
}

impl Due {
    /// Returns true if any work is due.
    pub(super) fn any(self) -> bool {
        self.evaluate || self.sample || self.save
    }
}

impl Trainer {
    pub(super) fn due(&self) -> Due {
        let (step, config) = (self.state.step, &self.config);
        let last = step == config.steps;
        let every = |n: u64| last || (n > 0 && step.is_multiple_of(n));
        let sample = config.sample_every > 0 && every(config.sample_every);
        Due { evaluate: every(config.eval_every), sample, save: self.state.save_pending || every(config.checkpoint_every), last }
    }

    /// Evaluates, samples and saves, as due. A checkpoint amid spikes would be a bad target of a rollback,
    /// so the guard judges the step first, and such a checkpoint is postponed.
    pub(super) async fn run_due(&mut self, due: Due, last: Outstanding, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let judged = self.judge(last).await?;
        let quiet = !self.state.guard.suspicious();
        let save = due.save && (quiet || due.last);
        let evaluate = judged.keeps_step() && (due.evaluate || save);
        let held_out_losses = if evaluate { Some(self.step.evaluate(&mut self.machine, &self.held_out_batches).await?) } else { None };
        if self.apply_verdict(judged, held_out_losses, emit)? {
            return Ok(());
        }
        self.state.save_pending = due.save && !save;
        let step = self.state.step;
        if let Some(losses) = held_out_losses {
            emit(TrainEvent::HeldOut { step, losses });
        }
        if due.sample {
            self.sample(step, emit).await?;
        }
        if save {
            let loss = held_out_losses.map(|losses| losses.minimised(self.config.objective()));
            if let Some(loss) = loss.filter(|loss| self.state.best.is_none_or(|(_, best)| *loss < best)) {
                self.state.best = Some((step, loss));
            }
            self.save(quiet, emit).await?;
        }
        Ok(())
    }

    /// Samples a text with the prompt at step `step`.
    pub(super) async fn sample(&mut self, step: u64, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let text = self.changes.over(&self.config, step).sample_prompt;
        let Some((engine, prompt)) = &mut self.sampler else { return Ok(()) };
        let sampler = Sampler::new(Sampling { seed: self.config.seed, ..Sampling::default() }, engine.vocabulary());
        engine.rewind(0);
        let mut ids = if text == self.config.sample_prompt { prompt.clone() } else { self.tokenizer.encode(&text)? };
        engine.set_sampler(&mut self.machine, sampler, &ids)?;
        let ends = self.tokenizer.ends();
        let mut queue = DecodeQueue::new(engine, &mut self.machine, &ids, self.config.sample_tokens)?;
        while let Some(next) = queue.next(engine, &mut self.machine).await? {
            ids.push(next);
            if ends.contains(&next) {
                break;
            }
        }
        let text = self.tokenizer.decode(&ids, true)?;
        self.run.sample(self.state.step, &text)?;
        emit(TrainEvent::Sample { step: self.state.step, text });
        Ok(())
    }

    /// Recreates the run's directory if it is gone: the trained weights are still on the device.
    pub(super) fn restore_folder(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        if self.run.is_in_place() {
            return Ok(());
        }
        if !self.run.recreate()? {
            return self.note(&format!("{}: its lock file was missing; locked a second time", self.run.path().display()), emit);
        }
        if self.changes != Changes::default() {
            self.run.write_changes(&self.changes)?;
        }
        self.save_requested = true;
        self.note(&format!("{}: its folder was gone, or run.toml in it; recreated, and saved after this step", self.run.path().display()), emit)
    }

    /// Writes a checkpoint and the curves, and prunes checkpoints; does nothing if there is an up-to-date
    /// checkpoint of this step. Returns true if it wrote one. A rollback may go back to it if `scheduled`: otherwise its
    /// target would depend on when a run was stopped or saved on request.
    pub(super) async fn save(&mut self, scheduled: bool, emit: &mut Emit<'_>) -> Result<bool, TrainError> {
        self.restore_folder(emit)?;
        let step = self.state.step;
        let path = self.run.checkpoint(step);
        let before = self.saved.filter(|saved| saved.step == step && platform::exists(&path));
        // After a rollback to this checkpoint it is written a second time: otherwise a change of settings now would not replay
        // after that rollback. It stays a target of rollbacks, since they only restore the guard's memory of it, which has not
        // changed.
        let scheduled = scheduled || before.is_some_and(|saved| saved.scheduled);
        if !self.rolled_back && before.is_some_and(|saved| saved.scheduled || !scheduled) {
            return Ok(false);
        }
        let config = serde_json::to_string_pretty(&self.step.student.config).expect("a configuration is plain data");
        let generation = generation_config(&self.tokenizer, &self.chat);
        let mut files = vec![("config.json", config), ("generation_config.json", generation), ("tokenizer.json", self.tokenizer.to_json()?)];
        if self.chat != ChatFormat::default() || self.tokenizer.splits_special() {
            let context = self.step.student.config.max_position_embeddings;
            files.push(("tokenizer_config.json", tokenizer_config(&self.tokenizer, &self.chat, context)));
        }
        let state = TrainState { scheduled: Some(scheduled), ..self.state.clone() };
        self.run.sync()?;
        save(&path, &mut self.machine, &self.step, &state, &files, &self.run.run_record(&self.changes)).await?;
        self.saved = Some(SavedCheckpoint { step, scheduled });
        self.rolled_back = false;
        prune(&self.run, &self.config, self.state.best.map(|(step, _)| step))?;
        self.draw(emit)?;
        self.run.log(&format!("checkpoint of step {step}"))?;
        emit(TrainEvent::Saved { step, path: path.display().to_string() });
        Ok(true)
    }

    /// Redraws curves.svg, after reading the steps recorded since the last time.
    fn draw(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        for line in self.curves.read_new(self.run.path(), &|| false)? {
            self.note(&format!("skipped in curves.svg: {line}"), emit)?;
        }
        if !cfg!(feature = "pictures") {
            return Ok(());
        }
        match svg(&[(&self.curves).into()]) {
            Ok(svg) => Ok(self.run.curves(&svg)?),
            Err(problem) => self.note(&format!("cannot draw curves.svg: {problem}"), emit),
        }
    }
}
