//! A kernel with everything bound, and the pipelines that a device keeps.

use std::collections::HashMap;
use std::sync::Arc;

/// A range of a buffer, as a kernel sees it.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A kernel ready to be dispatched.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) pipeline: wgpu::ComputePipeline,
}

/// The pipelines of a device, and the modules they come from.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    pub(super) modules: HashMap<&'static str, wgpu::ShaderModule>,
    pub(super) pipelines: HashMap<&'static str, Arc<Pipeline>>,
}

impl Pipelines {
    pub(super) fn len(&self) -> usize {
        self.pipelines.len()
    }
}

/// A kernel with everything bound.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) kernel: &'static str,
    pub(super) pipeline: Arc<Pipeline>,
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
