//! Directories of a desktop: made, claimed and removed so that a power cut undoes or keeps the whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The directory of a path; that of a bare name is the current one.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes new names in a directory last through a power cut, where the file system can. Windows has no such
/// call, and needs none.
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

/// Makes a directory, and those it is in. They outlive a power cut.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let made: Vec<&Path> = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    fs::create_dir_all(path)?;
    made.into_iter().try_for_each(|made| sync_dir(parent(made)))
}

/// Makes a directory in one that exists; false if there is something of this name already. Of several
/// processes at once, one makes it.
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

/// Removes a directory with all it holds, if it is there.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
