//! Lists the GPU adapters of this machine.

use crate::device::{Adapter, DeviceChoice, adapters, select};
use crate::runner::{DeviceInfo, Event};
use anyhow::Result;

impl DeviceInfo {
    fn of(adapter: &Adapter, preferred: Option<usize>) -> Self {
        let features = [
            ("f16", wgpu::Features::SHADER_F16),
            ("subgroups", wgpu::Features::SUBGROUP),
            ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
            ("immediates", wgpu::Features::IMMEDIATES),
        ];
        Self {
            index: adapter.index,
            name: adapter.name(),
            kind: format!("{:?}", adapter.info.device_type),
            driver: format!("{} {}", adapter.info.driver, adapter.info.driver_info).trim().to_string(),
            binding_bytes: adapter.limits.max_storage_buffer_binding_size,
            buffer_bytes: adapter.limits.max_buffer_size,
            memory_bytes: adapter.memory(),
            lacks: adapter.missing_limits().iter().map(|(limit, have, need)| format!("{limit} is {have}, {need} needed")).collect(),
            features: {
                let cooperative = adapter.cooperative();
                let matrices = cooperative.iter().map(|found| format!("{0}×{0} matrices in {1}", found.size, if found.half { "f16" } else { "f32" }));
                features.iter().filter(|(_, feature)| adapter.features.contains(*feature)).map(|(name, _)| name.to_string()).chain(matrices).collect()
            },
            preferred: preferred == Some(adapter.index),
        }
    }
}

/// Emits the list of adapters.
pub(super) async fn list(emit: &mut dyn FnMut(Event)) -> Result<()> {
    let adapters = adapters().await;
    let preferred = select(&adapters, &DeviceChoice::Auto)?.map(|adapter| adapter.index);
    emit(Event::Devices { adapters: adapters.iter().map(|adapter| DeviceInfo::of(adapter, preferred)).collect() });
    Ok(())
}
