//! Pipelines of kernels, compiled on first use, and bind groups.

use super::dispatch::{Bound, Dispatch, KernelPipeline};
use super::faults::{DeviceError, locked};
use super::gpu::{Checks, Gpu};
use super::kernels::{Access, Kernel};
use crate::platform::IN_PAGE;
use std::sync::Arc;

impl Gpu {
    /// Binds `params` and `operands` to a kernel, in binding order.
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

    /// Compiles a kernel, as its first dispatch does.
    pub fn compile(&self, kernel: &'static Kernel) -> Result<(), DeviceError> {
        self.pipeline(kernel).map(|_| ())
    }

    /// Names of the kernels that were compiled.
    pub fn compiled(&self) -> Vec<&'static str> {
        locked(&self.pipelines).pipelines.keys().copied().collect()
    }

    fn pipeline(&self, kernel: &'static Kernel) -> Result<Arc<KernelPipeline>, DeviceError> {
        let known = {
            let cache = locked(&self.pipelines);
            if let Some(pipeline) = cache.pipelines.get(kernel.name) {
                return Ok(pipeline.clone());
            }
            cache.modules.get(kernel.unit).cloned()
        };
        // The cache is not locked meanwhile: a driver's compiler may not come to an end.
        let module = known.unwrap_or_else(|| self.module(kernel));
        let pipeline = Arc::new(self.build(kernel, &module));
        self.check()?;
        let mut cache = locked(&self.pipelines);
        cache.modules.entry(kernel.unit).or_insert(module);
        Ok(cache.pipelines.entry(kernel.name).or_insert(pipeline).clone())
    }

    fn module(&self, kernel: &Kernel) -> wgpu::ShaderModule {
        // Browsers require `enable subgroups`, which naga rejects.
        let enable = if IN_PAGE && kernel.features.contains(wgpu::Features::SUBGROUP) { "enable subgroups;\n" } else { "" };
        let source = wgpu::ShaderSource::Wgsl(format!("{enable}{}", (self.source)(kernel)).into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.unit), source };
        match self.checks {
            Checks::On => self.device.create_shader_module(descriptor),
            // SAFETY: all kernels are part of this program; their indices are in range, their loops are
            // finite and their divisors are not zero. The conformance test runs each with and without checks.
            Checks::Off => unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) },
        }
    }

    fn build(&self, kernel: &Kernel, module: &wgpu::ShaderModule) -> KernelPipeline {
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
            // No kernel reads workgroup memory before it writes it, as a conformance test with NaN in it shows. Where naga
            // clears it, for DirectX and Metal, one invocation would do so before the work begins. A browser always clears it.
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        });
        KernelPipeline { layout, pipeline }
    }
}
