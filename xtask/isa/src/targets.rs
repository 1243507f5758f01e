//! GPU families for which Mesa's RADV compiles without a card, and the driver's file.

use std::path::PathBuf;
use std::process::Command;

/// An architecture, and the names of a family of it for `RADV_FORCE_FAMILY`: Mesa changed some.
pub(crate) struct Target {
    /// AMD's name.
    pub(crate) architecture: &'static str,
    /// Names, the newest first.
    pub(crate) families: &'static [&'static str],
}

/// All targets.
pub(crate) const TARGETS: [Target; 4] = [
    Target { architecture: "RDNA 2", families: &["navi21"] },
    Target { architecture: "RDNA 3", families: &["navi31", "gfx1100"] },
    Target { architecture: "RDNA 4", families: &["gfx1201"] },
    Target { architecture: "GCN 5", families: &["vega10"] },
];

/// Directories with the descriptions of Vulkan drivers.
const FOLDERS: [&str; 3] = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/// Returns the path of RADV's description for the Vulkan loader, or the one in `VK_DRIVER_FILES`.
pub(crate) fn driver() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("Mesa's RADV needs Linux".into());
    }
    if let Some(named) = std::env::var_os("VK_DRIVER_FILES") {
        return Ok(named.into());
    }
    let files = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_radv = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("radeon_icd"));
    files.filter(is_radv).min().ok_or_else(|| format!("no radeon_icd*.json in {}. Install Mesa's RADV (Debian: mesa-vulkan-drivers)", FOLDERS.join(", ")))
}

/// Returns the command that starts a worker of this program for a family.
pub(crate) fn worker(program: &std::path::Path, driver: &std::path::Path, family: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("worker").env("RADV_FORCE_FAMILY", family).env("MESA_SHADER_CACHE_DISABLE", "true");
    // Older loaders know the second name only.
    command.env("VK_DRIVER_FILES", driver).env("VK_ICD_FILENAMES", driver).env_remove("VK_ADD_DRIVER_FILES");
    // Mesa's layer that orders devices has nothing to order, and may ask a display.
    command.env("NODEVICE_SELECT", "1");
    command
}
