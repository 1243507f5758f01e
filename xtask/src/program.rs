//! Paths of sources and builds, and the cargo command for them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in it").to_owned()
}

/// The target directory; nothing is written outside it.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// Returns the command of the running cargo, for the program's workspace; arguments are separated by spaces.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split(' ')).current_dir(root());
    command
}

/// Builds the native programs with the tests' profile, the app beside the command line; returns the path of
/// `signet`.
pub(crate) fn native() -> Result<PathBuf, String> {
    let built = cargo("build --locked --quiet --workspace --bins").status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("signet could not be built, see above".into());
    }
    Ok(target().join("debug").join(format!("signet{}", std::env::consts::EXE_SUFFIX)))
}
