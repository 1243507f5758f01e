//! Orders that a trainer handles between two steps. The trained numbers do not depend on when orders come:
//! finishing a step early changes no decision.

use super::{Emit, TrainError, Trainer};
use crate::model::{ModelError, snapshot};
use crate::platform::{self, Clock};
use crate::train::orders::{Order, Orders};
use crate::train::train_event::TrainEvent;
use std::sync::Arc;

/// The note for runs without samples.
pub(super) const NO_SAMPLES: &str = "cannot sample: the run was started with sample_every = 0 or without a prompt";
/// Seconds between polls for orders of a paused run.
const POLL_SECONDS: f64 = 0.02;

impl Trainer {
    /// Handles all orders. A paused run stays here until it is resumed, stepped or stopped.
    pub(super) async fn handle_orders(&mut self, orders: &Orders, stop: &dyn Fn() -> bool, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        if self.save_requested {
            self.save_on_request(emit).await?;
        }
        while !stop() {
            match orders.pop() {
                Some(Order::StepOnce) => {
                    orders.pause(true);
                    self.paused_at = None;
                    return Ok(());
                }
                Some(Order::Pause) => orders.pause(true),
                Some(Order::Continue) => self.resume(orders, emit)?,
                Some(order) => {
                    self.finish_last_step(emit).await?;
                    self.handle_order(order, emit).await?;
                }
                None if orders.paused() => self.wait_paused(emit).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn handle_order(&mut self, order: Order, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        match order {
            Order::Pause | Order::Continue | Order::StepOnce => Ok(()),
            Order::Save => self.save_on_request(emit).await,
            Order::Sample if self.sampler.is_none() => self.note(NO_SAMPLES, emit),
            Order::Sample => self.sample(self.state.step + 1, emit).await,
            Order::Change { what } => self.change(what, emit).await,
            Order::Snapshot => self.snapshot(emit).await,
        }
    }

    /// Waits a moment; emits an event when the pause begins.
    async fn wait_paused(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        self.finish_last_step(emit).await?;
        let step = self.state.step;
        if self.paused_at != Some(step) {
            self.paused_at = Some(step);
            emit(TrainEvent::Paused { step });
        }
        let clock = Clock::start();
        platform::sleep(POLL_SECONDS).await;
        self.paused_seconds += clock.seconds();
        Ok(())
    }

    fn resume(&mut self, orders: &Orders, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        if orders.paused() {
            orders.pause(false);
            self.paused_at = None;
            emit(TrainEvent::Resumed { step: self.state.step });
        }
        Ok(())
    }

    async fn save_on_request(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        self.finish_last_step(emit).await?;
        self.save_requested = false;
        let step = self.state.step;
        if !self.save(false, emit).await? {
            self.note(&format!("the checkpoint of step {step} is already saved"), emit)?;
        }
        Ok(())
    }

    async fn snapshot(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let (clock, step) = (Clock::start(), self.state.step);
        match snapshot(&mut self.machine, &self.step.student, &self.tokenizer, &self.chat).await {
            Ok(bytes) => {
                emit(TrainEvent::Snapshot { step, seconds: clock.seconds(), bytes: Arc::new(bytes) });
                Ok(())
            }
            Err(ModelError::File(problem)) => self.note(&format!("cannot take a snapshot of step {step}: {problem}"), emit),
            Err(error) => Err(error.into()),
        }
    }
}
