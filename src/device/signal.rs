//! A one-shot channel from a callback to a future.

use super::faults::{DeviceError, locked};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// The sender, for the callback.
pub(super) struct Signal(Arc<Mutex<SignalState>>);

/// The future that completes when the callback runs.
#[derive(Debug)]
pub(super) struct SignalFuture(Arc<Mutex<SignalState>>);

#[derive(Debug, Default)]
struct SignalState {
    result: Option<Result<(), DeviceError>>,
    waker: Option<Waker>,
}

impl Signal {
    pub(super) fn new() -> (Self, SignalFuture) {
        let slot = Arc::<Mutex<SignalState>>::default();
        (Self(slot.clone()), SignalFuture(slot))
    }

    pub(super) fn set(self, result: Result<(), DeviceError>) {
        locked(&self.0).result = Some(result);
    }
}

impl Drop for Signal {
    /// Completes the future with an error if the callback is dropped without being called.
    fn drop(&mut self) {
        let mut slot = locked(&self.0);
        slot.result.get_or_insert_with(|| Err(DeviceError::Lost("it dropped a callback".into())));
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl Future for SignalFuture {
    type Output = Result<(), DeviceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = locked(&self.0);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
