//! Training: a run on one device (`once`), resumed after a device loss (`recover`), and the command suggested after a divergence
//! (`advice`).

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

/// Returns the first free path of `run-1`, `run-2`, … in the folder `runs`. Another process may still create it.
pub fn free_run(runs: &Path) -> Option<PathBuf> {
    numbered(runs).find(|path| !platform::exists(path))
}

/// Handles by which a front end controls a running training.
#[derive(Clone, Copy)]
pub(super) struct TrainControl<'a> {
    pub(super) stop: &'a Stop,
    pub(super) orders: &'a Orders,
}

/// The needs of a training.
pub(super) fn needs(request: &TrainRequest) -> Needs {
    // A resumed run may not need its teacher; if it does and cannot open it, it returns an error.
    if request.resume { Needs::all_assets() } else { Needs::training(request.config.as_ref()) }
}

/// Runs a training and emits its end.
pub(super) async fn train(request: TrainRequest, tuning: Tuning, control: TrainControl<'_>, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let ending = train_to_end(request, tuning, control, emit).await;
    control.orders.clear();
    emit(Event::TrainEnded { finished: ending? == Ending::Finished });
    Ok(())
}

/// Runs a training to its end or a stop request, recovering from a lost device.
pub(super) async fn train_to_end(request: TrainRequest, tuning: Tuning, control: TrainControl<'_>, emit: &mut dyn FnMut(Event)) -> Result<Ending> {
    recover::train(request, tuning, control, emit, recover::RETRY_POLICY, devices::open).await
}
