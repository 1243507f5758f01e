//! The adapters of this machine: listing, limits, and selection.

use super::faults::DeviceError;
use super::kernels::{Cooperative, KERNELS, Kernel};
use crate::platform::{BrowserGpu, IN_PAGE, browser_gpu};
use std::fmt;
use std::str::FromStr;

/// A device as requested by `--device`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best GPU, else the CPU. Software adapters are only used on request.
    #[default]
    Auto,
    /// The CPU device.
    Cpu,
    /// An adapter by index.
    Index(usize),
    /// The first adapter whose name contains this.
    Name(String),
}

impl FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim() {
            "auto" => DeviceChoice::Auto,
            "cpu" => DeviceChoice::Cpu,
            other => other.parse().map_or_else(|_| DeviceChoice::Name(other.to_owned()), DeviceChoice::Index),
        })
    }
}

/// An adapter: a GPU or a software implementation, through one backend.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The index in the list, for selection.
    pub index: usize,
    /// Information from the driver.
    pub info: wgpu::AdapterInfo,
    /// Limits of the adapter.
    pub limits: wgpu::Limits,
    /// Features beyond core WebGPU.
    pub features: wgpu::Features,
    pub(super) inner: wgpu::Adapter,
}

impl Adapter {
    /// Name and backend.
    pub fn name(&self) -> String {
        format!("{} ({})", self.info.name, self.info.backend)
    }

    /// Name, backend and driver, which determine a run's bits.
    pub fn description(&self) -> String {
        format!("{}, driver {} {}", self.name(), self.info.driver, self.info.driver_info)
    }

    /// The supported cooperative matrices, among those that kernels can use.
    pub fn cooperative(&self) -> Vec<Cooperative> {
        use wgpu::CooperativeScalarType as Scalar;
        let square = |found: &wgpu::CooperativeMatrixProperties| found.m_size == found.n_size && found.n_size == found.k_size;
        let usable = |found: &wgpu::CooperativeMatrixProperties| {
            let factors = matches!(found.ab_type, Scalar::F16 | Scalar::F32);
            (square(found) && factors && found.cr_type == Scalar::F32).then_some(Cooperative { size: found.m_size, half: found.ab_type == Scalar::F16 })
        };
        let mut found: Vec<Cooperative> = self.inner.cooperative_matrix_properties().iter().filter_map(usable).collect();
        found.dedup();
        found
    }

    /// The wgpu adapter for opening a device. In a browser an adapter serves one device only, so a new one is requested.
    pub(super) async fn wgpu_adapter(&self) -> wgpu::Adapter {
        match IN_PAGE {
            true => wgpu::Instance::default().request_adapter(&Default::default()).await.unwrap_or_else(|_| self.inner.clone()),
            false => self.inner.clone(),
        }
    }

    /// Returns true for a software adapter.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Maximum bytes of a buffer that is bound as a whole.
    pub fn max_binding_bytes(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Bytes of device memory, if the backend reports them.
    pub fn memory(&self) -> Option<u64> {
        crate::platform::adapter_memory(&self.inner)
    }

    /// The limits that are too low for the portable kernels: (limit, available, required).
    pub fn missing_limits(&self) -> Vec<(&'static str, u64, u64)> {
        missing_limits(&self.limits, &KERNELS.iter().filter(|kernel| kernel.features.is_empty()).collect::<Vec<_>>())
    }

    /// Checks that the limits suffice; the error names those that do not.
    pub(super) fn require(&self) -> Result<(), DeviceError> {
        let missing: Vec<String> = self.missing_limits().iter().map(|(limit, have, need)| format!("{limit} is {have}, but {need} is required")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(DeviceError::Adapter(format!(
            "{} cannot run Signet's kernels: {}. Use another device; `--device cpu` always works",
            self.name(),
            missing.join("; ")
        )))
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {:?}, driver {} {}", self.index, self.name(), self.info.device_type, self.info.driver, self.info.driver_info)
    }
}

/// Lists the adapters of all backends in wgpu's order, with software adapters after GPUs and SwiftShader, by far the
/// slowest, last. Tests use the first.
pub async fn adapters() -> Vec<Adapter> {
    adapters_of(&wgpu::Instance::default()).await
}

/// Like [`adapters`], of an instance that the caller created, as `cargo xtask isa` does.
pub async fn adapters_of(instance: &wgpu::Instance) -> Vec<Adapter> {
    let found = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let all = found.into_iter().map(|inner| Adapter { index: 0, info: inner.get_info(), limits: inner.limits(), features: inner.features(), inner });
    let mut all: Vec<Adapter> = all.collect();
    // In a browser, which has one adapter, wgpu reports neither its name nor its subgroups.
    if let (Some(adapter), Some(BrowserGpu { name, subgroups })) = (all.first_mut(), browser_gpu().await) {
        adapter.features.set(wgpu::Features::SUBGROUP, subgroups);
        if adapter.info.name.is_empty() {
            adapter.info.name = name;
        }
    }
    all.sort_by_key(|adapter| (adapter.is_software(), adapter.info.name.contains("SwiftShader")));
    all.iter_mut().enumerate().for_each(|(index, adapter)| adapter.index = index);
    all
}

/// Selects an adapter; `None` is the CPU device.
pub fn select<'a>(adapters: &'a [Adapter], choice: &DeviceChoice) -> Result<Option<&'a Adapter>, DeviceError> {
    let found = match choice {
        DeviceChoice::Cpu => return Ok(None),
        DeviceChoice::Auto => return Ok(ranked(adapters).first().copied()),
        DeviceChoice::Index(index) => adapters.get(*index),
        DeviceChoice::Name(name) => {
            let name = name.to_lowercase();
            adapters.iter().find(|adapter| adapter.name().to_lowercase().contains(&name))
        }
    };
    match found {
        Some(adapter) => adapter.require().map(|()| Some(adapter)),
        None => Err(DeviceError::Adapter(format!("no device is {}. Available: cpu{}", describe(choice), list(adapters)))),
    }
}

/// The adapters that `auto` tries, in order: GPUs that meet the requirements, the fastest kind first. Adapters of one kind
/// keep their order, so native backends come before GL.
pub fn ranked(adapters: &[Adapter]) -> Vec<&Adapter> {
    let rank = |adapter: &Adapter| match adapter.info.device_type {
        wgpu::DeviceType::DiscreteGpu => Some(0),
        wgpu::DeviceType::IntegratedGpu => Some(1),
        wgpu::DeviceType::VirtualGpu => Some(2),
        wgpu::DeviceType::Other => Some(3),
        wgpu::DeviceType::Cpu => None,
    };
    let fit = adapters.iter().filter(|adapter| adapter.missing_limits().is_empty());
    let mut ranked: Vec<_> = fit.filter_map(|adapter| Some((rank(adapter)?, adapter))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, adapter)| adapter).collect()
}

fn describe(choice: &DeviceChoice) -> String {
    match choice {
        DeviceChoice::Auto => "auto".into(),
        DeviceChoice::Cpu => "cpu".into(),
        DeviceChoice::Index(index) => format!("number {index}"),
        DeviceChoice::Name(name) => format!("named {name:?}"),
    }
}

fn list(adapters: &[Adapter]) -> String {
    adapters.iter().map(|adapter| format!("; {adapter}")).collect()
}

/// The limits in `have` that are too low for `kernels`: (limit, available, required).
pub(super) fn missing_limits(have: &wgpu::Limits, kernels: &[&Kernel]) -> Vec<(&'static str, u64, u64)> {
    let max = |f: fn(&Kernel) -> u64| kernels.iter().map(|kernel| f(kernel)).max().unwrap_or(0);
    let needs: [(&str, u64, u64); 8] = [
        ("max_storage_buffers_per_shader_stage", have.max_storage_buffers_per_shader_stage.into(), max(|k| k.operands.len() as u64)),
        ("max_bindings_per_bind_group", have.max_bindings_per_bind_group.into(), max(|k| k.operands.len() as u64 + 1)),
        (
            "max_compute_invocations_per_workgroup",
            have.max_compute_invocations_per_workgroup.into(),
            max(|k| k.workgroup.iter().map(|&n| u64::from(n)).product()),
        ),
        ("max_compute_workgroup_size_x", have.max_compute_workgroup_size_x.into(), max(|k| k.workgroup[0].into())),
        ("max_compute_workgroup_size_y", have.max_compute_workgroup_size_y.into(), max(|k| k.workgroup[1].into())),
        ("max_compute_workgroup_size_z", have.max_compute_workgroup_size_z.into(), max(|k| k.workgroup[2].into())),
        ("max_compute_workgroup_storage_size", have.max_compute_workgroup_storage_size.into(), max(|k| k.workgroup_bytes.into())),
        ("max_compute_workgroups_per_dimension", have.max_compute_workgroups_per_dimension.into(), 65_535),
    ];
    needs.into_iter().filter(|(_, have, need)| have < need).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_device_choices() {
        let read = |text: &str| text.parse::<DeviceChoice>().expect("infallible");
        assert_eq!(read("auto"), DeviceChoice::Auto);
        assert_eq!(read(" cpu "), DeviceChoice::Cpu);
        assert_eq!(read("2"), DeviceChoice::Index(2));
        assert_eq!(read("RTX 4090"), DeviceChoice::Name("RTX 4090".into()));
    }

    #[test]
    fn a_choice_without_match_lists_the_devices() {
        let error = select(&[], &DeviceChoice::Name("voodoo".into())).expect_err("no adapter");
        assert_eq!(error.to_string(), "no device is named \"voodoo\". Available: cpu");
        assert!(select(&[], &DeviceChoice::Auto).expect("the CPU").is_none());
    }
}
