//! Where the program's sources and builds are, and cargo for them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in it").to_owned()
}

/// The folder of builds, beside which nothing is written.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// The cargo that runs this, on the program's workspace; the arguments are separated by spaces.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split(' ')).current_dir(root());
    command
}

/// Builds the native programs, of which the app is beside the command line, as the tests have them; returns the path of
/// `signet`.
pub(crate) fn native() -> Result<PathBuf, String> {
    let built = cargo("build --locked --quiet --workspace --bins").status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("signet could not be built, see above".into());
    }
    Ok(target().join("debug").join(format!("signet{}", std::env::consts::EXE_SUFFIX)))
}
