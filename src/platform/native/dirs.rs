//! Creates, claims and removes directories, atomically with respect to power loss.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The parent directory of a path; the current directory for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes new names in a directory survive power loss, if the file system supports it. Windows has no such call and
/// needs none.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    if cfg!(windows) {
        return Ok(());
    }
    match File::open(path).and_then(|dir| dir.sync_all()) {
        Err(error) if [InvalidInput, PermissionDenied, Unsupported].contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// Creates a directory and its parents durably.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let made: Vec<&Path> = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    fs::create_dir_all(path)?;
    made.into_iter().try_for_each(|made| sync_dir(parent(made)))
}

/// Creates a directory in an existing one; returns false if the name exists. If several processes try, one succeeds.
pub fn claim_dir(path: &Path) -> io::Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => match sync_dir(parent(path)) {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = fs::remove_dir(path);
                Err(error)
            }
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a directory with its contents, if it exists.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
