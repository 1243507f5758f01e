//! Training: a run on a device (`once`), taken up again where the device is lost (`recover`), and the command to continue
//! with where it diverges (`advice`).

mod advice;
mod once;
mod recover;

use super::needs::Needs;
use crate::platform;
use crate::runner::protocol::TrainRequest;
use crate::runner::{Event, Orders, Stop, Tuning, devices};
use crate::train::{Ending, numbered};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The first of `run-1`, `run-2`, … that is free among `runs`, until another process takes it.
pub fn free_run(runs: &Path) -> Option<PathBuf> {
    numbered(runs).find(|path| !platform::exists(path))
}

/// The wishes of a face that reach a training while it runs.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) stop: &'a Stop,
    pub(super) orders: &'a Orders,
}

/// The needs of a training.
pub(super) fn needs(request: &TrainRequest) -> Needs {
    // The teacher may not be needed; a run that does need one says so.
    if request.resume { Needs::program() } else { Needs::training(request.config.as_ref()) }
}

/// Runs a training, and tells its end.
pub(super) async fn train(request: TrainRequest, tuning: Tuning, asked: Asked<'_>, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let ending = to_its_end(request, tuning, asked, emit).await;
    asked.orders.clear();
    emit(Event::TrainEnded { finished: ending? == Ending::Finished });
    Ok(())
}

/// Runs a training to its end, or until it is asked to stop, also through the loss of its device.
pub(super) async fn to_its_end(request: TrainRequest, tuning: Tuning, asked: Asked<'_>, emit: &mut dyn FnMut(Event)) -> Result<Ending> {
    recover::train(request, tuning, asked, emit, recover::PATIENCE, devices::open).await
}
