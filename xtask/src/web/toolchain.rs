//! The Rust toolchain for WebAssembly: the current one, with the target added by rustup if needed.

use crate::program::cargo;
use crate::steps::shown;
use crate::system::found;
use std::path::Path;
use std::process::{Command, Stdio};

/// The target of the page.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Checks for the target's standard library, or adds it with rustup.
pub(crate) fn prepare() -> Result<(), String> {
    if !has_target() && found("rustup") {
        println!("adding the target {TARGET} with rustup");
        shown(Command::new("rustup").args(["target", "add", TARGET]));
    }
    match has_target() {
        true => Ok(()),
        false => Err(format!("cannot compile for WebAssembly: this Rust lacks the target. Run: rustup target add {TARGET}")),
    }
}

/// Returns `cargo build` for WebAssembly; the caller adds the package.
pub(crate) fn build() -> Command {
    let mut command = cargo("build --target");
    command.arg(TARGET);
    command
}

/// Returns true if the current toolchain has the target's standard library.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
