//! The size of memory: the machine's, and a GPU's if its backend reports it.

/// Bytes of memory that this process may use, if known.
pub fn memory() -> Option<u64> {
    let physical = linux().or_else(macos)?;
    Some(container().map_or(physical, |limit| limit.min(physical)))
}

fn linux() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))?;
    Some(1024 * kilobytes.trim().parse::<u64>().ok()?)
}

/// The limit of a container; `max` means none.
fn container() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

fn macos() -> Option<u64> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output = std::process::Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Bytes of a GPU's own memory: Vulkan's largest device-local heap. WebGPU and the other backends do not report it.
#[cfg(any(target_os = "linux", target_os = "windows", target_os = "android"))]
pub fn adapter_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the handles are only queried, not destroyed.
    let heaps = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        adapter.shared_instance().raw_instance().get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = &heaps.memory_heaps[..heaps.memory_heap_count as usize];
    heaps.iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
}

/// Bytes of a GPU's own memory: backends on this target do not report it.
#[cfg(not(any(target_os = "linux", target_os = "windows", target_os = "android")))]
pub fn adapter_memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}
