//! GPU devices: adapters, kernels, buffers, dispatches and readback. This layer does not know tensors.

mod adapters;
mod buffers;
mod dispatch;
mod fallback;
mod faults;
mod gpu;
mod kernels;
mod known_failures;
mod pipelines;
mod readback;
mod signal;
mod timing;

pub use adapters::{Adapter, DeviceChoice, adapters, adapters_of, ranked, select};
pub use dispatch::{Bound, Dispatch};
pub use fallback::{Skipped, first_that_opens};
pub use faults::DeviceError;
pub use gpu::{Checks, Gpu};
pub use kernels::{Access, Cooperative, KERNELS, Kernel, ParamField, kernel};
pub use known_failures::{KNOWN_FAILURES, KernelFilter, KnownFailure};
pub use readback::Readback;
pub use wgpu::Backend;
