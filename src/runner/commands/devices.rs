//! Lists the GPU adapters of this machine.

use crate::device::{Adapter, Checks, DeviceError, Gpu, adapters, ranked};
use crate::runner::devices::first_usable;
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
    let adapters = list_among(&adapters().await, async |adapter| Gpu::open(adapter, Checks::Off).await).await;
    emit(Event::Devices { adapters });
    Ok(())
}

/// Describes the adapters. Those that `auto` tries are opened until one works, since drivers list adapters that cannot be
/// opened.
async fn list_among(adapters: &[Adapter], open: impl AsyncFn(&Adapter) -> Result<Gpu, DeviceError>) -> Vec<DeviceInfo> {
    let candidates = ranked(adapters);
    let (usable, skipped) = first_usable(candidates.clone(), open).await;
    let preferred = usable.map(|(adapter, _)| adapter.index);
    let mut devices: Vec<DeviceInfo> = adapters.iter().map(|adapter| DeviceInfo::of(adapter, preferred)).collect();
    for (adapter, skipped) in candidates.iter().zip(skipped) {
        devices[adapter.index].lacks.push(skipped.reason);
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::wait;
    use crate::runner::devices::tests::{cards, refused};
    use wgpu::DeviceType;

    #[test]
    fn an_adapter_that_cannot_be_opened_is_listed_with_the_reason_and_the_next_one_is_preferred() {
        let cards = cards(&[DeviceType::IntegratedGpu, DeviceType::DiscreteGpu, DeviceType::VirtualGpu]);
        let open = async |adapter: &Adapter| if adapter.index == 1 { Err(refused(adapter)) } else { Gpu::open(adapter, Checks::Off).await };
        let listed = wait(list_among(&cards, open));
        let found: Vec<_> = listed.iter().map(|device| (device.preferred, device.lacks.join("; "))).collect();
        // The third is not tried.
        assert_eq!(found, [(true, String::new()), (false, "Parent device is lost".into()), (false, String::new())]);
        let listed = wait(list_among(&cards, async |adapter: &Adapter| Err(refused(adapter))));
        assert!(listed.iter().all(|device| !device.preferred && device.lacks == ["Parent device is lost"]));
    }
}
