//! The Rust toolchain for WebAssembly: the current one, with the target added by rustup if needed.

use crate::program::cargo;
use crate::rust_target;
use crate::steps::shown;
use crate::system::found;
use std::process::Command;

/// The target of the page.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Checks for the target's standard library, or adds it with rustup.
pub(crate) fn prepare() -> Result<(), String> {
    if !rust_target::is_installed(TARGET) && found("rustup") {
        println!("adding the target {TARGET} with rustup");
        shown(Command::new("rustup").args(["target", "add", TARGET]));
    }
    rust_target::require(TARGET).map_err(|missing| format!("cannot compile for WebAssembly: {missing}"))
}

/// Returns `cargo build` for WebAssembly; the caller adds the package.
pub(crate) fn build() -> Command {
    let mut command = cargo("build --target");
    command.arg(TARGET);
    command
}
