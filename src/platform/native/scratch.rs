//! Directories for tests of files.

use std::fs;
use std::path::PathBuf;

/// Creates an empty directory with this name and process id.
pub(super) fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("signet-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}
