//! Lints and formatting: errors with one Rust version, warnings with any other, because newer versions have lints
//! that did not exist at the time of a commit.

use crate::steps::Outcome;
use std::process::Command;

/// The Rust version with which lints are errors, also the minimum supported one: `major.minor`.
const BINDING: &str = env!("CARGO_PKG_RUST_VERSION");

/// Returns true if lints are errors with the toolchain in use.
pub(crate) fn binding() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(&format!("rustc {BINDING}.")))
}

/// Flags for rustc, clippy and rustdoc that turn warnings into errors, or lint errors into warnings.
pub(crate) fn flags() -> [&'static str; 2] {
    if binding() { ["-D", "warnings"] } else { ["--cap-lints", "warn"] }
}

/// Adds a remark to the outcome of a check with [`flags`] if its warnings are not errors.
pub(crate) fn report_lints(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Passed(_) if !binding() => Outcome::Passed(format!("warnings are errors with Rust {BINDING} only")),
        outcome => outcome,
    }
}

/// Turns a failed format check into a remark with other versions, whose rustfmt may differ.
pub(crate) fn report_format(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(_) if !binding() => Outcome::Passed(format!("differences are errors with Rust {BINDING} only")),
        outcome => outcome,
    }
}
