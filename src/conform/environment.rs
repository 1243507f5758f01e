//! The description of device and program in a report, complete enough to attach it to a driver bug.

use super::ConformTarget;
use crate::device::Gpu;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The device and the program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Signet.
    pub signet: String,
    /// Version of wgpu.
    pub wgpu: String,
    /// Operating system and processor.
    pub system: String,
    /// The adapter; `None` for the CPU device.
    pub adapter: Option<AdapterInfo>,
}

/// Information about an adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterInfo {
    /// Name.
    pub name: String,
    /// Vulkan, Metal, DX12, GL.
    pub backend: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `VirtualGpu`, `Cpu` (a software adapter) or `Other`.
    pub kind: String,
    /// PCI vendor id, or its substitute.
    pub vendor: u32,
    /// PCI device id.
    pub device: u32,
    /// Driver.
    pub driver: String,
    /// Driver version, as reported.
    pub driver_info: String,
    /// Minimum and maximum subgroup size.
    pub subgroup_sizes: [u32; 2],
    /// Features that Signet uses.
    pub features_used: Vec<String>,
    /// All features.
    pub features: Vec<String>,
    /// Limits that are relevant for Signet's kernels and buffers.
    pub limits_used: BTreeMap<String, u64>,
    /// All limits.
    pub limits: BTreeMap<String, u64>,
}

/// Names of the relevant limits.
const LIMITS_USED: [&str; 11] = [
    "max_storage_buffers_per_shader_stage",
    "max_bindings_per_bind_group",
    "max_compute_invocations_per_workgroup",
    "max_compute_workgroup_size_x",
    "max_compute_workgroup_size_y",
    "max_compute_workgroup_size_z",
    "max_compute_workgroup_storage_size",
    "max_compute_workgroups_per_dimension",
    "max_storage_buffer_binding_size",
    "max_buffer_size",
    "min_storage_buffer_offset_alignment",
];

impl Environment {
    pub(super) fn of(target: &ConformTarget) -> Self {
        let adapter = match target {
            ConformTarget::Cpu => None,
            ConformTarget::Gpu(gpus) => gpus.first().map(|gpu| adapter(gpu)),
        };
        Self { signet: env!("CARGO_PKG_VERSION").into(), wgpu: env!("WGPU_VERSION").into(), system: crate::platform::system(), adapter }
    }
}

fn adapter(gpu: &Gpu) -> AdapterInfo {
    let info = gpu.info();
    let names = |features: wgpu::Features| features.iter_names().map(|(name, _)| name.to_owned()).collect();
    let limits = limits(gpu.limits());
    AdapterInfo {
        name: info.name.clone(),
        backend: info.backend.to_string(),
        kind: format!("{:?}", info.device_type),
        vendor: info.vendor,
        device: info.device,
        driver: info.driver.clone(),
        driver_info: info.driver_info.clone(),
        subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
        features_used: names(gpu.features()),
        features: names(gpu.adapter_features()),
        limits_used: limits.iter().filter(|(name, _)| LIMITS_USED.contains(&name.as_str())).map(|(name, limit)| (name.clone(), *limit)).collect(),
        limits,
    }
}

/// All limits by name, parsed from wgpu's debug output, which has a line `name: value,` for each.
fn limits(limits: &wgpu::Limits) -> BTreeMap<String, u64> {
    let text = format!("{limits:#?}");
    let pair = |line: &str| {
        let (name, value) = line.trim().trim_end_matches(',').split_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_relevant_limits_are_parsed() {
        let limits = limits(&wgpu::Limits::default());
        assert!(LIMITS_USED.iter().all(|name| limits.contains_key(*name)), "{limits:?}");
        assert_eq!(limits["max_compute_workgroups_per_dimension"], 65_535);
    }
}
