//! Choice of the adapter that draws the window: the best one of all backends that opens. Some drivers list
//! adapters that cannot be opened.

use eframe::egui_wgpu::{WgpuConfiguration, WgpuSetup};
use eframe::wgpu::{Adapter, DeviceType, PowerPreference};
use signet::runner::wait;
use std::sync::{Arc, Mutex, PoisonError};

/// Messages about adapters that could not be opened.
pub(super) type AdapterErrors = Arc<Mutex<Vec<String>>>;

/// Makes eframe try adapters until one opens; the failures are added to `passed`.
pub(super) fn try_all(configuration: &mut WgpuConfiguration, passed: &AdapterErrors) {
    let WgpuSetup::CreateNew(new) = &mut configuration.wgpu_setup else { return };
    let (descriptor, power, passed) = (new.device_descriptor.clone(), new.power_preference, passed.clone());
    new.native_adapter_selector = Some(Arc::new(move |adapters, surface| {
        let usable = |adapter: &&Adapter| surface.is_none_or(|surface| adapter.is_surface_supported(surface));
        let mut candidates: Vec<&Adapter> = adapters.iter().filter(usable).collect();
        candidates.sort_by_key(|adapter| rank(adapter.get_info().device_type, power));
        let name = |adapter: &&Adapter| format!("{} ({})", adapter.get_info().name, adapter.get_info().backend);
        let open = |adapter: &&Adapter| wait(adapter.request_device(&descriptor(adapter))).map(drop).map_err(|error| error.to_string());
        let (adapter, failed) = first_that_opens(candidates, name, open)?;
        *passed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        Ok(adapter.clone())
    }));
}

/// Rank of a device type: wgpu's order for the power preference, with software adapters last.
fn rank(kind: DeviceType, power: PowerPreference) -> u8 {
    match (kind, power) {
        (DeviceType::DiscreteGpu, PowerPreference::LowPower) => 1,
        (DeviceType::DiscreteGpu, _) => 0,
        (DeviceType::IntegratedGpu, PowerPreference::LowPower) => 0,
        (DeviceType::IntegratedGpu, _) => 1,
        (DeviceType::VirtualGpu | DeviceType::Other, _) => 2,
        (DeviceType::Cpu, _) => 3,
    }
}

/// Returns the first candidate that opens, and a message about each one before it.
///
/// # Errors
/// No candidate opens; the message names each.
fn first_that_opens<A>(candidates: Vec<A>, name: impl Fn(&A) -> String, open: impl Fn(&A) -> Result<(), String>) -> Result<(A, Vec<String>), String> {
    let mut failed = Vec::new();
    for candidate in candidates {
        match open(&candidate) {
            Ok(()) => return Ok((candidate, failed)),
            Err(reason) => failed.push(format!("{} cannot be opened: {reason}", name(&candidate))),
        }
    }
    Err(if failed.is_empty() { "no adapter can draw to this window".into() } else { failed.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_adapter_that_opens_is_used_and_failures_are_named() {
        let open = |adapter: &&str| if adapter.starts_with("bad") { Err("Parent device is lost".to_string()) } else { Ok(()) };
        let name = |adapter: &&str| adapter.to_string();
        let (adapter, failed) = first_that_opens(vec!["bad (Dx12)", "good (Vulkan)", "good (Gl)"], name, open).unwrap();
        assert_eq!((adapter, failed), ("good (Vulkan)", vec!["bad (Dx12) cannot be opened: Parent device is lost".to_string()]));
        let error = first_that_opens(vec!["bad one", "bad two"], name, open).unwrap_err();
        assert_eq!(error, "bad one cannot be opened: Parent device is lost; bad two cannot be opened: Parent device is lost");
        assert!(first_that_opens(Vec::<&str>::new(), name, open).unwrap_err().contains("no adapter"));
    }

    #[test]
    fn device_types_are_ranked_by_power_preference() {
        let order = |power| {
            let mut kinds = [DeviceType::Cpu, DeviceType::Other, DeviceType::IntegratedGpu, DeviceType::DiscreteGpu];
            kinds.sort_by_key(|kind| rank(*kind, power));
            kinds
        };
        assert_eq!(order(PowerPreference::HighPerformance), [DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::Other, DeviceType::Cpu]);
        assert_eq!(order(PowerPreference::LowPower)[0], DeviceType::IntegratedGpu);
    }
}
