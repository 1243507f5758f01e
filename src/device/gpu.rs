//! An open GPU: device and queue, with their caches.

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

/// wgpu's runtime checks in kernels: bounds, loops, divisions. Conformance tests run with and without them. Training
/// runs without them: it runs no kernels but Signet's own, and the check of loops can make them up to a hundred times
/// slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// No checks. A browser ignores this and always checks.
    #[default]
    Off,
    /// All checks.
    On,
}

/// Optional features that kernels and timing use if the adapter has them.
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
    /// All features of the adapter, used or not.
    adapter_features: wgpu::Features,
    /// Kernels that are known to give wrong results on this device.
    known_failures: Vec<&'static KnownFailure>,
    cooperative: Vec<Cooperative>,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) faults: Faults,
    pub(super) checks: Checks,
    /// Returns the source of a kernel's module.
    pub(super) source: fn(&Kernel) -> String,
    pub(super) pipelines: Mutex<Pipelines>,
    /// Free staging buffers.
    pub(super) staging: Mutex<Vec<wgpu::Buffer>>,
    /// Bytes written to buffers since the last submission.
    pub(super) pending: AtomicUsize,
}

impl Gpu {
    /// Opens an adapter with all its limits.
    pub async fn open(adapter: &Adapter, checks: Checks) -> Result<Self, DeviceError> {
        Self::open_within(adapter, checks, u64::MAX, KNOWN_FAILURES).await
    }

    /// Like [`Gpu::open`], but with a binding limit of `binding` bytes, as on a smaller device, and with `table` as the
    /// table of known failures.
    pub async fn open_within(adapter: &Adapter, checks: Checks, binding: u64, table: &'static [KnownFailure]) -> Result<Self, DeviceError> {
        adapter.require()?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("signet"),
            required_features: adapter.features & USED_FEATURES,
            required_limits: wgpu::Limits {
                max_storage_buffer_binding_size: adapter.limits.max_storage_buffer_binding_size.min(binding),
                ..adapter.limits.clone()
            },
            // SAFETY: cooperative matrices are the only experimental feature in USED_FEATURES. The tuner verifies
            // kernels that use them on the adapter before it selects one; a resumed run keeps its variants, which
            // were verified on the adapter where it started.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        };
        let refused = |error: wgpu::RequestDeviceError| DeviceError::Unopened { device: adapter.name(), reason: error.to_string() };
        let (device, queue) = adapter.wgpu_adapter().await.request_device(&descriptor).await.map_err(refused)?;
        Ok(Self {
            name: adapter.name(),
            info: adapter.info.clone(),
            limits: device.limits(),
            memory: adapter.memory(),
            // In a browser, wgpu does not report subgroups of an open device.
            features: device.features() | if IN_PAGE { adapter.features & wgpu::Features::SUBGROUP } else { wgpu::Features::empty() },
            adapter_features: adapter.features,
            known_failures: table.iter().filter(|known| known.applies(&adapter.info)).collect(),
            cooperative: adapter.cooperative(),
            faults: Faults::of(&device),
            checks,
            source: |kernel| kernel.source.to_owned(),
            pipelines: Mutex::default(),
            staging: Mutex::default(),
            pending: AtomicUsize::new(0),
            device,
            queue,
        })
    }

    /// Replaces the source of each kernel's module with the result of `source`, for tests.
    pub fn rewriting(self, source: fn(&Kernel) -> String) -> Self {
        Self { source, ..self }
    }

    /// Like [`Gpu::rewriting`], and offers cooperative matrices of these kinds with subgroups of `subgroup` invocations, for
    /// tests on adapters without them: `source` replaces them by loops.
    pub fn expanding(self, matrices: &[Cooperative], subgroup: u32, source: fn(&Kernel) -> String) -> Self {
        let features = self.features | wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let info = wgpu::AdapterInfo { subgroup_max_size: subgroup, ..self.info };
        Self { source, features, info, cooperative: matrices.to_vec(), ..self }
    }

    /// Name and backend.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Information from the driver.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Bytes of device memory, if the backend reports them.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// The sizes and types of cooperative matrices that both the driver and Signet's kernels support.
    pub fn cooperative(&self) -> &[Cooperative] {
        &self.cooperative
    }

    /// Returns true if the device meets a kernel's requirements and has no known failure with it.
    pub fn can_run(&self, kernel: &Kernel) -> bool {
        self.missing_requirements(kernel).is_none() && self.known_failure(kernel).is_none()
    }

    /// Describes the requirements of a kernel that this device does not meet; `None` if it meets all.
    pub fn missing_requirements(&self, kernel: &Kernel) -> Option<String> {
        let features = kernel.features - self.features;
        let names = features.iter_names().map(|(name, _)| format!("the feature {name}"));
        let limits = missing_limits(&self.limits, &[kernel]).into_iter().map(|(limit, have, need)| format!("{limit} of {need} (it has {have})"));
        let matrices = kernel.cooperative.filter(|matrices| !self.cooperative.contains(matrices));
        let matrices = matrices.map(|Cooperative { size, half }| format!("cooperative matrices of {size}×{size} in {}", if half { "f16" } else { "f32" }));
        let invocations: u32 = kernel.workgroup.iter().product();
        let max = self.info.subgroup_max_size;
        let subgroups = (kernel.subgroups * max > invocations).then(|| format!("subgroups of at most {} (it has {max})", invocations / kernel.subgroups));
        let lacks: Vec<String> = names.chain(limits).chain(matrices).chain(subgroups).collect();
        (!lacks.is_empty()).then(|| lacks.join(" and "))
    }

    /// The known failure of this kernel on this device, if any.
    pub fn known_failure(&self, kernel: &Kernel) -> Option<&'static KnownFailure> {
        self.known_failures.iter().find(|known| known.covers(kernel)).copied()
    }

    /// The known failures of this device.
    pub fn known_failures(&self) -> impl Iterator<Item = &'static KnownFailure> {
        self.known_failures.iter().copied()
    }

    /// All features of the adapter beyond core WebGPU, used or not.
    pub fn adapter_features(&self) -> wgpu::Features {
        self.adapter_features
    }

    /// wgpu's runtime checks in this device's kernels.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Limits of the device.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Enabled features beyond core WebGPU.
    pub fn features(&self) -> wgpu::Features {
        self.features
    }

    /// Maximum bytes of a buffer. Buffers above the binding limit are bound in parts.
    pub fn max_buffer_bytes(&self) -> u64 {
        self.limits.max_buffer_size
    }

    /// Maximum bytes of a buffer that is bound as a whole.
    pub fn max_binding_bytes(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Maximum workgroups in one dimension of a dispatch.
    pub fn max_workgroups(&self) -> u32 {
        self.limits.max_compute_workgroups_per_dimension
    }

    /// Returns the recorded error, if any: a lost device, or a call that the driver rejected.
    pub fn check(&self) -> Result<(), DeviceError> {
        self.faults.check()
    }

    /// Submits dispatches in order. Each index in `ends` is the end of one submission. Does not wait for completion.
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

    /// Blocks until all submitted work is done. Does nothing in a browser.
    pub fn finish(&self) -> Result<(), DeviceError> {
        self.wait(None);
        self.check()
    }

    /// Waits until all submitted work is done, also in a browser.
    pub async fn drain(&self) -> Result<(), DeviceError> {
        self.check()?;
        let (done, wait) = Signal::new();
        self.queue.on_submitted_work_done(move || done.set(Ok(())));
        self.wait(None);
        self.check()?;
        wait.await?;
        self.check()
    }

    /// The reason why the device was lost; `None` while it is available.
    pub fn lost(&self) -> Option<String> {
        self.faults.lost()
    }

    /// Makes the next call of any kind fail with an out-of-memory error.
    #[cfg(test)]
    pub(crate) fn fail_next_call(&self) {
        self.faults.fail_next_call();
    }

    /// Destroys the device, so that later calls fail as after a loss. For tests, which cannot cause a real loss.
    pub fn destroy(&self) {
        self.device.destroy();
        self.faults.record_loss("it was destroyed".into());
    }

    /// Blocks until a submission, or all submitted work, is done. Does nothing in a browser, where callbacks run without
    /// polling.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) {
        self.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
    }

    /// Polls the device. wgpu panics if the device is lost; this is recorded as a loss.
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
