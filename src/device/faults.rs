//! GPU errors and their record: a lost device stays lost; any other error is returned by the next call.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// An error of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device is lost, with all its memory.
    #[error("the GPU was lost: {0}. Try again when it is back, or use another device")]
    Lost(String),
    /// A buffer could not be allocated.
    #[error("the GPU has no memory left for {label} ({bytes} bytes). Use a smaller batch, context or model, or another device")]
    OutOfMemory {
        /// The purpose of the buffer.
        label: String,
        /// The size of the buffer.
        bytes: u64,
    },
    /// A buffer exceeds the adapter's limit.
    #[error("{label} needs {bytes} bytes, but this GPU allows {max} in one buffer. Use a smaller model or vocabulary, or another device")]
    TooLarge {
        /// The purpose of the buffer.
        label: String,
        /// The size of the buffer.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The driver or wgpu rejected a call.
    #[error("the GPU rejected a call: {0}. Please report this with the output of `signet conform`")]
    Refused(String),
    /// The driver lists an adapter but cannot open it.
    #[error("{device} cannot be opened: {reason}. Use another device")]
    Unopened {
        /// Its name.
        device: String,
        /// The driver's message.
        reason: String,
    },
    /// No adapter matches the request.
    #[error("{0}")]
    Adapter(String),
}

/// The future of an error scope. It is `Send` natively, but not in a browser.
trait ErrorScope: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend {}
impl<T: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend> ErrorScope for T {}

/// An allocation whose result is not known yet, in a browser.
struct PendingAllocation {
    label: String,
    bytes: u64,
    scope: Pin<Box<dyn ErrorScope>>,
}

/// The recorded errors of a device.
#[derive(Default)]
pub(super) struct Faults {
    record: Arc<Mutex<ErrorRecord>>,
    pending: Mutex<Vec<PendingAllocation>>,
}

#[derive(Default)]
struct ErrorRecord {
    lost: Option<String>,
    errors: Vec<DeviceError>,
}

impl Faults {
    /// Starts recording the errors of `device`.
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

    /// Records the loss of the device.
    pub(super) fn record_loss(&self, reason: String) {
        locked(&self.record).lost.get_or_insert(reason);
    }

    /// The reason of the loss, if the device is lost.
    pub(super) fn lost(&self) -> Option<String> {
        locked(&self.record).lost.clone()
    }

    /// Makes the next call of any kind return an out-of-memory error.
    #[cfg(test)]
    pub(super) fn fail_next_call(&self) {
        locked(&self.record).errors.push(DeviceError::OutOfMemory { label: "a test".into(), bytes: 1 << 40 });
    }

    /// Checks the result of an allocation, now if it is known, else before later calls.
    pub(super) fn watch_allocation(&self, label: &str, bytes: u64, scope: impl Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend + 'static) {
        locked(&self.pending).push(PendingAllocation { label: label.to_owned(), bytes, scope: Box::pin(scope) });
    }

    /// Returns the recorded error, if any.
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
        // The first error is the cause; later ones mostly follow from it.
        match record.errors.drain(..).next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Locks a mutex. Poisoning is ignored, since a panic leaves no partial updates here.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
