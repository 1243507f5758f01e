//! Kernels that are known to give wrong results on some adapters. Such a kernel is not a candidate there, so that its
//! operation falls back to another variant. `conform` still runs it, and reports entries that no longer fail.

use super::kernels::Kernel;
use std::ops::RangeInclusive;
use wgpu::{AdapterInfo, Backend, Features};

/// The kernels of an entry.
#[derive(Clone, Copy, Debug)]
pub enum KernelFilter {
    /// Kernels whose name, `file/entry` or `file/entry.variant`, contains this text.
    NameContains(&'static str),
    /// Kernels that require these features.
    Requires(Features),
}

/// A known failure.
#[derive(Clone, Copy, Debug)]
pub struct KnownFailure {
    /// A substring of the adapter's name; empty for any.
    pub adapter: &'static str,
    /// A substring of the driver's name and version, as printed by `signet devices`; empty for any.
    pub driver: &'static str,
    /// The backend; none for any.
    pub backend: Option<Backend>,
    /// The PCI vendor; none for any.
    pub vendor: Option<u32>,
    /// PCI device ids; none for any.
    pub devices: &'static [RangeInclusive<u32>],
    /// The kernels.
    pub kernels: KernelFilter,
    /// True if they fail only sometimes, so that a run that passes proves nothing.
    pub sometimes: bool,
    /// The failure.
    pub reason: &'static str,
    /// The bug report.
    pub link: &'static str,
}

impl KnownFailure {
    /// The default for the fields of an entry: any adapter, no kernel.
    pub const EMPTY: KnownFailure = KnownFailure {
        adapter: "",
        driver: "",
        backend: None,
        vendor: None,
        devices: &[],
        kernels: KernelFilter::NameContains("no kernel"),
        sometimes: false,
        reason: "",
        link: "",
    };

    /// Returns true if the entry applies to this adapter.
    pub fn applies(&self, info: &AdapterInfo) -> bool {
        let within = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        within(&info.name, self.adapter)
            && within(&format!("{} {}", info.driver, info.driver_info), self.driver)
            && self.backend.is_none_or(|backend| backend == info.backend)
            && self.vendor.is_none_or(|vendor| vendor == info.vendor)
            && (self.devices.is_empty() || self.devices.iter().any(|range| range.contains(&info.device)))
    }

    /// Returns true if the entry covers this kernel.
    pub fn covers(&self, kernel: &Kernel) -> bool {
        match self.kernels {
            KernelFilter::NameContains(part) => kernel.name.contains(part),
            KernelFilter::Requires(features) => kernel.features.contains(features),
        }
    }
}

/// All known failures.
pub static KNOWN_FAILURES: &[KnownFailure] = &[
    KnownFailure {
        driver: "Mesa",
        backend: Some(Backend::Vulkan),
        vendor: Some(0x8086),
        // Panther Lake, and Wildcat Lake of the same Xe3 architecture.
        devices: &[0xb080..=0xb0bf, 0xfd80..=0xfd81],
        kernels: KernelFilter::Requires(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        reason: "cooperative matrices loaded from different places of workgroup memory all hold the first one (Intel Xe3, Mesa ANV)",
        link: "https://gitlab.freedesktop.org/mesa/mesa/-/issues/15932",
        ..KnownFailure::EMPTY
    },
    KnownFailure {
        backend: Some(Backend::Metal),
        kernels: KernelFilter::Requires(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        sometimes: true,
        reason: "cooperative matrices in f32 sometimes give wrong products",
        link: "https://github.com/gfx-rs/wgpu/issues/10001",
        ..KnownFailure::EMPTY
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::kernel;

    fn info(name: &str, vendor: u32, device: u32, driver_info: &str) -> AdapterInfo {
        let mut info = AdapterInfo::new(wgpu::DeviceType::IntegratedGpu, Backend::Vulkan);
        (info.name, info.vendor, info.device) = (name.into(), vendor, device);
        (info.driver, info.driver_info) = ("Intel open-source Mesa driver".into(), driver_info.into());
        info
    }

    #[test]
    fn an_entry_matches_only_its_adapter_driver_and_kernels() {
        let xe3 = &KNOWN_FAILURES[0];
        assert!(xe3.applies(&info("Intel(R) Arc(tm) B390 Graphics (PTL)", 0x8086, 0xb080, "Mesa 26.0.1")));
        assert!(!xe3.applies(&info("Intel(R) Arc(tm) B580 Graphics (BMG G21)", 0x8086, 0xe20b, "Mesa 26.0.1")));
        assert!(!xe3.applies(&info("another vendor's", 0x10de, 0xb080, "Mesa 26.0.1")));
        let named = KnownFailure { adapter: "GEFORCE", driver: "Mesa 25", kernels: KernelFilter::NameContains("matmul/tiled"), ..KnownFailure::EMPTY };
        assert!(named.applies(&info("a GeForce", 0x10de, 1, "Mesa 25.1")));
        assert!(!named.applies(&info("a GeForce", 0x10de, 1, "Mesa 26.0")));
        assert!(named.covers(kernel("matmul/tiled").expect("there")) && !named.covers(kernel("matmul/few").expect("there")));
    }

    #[test]
    fn every_entry_has_a_reason_and_a_link() {
        for known in KNOWN_FAILURES {
            assert!(!known.reason.is_empty() && known.link.starts_with("https://"), "{known:?}");
            let narrow = !known.adapter.is_empty() || !known.driver.is_empty() || known.backend.is_some() || known.vendor.is_some();
            assert!(narrow, "it would exclude a kernel on every adapter: {known:?}");
        }
    }
}
