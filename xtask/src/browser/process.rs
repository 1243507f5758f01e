//! A browser's processes: started in a group of their own, in a folder of their own, and gone on every
//! way out.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A process and all that it starts; ended when dropped.
pub(crate) struct Group {
    child: Child,
    /// Groups that it opened for others, by the id of their first process.
    others: Vec<u64>,
}

impl Group {
    /// Starts a command that says nothing.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        grouped(command);
        let name = command.get_program().display().to_string();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, others: Vec::new() })
    }

    /// Ends another group with this one.
    pub(crate) fn and(&mut self, process: u64) {
        self.others.push(process);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for id in self.others.iter().copied().chain([u64::from(self.child.id())]).filter(|id| *id > 1) {
            // The shell has `kill` where no package has.
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

/// A folder for a browser's profile, below the build's; removed when dropped.
pub(crate) struct Profile(PathBuf);

impl Profile {
    /// Makes one.
    pub(crate) fn new(target: &Path) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = target.join("browser").join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // A browser that is being ended may still write a moment.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Asks until there is an answer; `what` names what did not come in time, `last` of its errors is told.
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
