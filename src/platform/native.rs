//! Files and the clock of a desktop.

mod dirs;
mod lock;
mod models;
mod random_access;
mod read;
#[cfg(test)]
mod scratch;
mod temporary;
mod write;

pub use dirs::{claim_dir, make_dir, remove_dir};
pub use lock::Lock;
pub use models::{delete_model, fetch_model, kept_models};
pub use random_access::RandomAccessFile;
pub use read::{Stamp, exists, is_dir, is_file, length, list, matching, modified, read, read_part, read_start, read_text, read_up_to, stamp};
pub use temporary::{discard_dir, sweep, sweep_named};
pub use write::{Commit, CommitPart, Places, append, reserve, stream_atomic, sync, write_atomic};

use super::Thread;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    /// Starts now.
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

/// Blocks until a future is done. Only this platform can; a page awaits.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Lets other tasks of this thread have a turn: messages are heard in a page. Natively there are none.
pub async fn breathe() {}

/// Waits a moment, in which other tasks of this thread have a turn.
pub async fn rest(seconds: f64) {
    pause(seconds);
}

/// Whether this is a page in a browser.
pub const IN_PAGE: bool = false;

/// A browser's adapter: here wgpu tells all there is to know.
pub async fn browser_gpu() -> Option<super::BrowserGpu> {
    None
}

/// A file that is part of the program.
pub fn asset(_name: &str, bytes: &'static [u8]) -> io::Result<&'static [u8]> {
    Ok(bytes)
}

/// Fetches a part of the program, and gives its size: here nothing is missing.
pub async fn fetch_asset(_name: &str) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Bytes of memory that WebAssembly has taken: here there is none of it.
pub fn used_memory() -> u64 {
    0
}

/// Where a user's programs keep what can be made again, for Signet; none if the system does not say.
///
/// Written by hand, since XDG_CACHE_HOME comes first on every system, as messages and docs promise, and then the system's own
/// place: `etcetera` and `dirs` know the two only as alternatives.
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

/// A number that differs from one call of the program to the next.
pub fn seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64 & 0xffff_ffff)
}

/// Seconds since 1970.
pub fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// The operating system and the processor's kind, for reports.
pub fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    name.map_or_else(|| format!("{os}, {processor}"), |name| format!("{name} ({os}), {processor}"))
}

/// Gives a directory another name, on the same disk; refused where there is something of that name
/// already. `lock` may be a file in it: Windows renames no directory with an open file, so there it is let
/// go before, elsewhere after.
pub fn rename_dir(from: &Path, to: &Path, lock: Option<Lock>) -> io::Result<()> {
    // On some systems `Run` and `run` are one name, and changing one into the other is no clash.
    let itself = || Some(fs::canonicalize(from).ok()? == fs::canonicalize(to).ok()?);
    if fs::symlink_metadata(to).is_ok() && itself() != Some(true) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something of this name already"));
    }
    let held = lock.filter(|_| !cfg!(windows));
    let renamed = fs::rename(from, to);
    drop(held);
    renamed
}

/// Lets this thread rest.
pub fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// The person's own folder.
pub fn home_dir() -> Option<PathBuf> {
    std::env::home_dir().filter(|path| path.is_absolute())
}

/// Whether there is a display that a window could be opened on.
pub fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android")))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Runs `work` on a thread of its own, called `name` where threads are listed.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}
