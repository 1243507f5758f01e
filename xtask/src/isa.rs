//! Compiles every kernel with a GPU vendor's compiler, through the program `signet-isa` of the main workspace, which sees
//! the library's table of kernels.

use crate::program::{native, target};
use crate::steps::{Outcome, shown_keeping};
use std::path::PathBuf;
use std::process::Command;

/// Exit code of the program if no target could run.
const NOT_RUN: i32 = 3;

/// Runs the program with these arguments; fails if a kernel fails, and if nothing could run.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut command = Command::new(program()?);
    let status = command.args(arguments).status().map_err(|error| format!("cannot start signet-isa: {error}"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(NOT_RUN) => Err("no target could run, see above".into()),
        _ => Err("a kernel failed, see above".into()),
    }
}

/// The step of `cargo xtask test`.
pub(crate) fn step() -> Outcome {
    let program = match program() {
        Ok(program) => program,
        Err(error) => return Outcome::Failed(error),
    };
    let (outcome, lines) = shown_keeping(Command::new(program).arg("--brief"), |_| true);
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    match outcome {
        Outcome::Failed(why) if why.ends_with(&format!(": {NOT_RUN}")) => Outcome::Skipped(lines),
        Outcome::Failed(why) => Outcome::Failed(why + &lines),
        _ => Outcome::Passed(lines),
    }
}

/// Builds the program, and returns its path.
fn program() -> Result<PathBuf, String> {
    native()?;
    Ok(target().join("debug").join(format!("signet-isa{}", std::env::consts::EXE_SUFFIX)))
}
