//! `cargo xtask cross`: checks for other systems and CPUs that this machine can run. A part whose tools are missing is
//! skipped and says how to install them. See docs/portability.md.

mod app_window;
mod cpu_levels;
mod type_checks;
mod windows;
mod wine;

use crate::steps::{Outcome, Steps};
use crate::system::found;
use clap::ValueEnum;
use std::path::Path;

/// A part of `cargo xtask cross`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Type checks for Windows, macOS and the page.
    Types,
    /// Conformance of the CPU device on x86-64-v2 and v3 under QEMU, and on v4 natively.
    Levels,
    /// A Windows build under Wine.
    Windows,
}

/// Runs these parts, or all if none is named. `shot` is the file for a screenshot of the app under Wine.
pub(crate) fn run(parts: &[Part], shot: Option<&Path>) -> Result<(), String> {
    let mut steps = Steps::new(None);
    let chosen = if parts.is_empty() { Part::value_variants() } else { parts };
    for part in chosen {
        match part {
            Part::Types => steps.run("types", type_checks::step),
            Part::Levels => steps.run("levels", cpu_levels::step),
            Part::Windows => steps.run("windows", || windows::step(shot)),
        }
    }
    steps.finish()
}

/// A program that a part needs, and the Debian package that has it.
type Tool = (&'static str, &'static str);

/// Checks that programs are on the PATH; the error names the missing ones and their packages.
fn require_tools(tools: &[Tool]) -> Result<(), String> {
    let missing: Vec<&Tool> = tools.iter().filter(|(program, _)| !found(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let join = |of: fn(&Tool) -> &'static str, by: &str| missing.iter().map(|tool| of(tool)).collect::<Vec<_>>().join(by);
    Err(format!("{} not found. On Debian and Ubuntu, run: apt-get install {}", join(|tool| tool.0, " and "), join(|tool| tool.1, " ")))
}

/// Returns the outcome of a part: skipped if `tools` is an error, else that of `run`.
fn outcome(tools: Result<(), String>, run: impl FnOnce() -> Result<String, String>) -> Outcome {
    match tools.map(|()| run()) {
        Err(missing) => Outcome::Skipped(format!("NOT RUN: {missing}")),
        Ok(Err(error)) => Outcome::Failed(error),
        Ok(Ok(line)) => Outcome::Passed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_its_tools_is_skipped_and_names_their_packages() {
        let tools = require_tools(&[("no-such-emulator", "emulators"), ("no-such-compiler", "compilers")]);
        let Outcome::Skipped(why) = outcome(tools, || unreachable!()) else { panic!("it was run") };
        let parts = ["NOT RUN: no-such-emulator and no-such-compiler not found.", "apt-get install emulators compilers"];
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    }

    #[test]
    fn a_part_passes_or_fails_with_its_line() {
        assert!(require_tools(&[]).is_ok());
        assert!(matches!(outcome(Ok(()), || Ok("29 of 29".into())), Outcome::Passed(line) if line == "29 of 29"));
        assert!(matches!(outcome(Ok(()), || Err("28 of 29".into())), Outcome::Failed(line) if line == "28 of 29"));
    }
}
