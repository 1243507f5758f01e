//! The table of kernels that `build.rs` wrote, and their pipelines, made when first asked for.

use super::buffers::Bound;
use super::faults::{DeviceError, locked};
use super::gpu::{Checks, Gpu};
use crate::platform::IN_PAGE;
use std::collections::HashMap;
use std::sync::Arc;
use wgpu::Features;

/// How a kernel uses an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// The cooperative matrices of a kernel: all of `size × size`, factors in f16 or f32, sums in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns.
    pub size: u32,
    /// Whether factors are in f16.
    pub half: bool,
}

/// A field of a kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the shader calls it.
    pub name: &'static str,
    /// Whether it is an f32; a u32 if not.
    pub float: bool,
}

/// An entry point of a shader.
#[derive(Debug)]
pub struct Kernel {
    /// `file/entry` or `file/entry.variant`.
    pub name: &'static str,
    /// File and variant, in words.
    pub unit: &'static str,
    /// The entry point's name in the source.
    pub entry: &'static str,
    /// WGSL, expanded; one text for all entry points of a file and variant.
    pub source: &'static str,
    /// What it needs beyond core WebGPU.
    pub features: Features,
    /// The cooperative matrices it multiplies.
    pub cooperative: Option<Cooperative>,
    /// Subgroups that a workgroup must have at least (the shader's constant SUBGROUPS).
    pub subgroups: u32,
    /// Invocations in each dimension.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Fields of the uniform block at binding 0, a word each, in their order.
    pub params: &'static [Field],
    /// Whether it can be dispatched in bands of workgroups, one after the other along y: its field `first_band` says
    /// how many come before.
    pub bands: bool,
    /// Storage buffers from binding 1 on.
    pub operands: &'static [Access],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The kernel of this name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.binary_search_by(|kernel| kernel.name.cmp(name)).ok().map(|index| &KERNELS[index])
}

/// A kernel ready to be dispatched.
#[derive(Debug)]
pub(super) struct Pipeline {
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
}

/// The pipelines of a device, and the modules they come from.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: HashMap<&'static str, Arc<Pipeline>>,
}

impl Pipelines {
    pub(super) fn len(&self) -> usize {
        self.pipelines.len()
    }
}

/// A kernel with everything bound.
#[derive(Debug)]
pub struct Dispatch {
    kernel: &'static str,
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    groups: [u32; 3],
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

impl Gpu {
    /// Binds `params` and `operands` to a kernel, in the order of its bindings.
    pub fn dispatch(&self, kernel: &'static Kernel, params: Bound<'_>, operands: &[Bound<'_>], groups: [u32; 3]) -> Result<Dispatch, DeviceError> {
        let pipeline = self.pipeline(kernel)?;
        let entries: Vec<_> = std::iter::once(&params)
            .chain(operands)
            .zip(0..)
            .map(|(bound, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: bound.buffer,
                    offset: bound.offset,
                    size: wgpu::BufferSize::new(bound.bytes),
                }),
            })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(kernel.name), layout: &pipeline.layout, entries: &entries });
        self.check()?;
        Ok(Dispatch { kernel: kernel.name, pipeline, bindings, groups })
    }

    fn pipeline(&self, kernel: &'static Kernel) -> Result<Arc<Pipeline>, DeviceError> {
        let mut cache = locked(&self.pipelines);
        if let Some(pipeline) = cache.pipelines.get(kernel.name) {
            return Ok(pipeline.clone());
        }
        let module = cache.modules.entry(kernel.unit).or_insert_with(|| self.module(kernel));
        let pipeline = Arc::new(self.build(kernel, module));
        self.check()?;
        cache.pipelines.insert(kernel.name, pipeline.clone());
        Ok(pipeline)
    }

    fn module(&self, kernel: &Kernel) -> wgpu::ShaderModule {
        // Browsers want subgroups asked for in the text, where naga refuses that.
        let enable = if IN_PAGE && kernel.features.contains(wgpu::Features::SUBGROUP) { "enable subgroups;\n" } else { "" };
        let source = wgpu::ShaderSource::Wgsl(format!("{enable}{}", kernel.source).into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.unit), source };
        match self.checks {
            Checks::On => self.device.create_shader_module(descriptor),
            // SAFETY: every kernel is part of this program, keeps its own indices in range and its
            // loops finite (the conformance runs each with checks and without), and divides by no zero.
            Checks::Off => unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) },
        }
    }

    fn build(&self, kernel: &Kernel, module: &wgpu::ShaderModule) -> Pipeline {
        let storage = kernel.operands.iter().map(|access| wgpu::BufferBindingType::Storage { read_only: *access == Access::Read });
        let entries: Vec<_> = std::iter::once(wgpu::BufferBindingType::Uniform)
            .chain(storage)
            .zip(0..)
            .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
                count: None,
            })
            .collect();
        let label = Some(kernel.name);
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let whole = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor { label, bind_group_layouts: &[Some(&layout)], immediate_size: 0 });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&whole),
            module,
            entry_point: Some(kernel.entry),
            compilation_options: Default::default(),
            cache: None,
        });
        Pipeline { layout, pipeline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_by_name() {
        assert!(KERNELS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in KERNELS {
            assert_eq!(kernel(row.name).map(|found| found.name), Some(row.name));
        }
        assert!(kernel("no/such").is_none());
    }

    #[test]
    fn only_kernels_that_do_not_count_their_workgroups_are_cut() {
        let can = |name: &str| kernel(name).expect("there").bands;
        assert!(["matmul/tiled", "fbi_linear/forward", "fbi_linear/input", "fbi_linear/weight"].into_iter().all(can));
        assert!(!KERNELS.iter().any(|row| row.bands && row.entry == "few"));
    }
}
