//! Dispatches (kernels with bound operands), and the pipeline cache of a device.

use std::collections::HashMap;
use std::sync::Arc;

/// A range of a buffer that is bound to a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct KernelPipeline {
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) pipeline: wgpu::ComputePipeline,
}

/// Cached pipelines and shader modules of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    pub(super) modules: HashMap<&'static str, wgpu::ShaderModule>,
    pub(super) pipelines: HashMap<&'static str, Arc<KernelPipeline>>,
}

impl Pipelines {
    pub(super) fn len(&self) -> usize {
        self.pipelines.len()
    }
}

/// A kernel with bound operands and a grid.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) kernel: &'static str,
    pub(super) pipeline: Arc<KernelPipeline>,
    pub(super) bindings: wgpu::BindGroup,
    pub(super) groups: [u32; 3],
}

impl Dispatch {
    /// The kernel's name.
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}
