//! Files and the clock of a desktop.

mod lock;
mod write;

pub use lock::Lock;
pub use write::{Commit, CommitPart, Places, append, cut_lines, remove_dir, reserve, stream_atomic, write_atomic};

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
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

/// All bytes of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// Reads a text file as UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// By what it shows that a file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    modified: Option<std::time::SystemTime>,
}

/// The stamp of a file or directory, if it is there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp { bytes: found.len(), modified: found.modified().ok() })
}

/// At most the first `most` bytes of a file.
pub fn read_start(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file or directory is there.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// When a file was last written, in seconds since 1970.
pub fn modified(path: &Path) -> io::Result<f64> {
    let since = fs::metadata(path)?.modified()?.duration_since(std::time::UNIX_EPOCH);
    Ok(since.map_or(0.0, |since| since.as_secs_f64()))
}

/// At most `most` bytes of a file from byte `at` on, and how long the whole file is.
pub fn read_part(path: &Path, at: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(most.min(length.saturating_sub(at)) as usize);
    file.seek(SeekFrom::Start(at))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok((bytes, length))
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

/// Whether a file, not a directory, is there.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// Whether a directory is there.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Makes a directory, and those it is in.
pub fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Names of what is in a directory.
pub fn list(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The files whose paths match a pattern, in the order of their names.
pub fn matching(pattern: &str) -> io::Result<Vec<PathBuf>> {
    let found = glob::glob(pattern).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let files: io::Result<Vec<PathBuf>> = found.map(|path| path.map_err(io::Error::from)).collect();
    Ok(files?.into_iter().filter(|path| path.is_file()).collect())
}

/// A file that is read in parts, none of which is read before it is asked for.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is read only. A file that another process truncates meanwhile can raise a
        // fault, as with every mapped file; Signet's own files are replaced by renaming.
        Ok(Self(unsafe { memmap2::Mmap::map(&file) }?))
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    /// Some of its bytes; an error if it does not have them.
    pub fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let (start, end) = (usize::try_from(range.start).ok(), usize::try_from(range.end).ok());
        let part = start.zip(end).and_then(|(start, end)| self.0.get(start..end));
        part.map(Cow::Borrowed).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before these bytes"))
    }
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
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(work).map(drop)
}
