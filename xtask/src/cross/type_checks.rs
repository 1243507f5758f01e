//! Type checks of the workspace for other systems. They need no linker, and share the target directory, so that build
//! scripts and procedural macros are those of the native build.

use crate::program::cargo;
use crate::rust_target;
use crate::steps::{Outcome, shown};
use crate::{web, wrapper};
use std::time::Instant;

/// A system to check for.
struct System {
    name: &'static str,
    target: &'static str,
    /// Packages, as options of cargo.
    packages: &'static str,
    /// Flags of rustc.
    flags: &'static str,
}

/// The page has no command line, so it is checked without.
const SYSTEMS: [System; 3] = [
    System { name: "Windows", target: "x86_64-pc-windows-gnu", packages: "--workspace", flags: "" },
    System { name: "macOS", target: "aarch64-apple-darwin", packages: "--workspace", flags: "" },
    System { name: "the page", target: web::TARGET, packages: "--package signet-app", flags: web::FLAGS },
];

/// Checks for each system whose target is installed. Skipped if one is not, unless another fails.
pub(super) fn step() -> Outcome {
    join(SYSTEMS.iter().map(|system| (system.name, check(system))).collect())
}

fn check(system: &System) -> Outcome {
    if let Err(missing) = rust_target::require(system.target) {
        return Outcome::Skipped(format!("NOT RUN: {missing}"));
    }
    let begun = Instant::now();
    let mut command = cargo(&format!("check --locked --quiet {} --target {}", system.packages, system.target));
    if !system.flags.is_empty() {
        command.env("RUSTFLAGS", system.flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    match shown(wrapper::without(&mut command)) {
        Outcome::Passed(_) => Outcome::Passed(format!("{:.0} s", begun.elapsed().as_secs_f64())),
        _ => Outcome::Failed("it does not compile, see above".into()),
    }
}

/// Joins the outcomes of the systems to one, with a line for each.
fn join(outcomes: Vec<(&str, Outcome)>) -> Outcome {
    let failed = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    let skipped = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Skipped(_)));
    let lines: String = outcomes.into_iter().map(|(name, outcome)| format!("\n  {name}: {}", outcome.detail())).collect();
    match (failed, skipped) {
        (true, _) => Outcome::Failed(lines),
        (false, true) => Outcome::Skipped(lines),
        _ => Outcome::Passed(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_a_missing_target_which_outweighs_a_success() {
        let (passed, skipped, failed) =
            (|| ("A", Outcome::Passed("3 s".into())), || ("B", Outcome::Skipped("no".into())), || ("C", Outcome::Failed("bad".into())));
        assert!(matches!(join(vec![passed(), passed()]), Outcome::Passed(lines) if lines == "\n  A: 3 s\n  A: 3 s"));
        assert!(matches!(join(vec![passed(), skipped()]), Outcome::Skipped(lines) if lines.contains("B: no")));
        assert!(matches!(join(vec![failed(), skipped(), passed()]), Outcome::Failed(lines) if lines.contains("C: bad") && lines.contains("B: no")));
    }

    #[test]
    fn a_system_without_its_target_is_not_checked() {
        let system = System { name: "RISC-V", target: "riscv128-unknown-none", packages: "--workspace", flags: "" };
        assert!(matches!(check(&system), Outcome::Skipped(why) if why.contains("rustup target add riscv128-unknown-none")));
    }
}
