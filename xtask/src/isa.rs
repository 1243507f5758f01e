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
    with_lines(outcome, &lines)
}

/// Adds the program's lines to its outcome. It was skipped if no target could run.
fn with_lines(outcome: Outcome, lines: &[String]) -> Outcome {
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::steps::shown;

    #[test]
    fn a_run_without_targets_is_skipped_and_says_so() {
        let exits = |code: &str| shown(Command::new("sh").args(["-c", &format!("exit {code}")]));
        let lines = ["RADV: NOT RUN: no driver".to_owned()];
        assert!(matches!(with_lines(exits("3"), &lines), Outcome::Skipped(why) if why.contains("NOT RUN: no driver")));
        assert!(matches!(with_lines(exits("1"), &lines), Outcome::Failed(why) if why.contains("no driver")));
        assert!(matches!(with_lines(exits("0"), &lines), Outcome::Passed(_)));
    }
}
