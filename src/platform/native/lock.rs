//! Lock files.

use super::block_for;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A lock file, held until dropped or until the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Acquires the lock; `None` if another process holds it. Retries briefly, since another process may only be testing
    /// the lock or moving the directory.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..5 {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => return Ok(Some(Self { file, path: path.to_path_buf() })),
                Ok(()) | Err(TryLockError::WouldBlock) => block_for(0.01),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns true if the path still leads to the held file: false after its directory was moved or deleted.
    pub fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Returns true if the lock is held. Tests with a momentary shared lock, which neither the holder nor other tests
    /// notice.
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

/// Returns false if a path leads to nothing or to another file than `file`. On other errors it returns true: a
/// temporary fault of the file system must not end training.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let held = file.try_clone().and_then(same_file::Handle::from_file);
    let same = held.and_then(|held| Ok(held == same_file::Handle::from_path(path)?));
    same.unwrap_or_else(|error| error.kind() != io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::super::remove_dir;
    use super::super::scratch::scratch;
    use super::*;

    #[test]
    fn a_lock_is_held_once() {
        let dir = scratch("lock");
        let path = dir.join("lock");
        let held = Lock::try_acquire(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
        remove_dir(&dir).unwrap();
    }

    #[test]
    fn a_lock_file_is_misplaced_only_if_missing_or_replaced() {
        let dir = scratch("lock-place");
        let (path, other) = (dir.join("lock"), dir.join("other"));
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path) && !is_at(&file, &other));
        File::create(&other).unwrap();
        assert!(!is_at(&file, &other));
        // No system opens a path with a zero byte, which says nothing about the file.
        assert!(is_at(&file, Path::new("lock\0")));
        remove_dir(&dir).unwrap();
    }
}
