//! The Rust that compiles for WebAssembly: the one at hand, with a target that rustup adds where it can.

use crate::program::cargo;
use crate::steps::shown;
use crate::system::found;
use std::path::Path;
use std::process::{Command, Stdio};

/// The target of the page.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Finds the target's standard library, or adds it with rustup. An error says what to do.
pub(crate) fn prepare() -> Result<(), String> {
    if !has_target() && found("rustup") {
        println!("adding the target {TARGET} with rustup");
        shown(Command::new("rustup").args(["target", "add", TARGET]));
    }
    match has_target() {
        true => Ok(()),
        false => Err(format!("this Rust does not compile for WebAssembly; install it with rustup and run: rustup target add {TARGET}")),
    }
}

/// `cargo build` for WebAssembly, without what to build.
pub(crate) fn build() -> Command {
    let mut command = cargo("build --target");
    command.arg(TARGET);
    command
}

/// Returns true if the toolchain that runs this has the target's standard library.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
