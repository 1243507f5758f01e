//! The report of a step: awaited, judged by the guard, recorded, and acted upon.

use super::{Emit, Launched, Outstanding, TrainError, Trainer};
use crate::train::guard::GuardVerdict;
use crate::train::losses::Losses;
use crate::train::metrics::Metrics;
use crate::train::step::StepReport;
use crate::train::train_event::{GuardAction, TrainEvent};

/// The metrics of a step and the guard's verdict, not yet acted upon.
pub(super) struct Judged {
    metrics: Metrics,
    verdict: GuardVerdict,
    /// Batches read from the data, including this step's.
    cursor: u64,
}

impl Judged {
    /// Returns true if the run keeps this step: it neither rolls back nor ends.
    pub(super) fn keeps_step(&self) -> bool {
        !matches!(self.verdict, GuardVerdict::RollBack(_) | GuardVerdict::GiveUp(_))
    }
}

impl Trainer {
    /// Waits for a step's report, records it and acts on the guard's verdict. Returns true if the run was
    /// rolled back.
    pub(super) async fn finish_step(&mut self, launched: Outstanding, emit: &mut Emit<'_>) -> Result<bool, TrainError> {
        let judged = self.judge(launched).await?;
        self.apply_verdict(judged, None, emit)
    }

    /// Finishes the last step before the next is launched. The threshold of the next step is computed first,
    /// so that it depends on the same reports as otherwise.
    pub(super) async fn finish_last_step(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let Some(last) = self.outstanding.take() else { return Ok(()) };
        self.state.threshold = Some(self.state.guard.threshold(self.state.step + 1));
        self.finish_step(last, emit).await.map(drop)
    }

    /// Waits for a step's report, and returns it with the guard's verdict.
    pub(super) async fn judge(&mut self, outstanding: Outstanding) -> Result<Judged, TrainError> {
        let Outstanding { launched, report } = outstanding;
        let report = report.wait().await?;
        self.state.taken = self.state.taken.map(|taken| taken + u64::from(report.taken));
        let metrics = self.metrics(&launched, &report);
        let verdict = self.state.guard.judge(launched.step, metrics.loss, &report);
        Ok(Judged { metrics, verdict, cursor: launched.cursor })
    }

    /// Records a judged step and acts on the verdict. Returns true if the run was rolled back.
    pub(super) fn apply_verdict(&mut self, judged: Judged, held_out: Option<Losses>, emit: &mut Emit<'_>) -> Result<bool, TrainError> {
        let Judged { metrics, verdict, cursor } = judged;
        let held_out_loss = held_out.map(|losses| losses.minimised(self.config.objective()));
        let metrics = Metrics { held_out, held_out_loss, ..metrics };
        self.restore_folder(emit)?;
        match self.run.record(&metrics) {
            // The directory was removed between the two calls.
            Err(_) if !self.run.is_in_place() => {
                self.restore_folder(emit)?;
                self.run.record(&metrics)?;
            }
            recorded => recorded?,
        }
        let step = metrics.step;
        emit(TrainEvent::Step(Box::new(metrics)));
        match verdict {
            GuardVerdict::Fine => Ok(false),
            GuardVerdict::Skipped(what) => self.emit_guard(step, what, GuardAction::Skipped, emit).map(|()| false),
            GuardVerdict::Spike(what) => self.emit_guard(step, what, GuardAction::Watched, emit).map(|()| false),
            GuardVerdict::RollBack(what) => {
                self.roll_back(cursor)?;
                let action = GuardAction::RolledBack { to: self.state.step, rollbacks: self.state.guard.rollbacks };
                self.emit_guard(step, what, action, emit).map(|()| true)
            }
            GuardVerdict::GiveUp(what) => {
                self.emit_guard(step, what.clone(), GuardAction::GaveUp, emit)?;
                Err(TrainError::Diverged(format!("{what}. The run stopped after the largest number of rollbacks (guard.rollbacks). Use a lower lr")))
            }
        }
    }

    fn emit_guard(&mut self, step: u64, what: String, action: GuardAction, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let event = TrainEvent::Guard { step, what, action };
        self.run.log(&event.line().unwrap_or_default())?;
        emit(event);
        Ok(())
    }

    fn metrics(&mut self, launched: &Launched, report: &StepReport) -> Metrics {
        let done = launched.span.done.unwrap_or_else(|| self.clock.seconds());
        let seconds = launched.span.seconds(std::mem::replace(&mut self.last_done, done), done);
        self.state.seconds = self.earlier + self.clock.seconds() - self.paused_seconds;
        let &Launched { step, tokens, lr, threshold, loss_scale, .. } = launched;
        let taught = self.step.has_teacher();
        let flipped: u64 = report.flips.iter().map(|&flips| u64::from(flips)).sum();
        Metrics {
            step,
            tokens,
            loss: report.losses.minimised(self.config.objective()),
            ad: taught.then_some(report.losses.ad()),
            ar: report.losses.ar(),
            kl: taught.then_some(report.losses.kl()),
            norm: Some(report.norm).filter(|norm| norm.is_finite()),
            lr,
            flip_ratio: flipped as f64 / self.sizes.iter().sum::<usize>().max(1) as f64,
            flips: report.flips.iter().zip(&self.sizes).map(|(&flips, &size)| f64::from(flips) / size as f64).collect(),
            taken: report.taken,
            loss_scale,
            threshold: Some(f64::from(threshold)).filter(|&threshold| threshold < f64::from(f32::MAX)),
            tokens_per_s: self.config.tokens_per_step() as f64 / seconds,
            seconds: self.state.seconds,
            changed: self.changes.at(step).cloned(),
            held_out: None,
            held_out_loss: None,
        }
    }
}
