//! Files and the clock of a desktop.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
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

/// A lock file held until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; `None` if another holds it. Tried for a moment, since somebody may only be
    /// asking whether it is held.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        for _ in 0..5 {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) => pause(0.01),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether somebody holds the lock. Asked with a shared lock of an instant, which those who ask
    /// at the same time do not see, and the holder neither.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        match File::open(path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A directory with all its parts, or nothing: written beside, synced, renamed. One that is dropped
/// before it is finished leaves what was there.
#[derive(Debug)]
pub struct Commit {
    path: PathBuf,
    beside: PathBuf,
}

impl Commit {
    /// Begins the directory that `path` is to be.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let commit = Self { path: path.to_path_buf(), beside: beside(path)? };
        remove_dir(&commit.beside)?;
        fs::create_dir_all(&commit.beside)?;
        Ok(commit)
    }

    /// A file in it, to be written and ended before the whole is.
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        Ok(CommitPart(BufWriter::with_capacity(1 << 20, File::create(self.beside.join(name))?)))
    }

    /// Puts it in the place of what was there.
    pub fn finish(self) -> io::Result<()> {
        sync_dir(&self.beside)?;
        remove_dir(&self.path)?;
        fs::rename(&self.beside, &self.path)?;
        // The parent of a bare name is empty, which means here.
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // After `finish` there is nothing of this name.
        let _ = remove_dir(&self.beside);
    }
}

/// A file of a commit on its way.
#[derive(Debug)]
pub struct CommitPart(BufWriter<File>);

impl Write for CommitPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl CommitPart {
    /// Waits until the whole part is on disk.
    pub fn end(self) -> io::Result<()> {
        self.0.into_inner().map_err(|error| error.into_error())?.sync_all()
    }
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
/// already. `lock` is a file in it: Windows renames no directory with an open file, so there it is let
/// go before, elsewhere after.
pub fn rename_dir(from: &Path, to: &Path, lock: Lock) -> io::Result<()> {
    // On some systems `Run` and `run` are one name, and changing one into the other is no clash.
    let itself = || Some(fs::canonicalize(from).ok()? == fs::canonicalize(to).ok()?);
    if fs::symlink_metadata(to).is_ok() && itself() != Some(true) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something of this name already"));
    }
    let held = (!cfg!(windows)).then_some(lock);
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

/// Replaces a file's contents, or leaves it as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomic(path, &mut |out| out.write_all(bytes))
}

/// Replaces a file's contents with what `write` writes, or leaves it as it was.
pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path)?;
    let result = (|| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        write(&mut file)?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        fs::rename(&beside, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Makes a file of `length` bytes that begins with `start` and holds zeros behind, or none at all.
/// The zeros take no room on disk before they are written to.
pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    let beside = beside(path)?;
    let result = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(start)?;
        file.set_len(length)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// A file that is written in places.
#[derive(Debug)]
pub struct Places(File);

impl Places {
    /// Opens a file that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().write(true).open(path)?))
    }

    /// Writes `bytes` from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(at))?;
        self.0.write_all(bytes)
    }

    /// Waits until all is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
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

/// Adds to the end of a file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

/// Keeps the lines of a file that `keep` wants; a last line without its end is never kept.
pub fn cut_lines(path: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kept: String = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && keep(line)).collect();
    if kept == text { Ok(()) } else { write_atomic(path, kept.as_bytes()) }
}

/// Removes a directory with all it holds, if it is there.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a name"))?;
    Ok(path.with_file_name(format!(".{}.part", name.to_string_lossy())))
}

/// Makes a rename last through a power cut. Windows has no such call, and needs none.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("signet-{name}-{}", std::process::id()));
        remove_dir(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn write_part(commit: &mut Commit, name: &str, bytes: &[u8]) {
        let mut part = commit.part(name).unwrap();
        part.write_all(bytes).unwrap();
        part.end().unwrap();
    }

    #[test]
    fn a_failed_commit_leaves_what_was_there() {
        let dir = scratch("commit");
        let at = dir.join("state");
        let mut whole = Commit::begin(&at).unwrap();
        write_part(&mut whole, "a", b"old");
        whole.finish().unwrap();
        let mut half = Commit::begin(&at).unwrap();
        write_part(&mut half, "a", b"new");
        drop(half);
        assert_eq!(fs::read(at.join("a")).unwrap(), b"old");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        remove_dir(&dir).unwrap();
    }

    #[test]
    fn a_bare_name_is_committed_here() {
        let at = PathBuf::from(format!("signet-bare-{}", std::process::id()));
        let mut commit = Commit::begin(&at).unwrap();
        write_part(&mut commit, "a", b"here");
        let finished = commit.finish();
        let read = fs::read(at.join("a"));
        remove_dir(&at).unwrap();
        finished.unwrap();
        assert_eq!(read.unwrap(), b"here");
    }

    #[test]
    fn half_a_line_is_cut() {
        let dir = scratch("cut");
        let path = dir.join("lines");
        fs::write(&path, "1\n2\n3").unwrap();
        cut_lines(&path, |line| line != "1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        remove_dir(&dir).unwrap();
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = scratch("lock");
        let path = dir.join("lock");
        let held = Lock::take(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::take(&path).unwrap().is_some());
        remove_dir(&dir).unwrap();
    }
}
