//! The native platform.

mod dirs;
mod file_read;
mod file_write;
mod lock;
mod model_store;
mod random_access;
#[cfg(test)]
mod scratch;
mod temporary;

pub use dirs::{claim_dir, make_dir, remove_dir};
pub use file_read::{Stamp, exists, is_dir, is_file, length, list, matching, modified, read, read_part, read_start, read_text, read_up_to, stamp};
pub use file_write::{Commit, CommitPart, PositionedWriter, append, reserve, stream_atomic, sync, write_atomic};
pub use lock::Lock;
pub use model_store::{delete_model, fetch_model, stored_models};
pub use random_access::RandomAccessFile;
pub use temporary::{discard_dir, remove_leftovers, remove_old_leftovers};

use super::ThreadHandle;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    /// Starts a stopwatch.
    pub fn start() -> Self {
        Self::default()
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Blocks until a future completes. A page cannot block.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Yields to other tasks of this thread; natively there are none.
pub async fn yield_now() {}

/// Sleeps; in a page, other tasks of the thread run meanwhile.
pub async fn sleep(seconds: f64) {
    block_for(seconds);
}

/// True in a page.
pub const IN_PAGE: bool = false;

/// The browser's adapter: `None`, since wgpu reports everything natively.
pub async fn browser_gpu() -> Option<super::BrowserGpu> {
    None
}

/// An embedded file.
pub fn asset(_name: &str, bytes: &'static [u8]) -> io::Result<&'static [u8]> {
    Ok(bytes)
}

/// Fetches an embedded file and returns its size: natively it is always there.
pub async fn fetch_asset(_name: &str) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Bytes of WebAssembly memory: 0 natively.
pub fn used_memory() -> u64 {
    0
}

/// Signet's cache directory; `None` if the environment does not define one.
///
/// XDG_CACHE_HOME takes precedence on every system, as documented, then the system's convention; the crates `etcetera`
/// and `dirs` do not combine the two.
pub fn cache_dir() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = from("XDG_CACHE_HOME").or_else(|| {
        if cfg!(windows) {
            from("LOCALAPPDATA")
        } else {
            from("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
        }
    })?;
    Some(root.join("signet"))
}

/// A number that differs between runs of the program.
pub fn seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64 & 0xffff_ffff)
}

/// Seconds since 1970.
pub fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// The operating system and architecture, for reports.
pub fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    name.map_or_else(|| format!("{os}, {processor}"), |name| format!("{name} ({os}), {processor}"))
}

/// Renames a directory on the same disk; fails if the new name exists. `lock` may be a file in it: Windows does not
/// rename a directory with an open file, so it is released before, elsewhere after.
pub fn rename_dir(from: &Path, to: &Path, lock: Option<Lock>) -> io::Result<()> {
    // On case-insensitive systems, `Run` and `run` are the same name, and renaming one to the other is fine.
    let itself = || Some(fs::canonicalize(from).ok()? == fs::canonicalize(to).ok()?);
    if fs::symlink_metadata(to).is_ok() && itself() != Some(true) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this name already exists"));
    }
    let held = lock.filter(|_| !cfg!(windows));
    let renamed = fs::rename(from, to);
    drop(held);
    renamed
}

/// Sleeps.
pub fn block_for(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// The user's home directory.
pub fn home_dir() -> Option<PathBuf> {
    std::env::home_dir().filter(|path| path.is_absolute())
}

/// Returns true if there is a display to open a window on.
pub fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android")))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Runs `work` on a thread of its own; `None` if it does not end within `seconds`. The thread then continues by itself.
pub fn within<T: Send + 'static>(seconds: f64, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, wait) = std::sync::mpsc::channel();
    // The receiver is gone after the limit.
    spawn("within", move || drop(done.send(work()))).ok()?;
    wait.recv_timeout(Duration::from_secs_f64(seconds)).ok()
}

/// Runs `work` on a new thread with a name.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<ThreadHandle> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}
