//! A browser's processes, in a process group and a folder of their own, ended and removed on every exit path.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A process group, killed when dropped.
pub(crate) struct Group {
    child: Child,
    /// Ids of further groups that the process created.
    others: Vec<u64>,
}

impl Group {
    /// Starts a command in a new group, without standard streams.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        grouped(command);
        let name = command.get_program().display().to_string();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, others: Vec::new() })
    }

    /// Adds another group to end with this one.
    pub(crate) fn and(&mut self, process: u64) {
        self.others.push(process);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for id in self.others.iter().copied().chain([u64::from(self.child.id())]).filter(|id| *id > 1) {
            // `kill` is a shell builtin, so no package is needed.
            Command::new("sh").args(["-c", &format!("kill -KILL -- -{id}")]).stderr(Stdio::null()).status().ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(unix)]
fn grouped(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn grouped(_: &mut Command) {}

/// A folder for a browser's profile, in the target directory; removed when dropped.
pub(crate) struct Profile(PathBuf);

impl Profile {
    /// Creates a folder.
    pub(crate) fn new(target: &Path) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = target.join("browser").join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // A browser may write for a moment while it is killed.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Polls `ask` until it returns a value. The timeout's error contains `what` and the last error.
pub(crate) fn wait<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
    let start = Instant::now();
    let mut last = String::new();
    loop {
        match ask() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = error,
        }
        if start.elapsed() > patience {
            let why = if last.is_empty() { String::new() } else { format!(" ({last})") };
            return Err(format!("{what} did not come within {} s{why}", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
