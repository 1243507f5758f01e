//! Lints and formatting: binding with one Rust, printed with any other, because a newer one knows lints that
//! did not exist when a checkout was made.

use crate::steps::Outcome;
use std::process::Command;

/// The Rust whose lints are binding, which is also the oldest that is supported: `major.minor`.
const BINDING: &str = env!("CARGO_PKG_RUST_VERSION");

/// Returns true if the toolchain in use is the one whose lints are binding.
pub(crate) fn binding() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(&format!("rustc {BINDING}.")))
}

/// Flags for rustc, clippy and rustdoc that make warnings errors, or errors of lints warnings.
pub(crate) fn flags() -> [&'static str; 2] {
    if binding() { ["-D", "warnings"] } else { ["--cap-lints", "warn"] }
}

/// The outcome of a check that ran with [`flags`]: says where its warnings are no errors.
pub(crate) fn printed(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Passed(_) if !binding() => Outcome::Passed(format!("warnings are errors with Rust {BINDING} only")),
        outcome => outcome,
    }
}

/// The outcome of a check of formatting, which newer versions may write otherwise.
pub(crate) fn advised(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(_) if !binding() => Outcome::Passed(format!("differences are errors with Rust {BINDING} only")),
        outcome => outcome,
    }
}
