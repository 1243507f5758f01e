//! Temporary files and directories. Their names are unique and of one length, so that two writers of one
//! output never share one; they are locked (files on Windows: shared with readers only) while their writer
//! lives, so that the next writer in the same directory removes what a killed one left.
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

/// Tries to find a free name, or to replace a directory that others replace at the same time.
const TRIES: usize = 16;

/// A file that has no final name yet. Dropped before it is published, it is removed.
pub(super) struct TemporaryFile {
    path: PathBuf,
    file: File,
    published: bool,
}

impl TemporaryFile {
    /// Creates a file beside `path`, after removing what killed writers left there.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a name"));
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a directory or device of this name"));
        }
        sweep(parent(path));
        for _ in 0..TRIES {
            let path = parent(path).join(unique());
            if let Some(file) = claim_file(&path)? {
                return Ok(Self { path, file, published: false });
            }
        }
        Err(no_name())
    }

    /// The file, to be written.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and gives it its final name; an earlier file of that name is replaced.
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

/// A directory that has no final name yet. Dropped before it is published, it is removed.
#[derive(Debug)]
pub(super) struct TemporaryDir {
    path: PathBuf,
    lock: Option<File>,
}

impl TemporaryDir {
    /// Creates a directory beside `path`, after removing what killed writers left there.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        let parent = parent(path);
        make_dir(parent)?;
        sweep(parent);
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
                // Another writer took it for one that was left, since it had no lock yet.
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

    /// The directory that is to be published.
    pub(super) fn new_dir(&self) -> PathBuf {
        self.path.join("new")
    }

    /// Gives the directory its final name; one that is there is replaced.
    pub(super) fn replace(self, path: &Path) -> io::Result<()> {
        sync_dir(&self.new_dir())?;
        for _ in 0..TRIES {
            match fs::rename(self.new_dir(), path) {
                Ok(()) => {
                    // A power cut before the new name is on disk must find the old directory.
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
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "other programs replace it at the same time"))
    }

    /// Gives the directory its final name, which must be free.
    pub(super) fn publish(self, path: &Path) -> io::Result<()> {
        let taken = || io::Error::new(io::ErrorKind::AlreadyExists, "there is something of this name already");
        sync_dir(&self.new_dir())?;
        if fs::symlink_metadata(path).is_ok() {
            return Err(taken());
        }
        fs::rename(self.new_dir(), path).map_err(|error| if fs::symlink_metadata(path).is_ok() { taken() } else { error })?;
        sync_dir(parent(path))
    }

    /// Moves the directory at `path` into this one, from which a crash lets the next sweep put it back.
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
        // Windows removes no directory with an open file.
        self.lock = None;
        discard(&self.path);
    }
}

/// Removes a directory, if it is there, so that a kill leaves all of it or none: it first gets a temporary name, which the
/// next sweep removes. Where there is no room for one, it is removed as it is.
pub fn discard_dir(path: &Path) -> io::Result<()> {
    let Ok(temporary) = TemporaryDir::beside(path) else { return remove_dir(path) };
    match fs::rename(path, temporary.new_dir().join("removed")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => remove_dir(path),
        Ok(()) => sync_dir(parent(path)),
    }
}

/// Returns true if a directory could not be renamed because there was another of that name; Windows denies access.
fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, PermissionDenied};
    [AlreadyExists, DirectoryNotEmpty].contains(&error.kind()) || cfg!(windows) && error.kind() == PermissionDenied
}

/// Removes a temporary directory, after putting back what was set aside in it and not replaced.
fn discard(path: &Path) {
    for old in fs::read_dir(path.join("old")).into_iter().flatten().flatten() {
        let replaced = parent(path).join(old.file_name());
        if fs::symlink_metadata(&replaced).is_err() && fs::rename(old.path(), replaced).is_err() {
            return;
        }
    }
    let _ = remove_dir(path);
}

/// Removes temporaries in `dir` whose writers are gone, and puts back a directory that one of them was
/// replacing. What cannot be removed is left.
pub fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| is_temporary(&entry.file_name())) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sweep_dir(&path),
            Ok(kind) if kind.is_file() => {
                if let Some(_held) = abandoned(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
            _ => {}
        }
    }
}

/// Removes the temporaries of earlier versions in `dir`, `.NAME.part`, for whose name `owns` gives a lock (or
/// whatever keeps such a version from writing there), which is held meanwhile.
pub fn sweep_named<Held>(dir: &Path, owns: impl Fn(&str) -> Option<Held>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(_held) = name.to_str().and_then(|name| owns(name.strip_prefix('.')?.strip_suffix(END)?)) {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let _ = if is_dir { remove_dir(&entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

fn sweep_dir(path: &Path) {
    // Its writer has not locked an empty one yet, and makes another if that is gone.
    if fs::remove_dir(path).is_ok() {
        return;
    }
    let lock = path.join("lock");
    let held = abandoned(&lock);
    // Without a lock file its removal was interrupted.
    if held.is_some() || !lock.exists() {
        discard(path);
    }
}

/// The lock of a temporary whose writer is gone. On Windows a file whose writer lives cannot be opened for writing.
fn abandoned(lock: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).open(lock).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// Creates a temporary file that [`abandoned`] leaves alone while it is open; none if the name is taken, or if
/// another writer removes it at once.
#[cfg(not(windows))]
fn claim_file(path: &Path) -> io::Result<Option<File>> {
    claim(path)
}

/// Creates a temporary file that [`abandoned`] leaves alone while it is open; none if the name is taken. On
/// Windows a lock would also keep readers out, even after the file has its final name: the file is shared with
/// readers instead, and with those who rename or remove it.
#[cfg(windows)]
fn claim_file(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_DELETE: u32 = 4;
    create_new(OpenOptions::new().share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE), path)
}

/// Creates a file; none if the name is taken.
fn create_new(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match options.write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        file => file.map(Some),
    }
}

/// Creates a file and locks it; none if the name is taken, or if another writer removes it at once. Where
/// files cannot be locked it stays.
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
