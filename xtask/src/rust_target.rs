//! Targets of the Rust toolchain.

use std::path::Path;
use std::process::{Command, Stdio};

/// Checks that the current toolchain has the standard library of a target; the error says how to install it.
pub(crate) fn require(target: &str) -> Result<(), String> {
    match is_installed(target) {
        true => Ok(()),
        false => Err(format!("this Rust lacks the target {target}. Run: rustup target add {target}")),
    }
}

/// Returns true if the current toolchain has the standard library of a target.
pub(crate) fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_is_named_with_its_command() {
        let error = require("riscv128-unknown-none").unwrap_err();
        assert!(error.ends_with("Run: rustup target add riscv128-unknown-none"), "{error}");
    }
}
