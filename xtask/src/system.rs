//! System packages that the tests need, and their installation on Debian and Ubuntu.

use crate::steps::{Outcome, shown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Software drivers (lavapipe for Vulkan, llvmpipe for OpenGL through EGL), a virtual display, and libraries for
/// windows on it.
const PACKAGES: [&str; 9] =
    ["mesa-vulkan-drivers", "libegl1", "libegl-mesa0", "libgl1-mesa-dri", "xvfb", "libx11-xcb1", "libxcursor1", "libxi6", "libxkbcommon-x11-0"];

/// Hint for other systems.
const ELSEWHERE: &str = "the tests need a Vulkan driver, and a software one will do: Mesa's lavapipe (Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast; \
     openSUSE: Mesa-vulkan-device-select and libvulkan_lvp). Where a GPU's own driver is installed, nothing is missing";

/// Installs missing packages. If that is not possible, the step is skipped with a hint, and the tests fail if they
/// find no adapter.
pub(crate) fn prepare() -> Outcome {
    if !packaged() { Outcome::Skipped(ELSEWHERE.into()) } else { install(&PACKAGES) }
}

/// Returns true if this system uses Debian packages.
pub(crate) fn packaged() -> bool {
    found("apt-get") && found("dpkg-query")
}

/// Installs those of these packages that are missing; skipped if that is not possible.
pub(crate) fn install(packages: &[&'static str]) -> Outcome {
    if !packaged() {
        return Outcome::Skipped("this system has no apt-get".into());
    }
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Outcome::Passed(format!("{} are installed", packages.join(", ")));
    }
    let Some(prefix) = privileges() else {
        return Outcome::Skipped(format!("cannot install packages: not root, and no sudo. Run as root: apt-get install {}", missing.join(" ")));
    };
    println!("installing {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> =
            prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"]).chain(arguments.iter().copied()).collect();
        shown(Command::new(words[0]).args(&words[1..]))
    };
    apt(&["update"]);
    match apt(&[&["install", "--no-install-recommends"], &missing[..]].concat()) {
        Outcome::Passed(_) => Outcome::Passed(format!("installed {}", missing.join(" "))),
        _ => Outcome::Skipped(format!("apt-get failed, see above; install by hand: {}", missing.join(" "))),
    }
}

/// The command prefix for root privileges.
fn privileges() -> Option<&'static [&'static str]> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    found("sudo").then_some(&["sudo"])
}

fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).stderr(Stdio::null()).output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// Returns true if a program is on the PATH.
pub(crate) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file() || folder.join(format!("{program}.exe")).is_file())
}

/// A private folder for `XDG_RUNTIME_DIR`, without which libwayland warns at every use of EGL; removed when
/// dropped. `None` if the variable is set already, or not on Linux.
pub(crate) struct RuntimeDir(PathBuf);

impl RuntimeDir {
    pub(crate) fn new() -> Option<Self> {
        if !cfg!(target_os = "linux") || std::env::var_os("XDG_RUNTIME_DIR").is_some() {
            return None;
        }
        let path = std::env::temp_dir().join(format!("signet-xtask-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let dir = Self(path);
        private(&dir.0).ok()?;
        Some(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}
