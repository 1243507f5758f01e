//! What can go wrong on a GPU, and the record of it: a lost device stays lost, any other error is
//! given to whoever calls next.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What went wrong on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device is gone, and all its memory with it.
    #[error("the GPU was lost: {0}; try again when it is back, or on another device")]
    Lost(String),
    /// A buffer could not be had.
    #[error("the GPU has no memory for {label} ({bytes} bytes); use a smaller batch, context or model, or another device")]
    OutOfMemory {
        /// What it was for.
        label: String,
        /// Its size.
        bytes: u64,
    },
    /// A buffer is larger than the adapter allows.
    #[error("{label} takes {bytes} bytes, and this GPU allows {most} in one buffer; use a smaller model or vocabulary, or another device")]
    TooLarge {
        /// What it was for.
        label: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// The driver or wgpu refused a call.
    #[error("the GPU refused a call: {0}; please report this with the output of `signet conform`")]
    Refused(String),
    /// The driver lists an adapter and does not open it.
    #[error("{device} cannot be opened: {reason}; choose another device")]
    Unopened {
        /// Its name.
        device: String,
        /// The driver's message.
        reason: String,
    },
    /// No adapter fits what was asked for.
    #[error("{0}")]
    Adapter(String),
}

/// The outcome of an error scope. wgpu's future can be sent to other threads natively, and not in a browser.
trait ErrorScope: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend {}
impl<T: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend> ErrorScope for T {}

/// An allocation whose outcome the browser has not told yet.
struct PendingAllocation {
    label: String,
    bytes: u64,
    scope: Pin<Box<dyn ErrorScope>>,
}

/// The errors of one device.
#[derive(Default)]
pub(super) struct Faults {
    record: Arc<Mutex<Record>>,
    pending: Mutex<Vec<PendingAllocation>>,
}

#[derive(Default)]
struct Record {
    lost: Option<String>,
    errors: Vec<DeviceError>,
}

impl Faults {
    /// Records what happens to `device` from now on.
    pub(super) fn of(device: &wgpu::Device) -> Self {
        let faults = Self::default();
        let record = faults.record.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}") } else { message };
            locked(&record).lost.get_or_insert(message);
        });
        let record = faults.record.clone();
        device.on_uncaptured_error(Arc::new(move |error| locked(&record).errors.push(DeviceError::Refused(error.to_string()))));
        faults
    }

    /// Records that the device is gone.
    pub(super) fn record_loss(&self, reason: String) {
        locked(&self.record).lost.get_or_insert(reason);
    }

    /// Why the device is gone, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        locked(&self.record).lost.clone()
    }

    /// As if an allocation had failed, to be told to whoever calls next.
    #[cfg(test)]
    pub(super) fn fail_next_allocation(&self) {
        locked(&self.record).errors.push(DeviceError::OutOfMemory { label: "a test".into(), bytes: 1 << 40 });
    }

    /// Looks at the outcome of an allocation, now if it is known and before later calls if not.
    pub(super) fn watch_allocation(&self, label: &str, bytes: u64, scope: impl Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend + 'static) {
        locked(&self.pending).push(PendingAllocation { label: label.to_owned(), bytes, scope: Box::pin(scope) });
    }

    /// The error that is there, if any.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        let mut context = Context::from_waker(Waker::noop());
        locked(&self.pending).retain_mut(|pending| match pending.scope.as_mut().poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                if outcome.is_some() {
                    let error = DeviceError::OutOfMemory { label: std::mem::take(&mut pending.label), bytes: pending.bytes };
                    locked(&self.record).errors.push(error);
                }
                false
            }
        });
        let mut record = locked(&self.record);
        if let Some(reason) = &record.lost {
            return Err(DeviceError::Lost(reason.clone()));
        }
        // The first error is the cause; those after it mostly follow from it.
        match record.errors.drain(..).next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// A lock; a panic elsewhere leaves nothing half done here.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
