//! An open GPU: device and queue, with everything that is cached on them.

use super::adapters::{Adapter, missing_limits};
use super::dispatch::{Dispatch, Pipelines};
use super::faults::{DeviceError, Faults, locked};
use super::kernels::{Cooperative, Kernel};
use super::known_failures::{KNOWN_FAILURES, KnownFailure};
use super::signal::Signal;
use crate::platform::IN_PAGE;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether wgpu adds checks of its own to the kernels: bounds, loops, divisions. The conformance
/// is run both ways; training goes without, since the kernels are Signet's own and loop bounding
/// has cost others up to a hundredfold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// As written. A browser ignores this and always checks.
    #[default]
    Off,
    /// With every check.
    On,
}

/// What kernels and timing use beyond core WebGPU, where an adapter has it.
const USED_FEATURES: wgpu::Features =
    wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_F16).union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX).union(wgpu::Features::TIMESTAMP_QUERY);

/// An open GPU.
pub struct Gpu {
    /// Name and backend.
    name: String,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    memory: Option<u64>,
    features: wgpu::Features,
    /// What the adapter has, used or not.
    adapter_features: wgpu::Features,
    /// What is known to be wrong here.
    known_failures: Vec<&'static KnownFailure>,
    cooperative: Vec<Cooperative>,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) faults: Faults,
    pub(super) checks: Checks,
    pub(super) pipelines: Mutex<Pipelines>,
    /// Staging buffers that are free.
    pub(super) staging: Mutex<Vec<wgpu::Buffer>>,
    /// Bytes written since the last submit.
    pub(super) pending: AtomicUsize,
}

impl Gpu {
    /// Opens an adapter, with all the limits it has.
    pub async fn open(adapter: &Adapter, checks: Checks) -> Result<Self, DeviceError> {
        Self::open_within(adapter, checks, u64::MAX, KNOWN_FAILURES).await
    }

    /// As [`Gpu::open`], but at most `binding` bytes can be bound at once, as on a smaller device, and with this table of known
    /// failures.
    pub async fn open_within(adapter: &Adapter, checks: Checks, binding: u64, table: &'static [KnownFailure]) -> Result<Self, DeviceError> {
        adapter.require()?;
        let wanted = wgpu::DeviceDescriptor {
            label: Some("signet"),
            required_features: adapter.features & USED_FEATURES,
            required_limits: wgpu::Limits {
                max_storage_buffer_binding_size: adapter.limits.max_storage_buffer_binding_size.min(binding),
                ..adapter.limits.clone()
            },
            // SAFETY: cooperative matrices are the only experimental feature in USED_FEATURES. Kernels that have
            // them are verified on the adapter at hand before anything else uses them.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        };
        let refused = |error: wgpu::RequestDeviceError| DeviceError::Unopened { device: adapter.name(), reason: error.to_string() };
        let (device, queue) = adapter.wgpu_adapter().await.request_device(&wanted).await.map_err(refused)?;
        Ok(Self {
            name: adapter.name(),
            info: adapter.info.clone(),
            limits: device.limits(),
            memory: adapter.memory(),
            // Of a browser's device wgpu does not tell the subgroups that it was opened with.
            features: device.features() | if IN_PAGE { adapter.features & wgpu::Features::SUBGROUP } else { wgpu::Features::empty() },
            adapter_features: adapter.features,
            known_failures: table.iter().filter(|known| known.applies(&adapter.info)).collect(),
            cooperative: adapter.cooperative(),
            faults: Faults::of(&device),
            checks,
            pipelines: Mutex::default(),
            staging: Mutex::default(),
            pending: AtomicUsize::new(0),
            device,
            queue,
        })
    }

    /// Name and backend.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the driver says about itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Bytes of its own memory, if its backend tells.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Whether this device has what a kernel needs, and is not known to compute it wrongly.
    pub fn can_run(&self, kernel: &Kernel) -> bool {
        self.missing_requirements(kernel).is_none() && self.known_failure(kernel).is_none()
    }

    /// What this device lacks of what a kernel needs, in words; none if it lacks nothing.
    pub fn missing_requirements(&self, kernel: &Kernel) -> Option<String> {
        let features = kernel.features - self.features;
        let names = features.iter_names().map(|(name, _)| format!("the feature {name}"));
        let limits = missing_limits(&self.limits, &[kernel]).into_iter().map(|(limit, have, need)| format!("{limit} of {need} (it has {have})"));
        let matrices = kernel.cooperative.filter(|matrices| !self.cooperative.contains(matrices));
        let matrices = matrices.map(|Cooperative { size, half }| format!("cooperative matrices of {size}×{size} in {}", if half { "f16" } else { "f32" }));
        let invocations: u32 = kernel.workgroup.iter().product();
        let most = self.info.subgroup_max_size;
        let subgroups = (kernel.subgroups * most > invocations).then(|| format!("subgroups of at most {} (it has {most})", invocations / kernel.subgroups));
        let lacks: Vec<String> = names.chain(limits).chain(matrices).chain(subgroups).collect();
        (!lacks.is_empty()).then(|| lacks.join(" and "))
    }

    /// The entry of the table of known failures that is about this kernel on this device.
    pub fn known_failure(&self, kernel: &Kernel) -> Option<&'static KnownFailure> {
        self.known_failures.iter().find(|known| known.covers(kernel)).copied()
    }

    /// The entries of the table of known failures that are about this device.
    pub fn known_failures(&self) -> impl Iterator<Item = &'static KnownFailure> {
        self.known_failures.iter().copied()
    }

    /// What the adapter can do beyond core WebGPU, used or not.
    pub fn adapter_features(&self) -> wgpu::Features {
        self.adapter_features
    }

    /// Whether wgpu's own checks are in its kernels.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// What this device allows.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// What it can do beyond core WebGPU, of what Signet uses.
    pub fn features(&self) -> wgpu::Features {
        self.features
    }

    /// The most bytes that one buffer may have; it may be bound in parts then.
    pub fn max_buffer_bytes(&self) -> u64 {
        self.limits.max_buffer_size
    }

    /// The most bytes that one buffer may have and be bound whole.
    pub fn max_binding_bytes(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// The most workgroups in one dimension of a dispatch.
    pub fn max_workgroups(&self) -> u32 {
        self.limits.max_compute_workgroups_per_dimension
    }

    /// The error that is there, if any: a lost device, or what the driver refused since the last call.
    pub fn check(&self) -> Result<(), DeviceError> {
        self.faults.check()
    }

    /// Submits dispatches, in order, in submits that end at `ends`. Returns before they are done.
    pub fn run(&self, dispatches: &[Dispatch], ends: &[usize]) -> Result<(), DeviceError> {
        self.check()?;
        for (first, &end) in std::iter::once(&0).chain(ends).zip(ends) {
            let dispatches = &dispatches[*first..end];
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass));
            drop(pass);
            self.queue.submit([encoder.finish()]);
            self.poll(wgpu::PollType::Poll);
        }
        self.pending.store(0, Ordering::Relaxed);
        self.check()
    }

    /// Blocks until everything submitted is done. Does nothing in a browser.
    pub fn finish(&self) -> Result<(), DeviceError> {
        self.wait(None);
        self.check()
    }

    /// Waits until everything submitted so far is done.
    pub async fn drain(&self) -> Result<(), DeviceError> {
        self.check()?;
        let (done, wait) = Signal::new();
        self.queue.on_submitted_work_done(move || done.set(Ok(())));
        self.wait(None);
        self.check()?;
        wait.await?;
        self.check()
    }

    /// Why the device is gone, and all its memory with it; `None` while it is there.
    pub fn lost(&self) -> Option<String> {
        self.faults.lost()
    }

    /// Makes the next call fail as if memory had run out.
    #[cfg(test)]
    pub(crate) fn fail_next_allocation(&self) {
        self.faults.fail_next_allocation();
    }

    /// Gives the device up; every later call fails as after a loss, which tests can bring about in no other way.
    pub fn destroy(&self) {
        self.device.destroy();
        self.faults.record_loss("it was given up".into());
    }

    /// Blocks until a submission, or everything submitted, is done. Does nothing in a browser, where
    /// what is waited for comes by itself.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) {
        self.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
    }

    /// wgpu panics when it finds the device lost while polling; here that is recorded as a loss.
    fn poll(&self, how: wgpu::PollType) {
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(how))) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.faults.record_loss(error.to_string()),
            Err(_) => self.faults.record_loss("the driver stopped answering".into()),
        }
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pipelines = locked(&self.pipelines).len();
        f.debug_struct("Gpu").field("name", &self.name).field("checks", &self.checks).field("pipelines", &pipelines).finish_non_exhaustive()
    }
}
