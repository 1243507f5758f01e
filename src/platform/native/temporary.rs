//! Temporary files and directories. Their names are unique and of equal length, so concurrent writers of one output do
//! not collide. They are locked while their writer lives (on Windows, files are opened without write sharing), so the
//! next writer in the same directory can remove those of killed writers.
//!
//! ```text
//! .signet-0123456789abcdef.part    a file, or a directory with
//!     lock                         held by its writer
//!     new/                         what is written
//!     old/NAME/                    the directory that is being replaced
//! ```

use super::dirs::{make_dir, parent, remove_dir, sync_dir};
use super::lock::is_at;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// Attempts to find a free name, or to replace a directory that others replace concurrently.
const TRIES: usize = 16;

/// A file without its final name. It is removed if dropped before it is published.
pub(super) struct TemporaryFile {
    path: PathBuf,
    file: File,
    published: bool,
}

impl TemporaryFile {
    /// Creates a file in the directory of `path`, after removing those of killed writers.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this name is a directory or device"));
        }
        remove_leftovers(parent(path));
        for _ in 0..TRIES {
            let path = parent(path).join(unique());
            if let Some(file) = claim_file(&path)? {
                return Ok(Self { path, file, published: false });
            }
        }
        Err(no_name())
    }

    /// The file to write to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and renames it to its final name, replacing an existing file.
    pub(super) fn publish(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.published = true;
        sync_dir(parent(path))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A directory without its final name. It is removed if dropped before it is published.
#[derive(Debug)]
pub(super) struct TemporaryDir {
    path: PathBuf,
    lock: Option<File>,
}

impl TemporaryDir {
    /// Creates a directory next to `path`, after removing those of killed writers.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        let parent = parent(path);
        make_dir(parent)?;
        remove_leftovers(parent);
        for _ in 0..TRIES {
            let path = parent.join(unique());
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            match claim(&path.join("lock")) {
                Ok(Some(lock)) => {
                    let made = Self { path, lock: Some(lock) };
                    fs::create_dir(made.new_dir())?;
                    return Ok(made);
                }
                // Another writer removed it as abandoned, since it had no lock yet.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = remove_dir(&path);
                    return Err(error);
                }
            }
        }
        Err(no_name())
    }

    /// The directory to be published.
    pub(super) fn new_dir(&self) -> PathBuf {
        self.path.join("new")
    }

    /// Renames the directory to its final name, replacing an existing one.
    pub(super) fn replace(self, path: &Path) -> io::Result<()> {
        sync_dir(&self.new_dir())?;
        for _ in 0..TRIES {
            match fs::rename(self.new_dir(), path) {
                Ok(()) => {
                    // If power fails before the new name is on disk, the old directory must be found.
                    sync_dir(parent(path))?;
                    let _ = remove_dir(&self.path.join("old"));
                    return Ok(());
                }
                Err(error) => match fs::symlink_metadata(path) {
                    Ok(found) if found.is_dir() => self.set_aside(path)?,
                    // Another writer has just set it aside.
                    Err(_) if is_taken(&error) => {}
                    _ => return Err(error),
                },
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "other programs are replacing it at the same time"))
    }

    /// Renames the directory to its final name, which must be free.
    pub(super) fn publish(self, path: &Path) -> io::Result<()> {
        let taken = || io::Error::new(io::ErrorKind::AlreadyExists, "this name already exists");
        sync_dir(&self.new_dir())?;
        if fs::symlink_metadata(path).is_ok() {
            return Err(taken());
        }
        fs::rename(self.new_dir(), path).map_err(|error| if fs::symlink_metadata(path).is_ok() { taken() } else { error })?;
        sync_dir(parent(path))
    }

    /// Moves the directory at `path` into this one; after a crash, [`remove_leftovers`] restores it.
    fn set_aside(&self, path: &Path) -> io::Result<()> {
        let old = self.path.join("old");
        remove_dir(&old)?;
        fs::create_dir(&old)?;
        sync_dir(&self.path)?;
        sync_dir(parent(path))?;
        match fs::rename(path, old.join(path.file_name().unwrap_or_default())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        // Windows does not remove a directory with an open file.
        self.lock = None;
        discard(&self.path);
    }
}

/// Removes a directory, if it exists, atomically with respect to kills: it is first renamed to a temporary name, which
/// [`remove_leftovers`] removes after a kill. If that is impossible, it is removed in place.
pub fn discard_dir(path: &Path) -> io::Result<()> {
    let Ok(temporary) = TemporaryDir::beside(path) else { return remove_dir(path) };
    match fs::rename(path, temporary.new_dir().join("removed")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => remove_dir(path),
        Ok(()) => sync_dir(parent(path)),
    }
}

/// Returns true if a directory could not be renamed because the name exists; Windows reports denied access.
fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, PermissionDenied};
    [AlreadyExists, DirectoryNotEmpty].contains(&error.kind()) || cfg!(windows) && error.kind() == PermissionDenied
}

/// Removes a temporary directory, after restoring a directory that was set aside and not replaced.
fn discard(path: &Path) {
    for old in fs::read_dir(path.join("old")).into_iter().flatten().flatten() {
        let replaced = parent(path).join(old.file_name());
        if fs::symlink_metadata(&replaced).is_err() && fs::rename(old.path(), replaced).is_err() {
            return;
        }
    }
    let _ = remove_dir(path);
}

/// Removes temporaries in `dir` whose writers are gone, and restores a directory that one of them was replacing.
/// Failures are ignored.
pub fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| is_temporary(&entry.file_name())) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_leftover_dir(&path),
            Ok(kind) if kind.is_file() => {
                if let Some(_held) = abandoned(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
            _ => {}
        }
    }
}

/// Removes the temporaries of earlier versions, `.NAME.part`, if `owns` returns a guard for the name, which keeps such
/// versions from writing and is held meanwhile.
pub fn remove_old_leftovers<Held>(dir: &Path, owns: impl Fn(&str) -> Option<Held>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(_held) = name.to_str().and_then(|name| owns(name.strip_prefix('.')?.strip_suffix(END)?)) {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let _ = if is_dir { remove_dir(&entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

fn remove_leftover_dir(path: &Path) {
    // An empty one may be too new to be locked; its writer then creates another.
    if fs::remove_dir(path).is_ok() {
        return;
    }
    let lock = path.join("lock");
    let held = abandoned(&lock);
    // Without a lock file, its removal was interrupted.
    if held.is_some() || !lock.exists() {
        discard(path);
    }
}

/// Locks a temporary whose writer is gone. On Windows, a live writer's file cannot be opened for writing.
fn abandoned(lock: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).open(lock).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// Creates a temporary file that [`abandoned`] skips while it is open; `None` if the name exists, or another writer
/// removes it at once.
#[cfg(not(windows))]
fn claim_file(path: &Path) -> io::Result<Option<File>> {
    claim(path)
}

/// Creates a temporary file that [`abandoned`] skips while it is open; `None` if the name exists. A lock on Windows
/// would also keep readers out, even after the final rename: the file is shared for reading, renaming and removal
/// instead.
#[cfg(windows)]
fn claim_file(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_DELETE: u32 = 4;
    create_new(OpenOptions::new().share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE), path)
}

/// Creates a file; `None` if the name exists.
fn create_new(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match options.write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        file => file.map(Some),
    }
}

/// Creates and locks a file; `None` if the name exists, or another writer removes it at once. Where files cannot be
/// locked, it is kept unlocked.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let Some(file) = create_new(&mut OpenOptions::new(), path)? else { return Ok(None) };
    let ours = match file.try_lock() {
        Ok(()) => is_at(&file, path),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => true,
    };
    Ok(ours.then_some(file))
}

const START: &str = ".signet-";
const END: &str = ".part";

fn unique() -> String {
    format!("{START}{:016x}{END}", RandomState::new().hash_one(std::process::id()))
}

fn is_temporary(name: &OsStr) -> bool {
    let digits = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.to_str().and_then(|name| name.strip_prefix(START)?.strip_suffix(END)).is_some_and(digits)
}

fn no_name() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file was found")
}

#[cfg(test)]
mod tests;
