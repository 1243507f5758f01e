//! The CPU device on older x86-64 CPUs. Libraries and kernels choose their instructions by what the CPU reports, so QEMU's
//! user-mode emulation with the model of an older CPU forces a level for all of them, and an instruction above the level
//! ends the program. QEMU has no AVX-512: the highest level runs natively, on a CPU that has it.

use super::{Tool, outcome, require_tools};
use crate::program::{native, target};
use crate::steps::Outcome;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const TOOLS: [Tool; 1] = [("qemu-x86_64", "qemu-user")];
/// Seed of the operands.
const SEED: &str = "1";

/// A level of x86-64.
struct Level {
    name: &'static str,
    /// QEMU's model of a CPU of this level; natively if empty.
    model: &'static str,
    /// Output of [`PROBE`].
    features: &'static str,
}

const LEVELS: [Level; 3] = [
    Level { name: "x86-64-v2", model: "Nehalem", features: "AVX2 and FMA: false; AVX-512: false" },
    // Without features that are not of a level, and which QEMU warns that it lacks.
    Level { name: "x86-64-v3", model: "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm", features: "AVX2 and FMA: true; AVX-512: false" },
    Level { name: "x86-64-v4", model: "", features: "AVX2 and FMA: true; AVX-512: true" },
];

/// A program that prints which instructions the CPU reports, as kernels see it.
const PROBE: &str = r#"fn main() {
    let v3 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    let v4 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512bw");
    println!("AVX2 and FMA: {v3}; AVX-512: {v4}");
}"#;

/// Runs the conformance of the CPU device on each level.
pub(super) fn step() -> Outcome {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Outcome::Skipped("NOT RUN: it needs Linux on x86-64".into());
    }
    outcome(require_tools(&TOOLS), run)
}

fn run() -> Result<String, String> {
    let program = native()?;
    let probe = probe()?;
    let lines: Result<Vec<String>, String> =
        LEVELS.iter().map(|level| check(level, &program, &probe).map(|line| format!("\n  {}: {line}", level.name))).collect();
    Ok(lines?.concat())
}

fn check(level: &Level, program: &Path, probe: &Path) -> Result<String, String> {
    let features = String::from_utf8_lossy(&level.on(probe).output().map_err(|error| format!("{}: {error}", level.name))?.stdout).trim().to_owned();
    if features != level.features {
        return match level.model {
            "" => Ok(format!("NOT RUN: this CPU lacks it ({features})")),
            model => Err(format!("{}: QEMU's {model} reports {features:?}, not {:?}", level.name, level.features)),
        };
    }
    println!("{}: {features}", level.name);
    conform(&mut level.on(program)).map_err(|error| format!("{}: {error}", level.name))
}

/// Checks the CPU device of a program; `command` starts it without arguments. Returns its summary and time.
fn conform(command: &mut Command) -> Result<String, String> {
    let begun = Instant::now();
    let output = command.args(["conform", "--device", "cpu", "--seed", SEED]).output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let summary = printed.lines().find(|line| line.ends_with("comparisons passed"));
    match summary {
        Some(summary) if output.status.success() => Ok(format!("{summary}, {:.0} s", begun.elapsed().as_secs_f64())),
        _ => Err(format!("conform: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

impl Level {
    /// Returns the command that runs a program on a CPU of this level.
    fn on(&self, program: &Path) -> Command {
        if self.model.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new(TOOLS[0].0);
        command.args(["-cpu", self.model]).arg(program);
        command
    }
}

/// Compiles [`PROBE`].
fn probe() -> Result<std::path::PathBuf, String> {
    let folder = target().join("cross");
    let (source, program) = (folder.join("probe.rs"), folder.join("probe"));
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&source, PROBE)).map_err(|error| format!("{}: {error}", source.display()))?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc).arg("--edition=2024").arg(&source).arg("-o").arg(&program).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("the probe of CPU features could not be compiled, see above".into());
    }
    Ok(program)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_conformance_that_prints_no_success_fails() {
        let told = |script: &str| conform(Command::new("sh").args(["-c", script]));
        assert!(told("echo 'CPU (seed 1): 29 of 29 comparisons passed'").unwrap().starts_with("CPU (seed 1): 29 of 29 comparisons passed, "));
        assert!(told("echo 'CPU (seed 1): 28 of 29 comparisons passed'; exit 1").unwrap_err().contains("28 of 29"));
        assert!(told("kill -ILL $$").unwrap_err().contains("signal: 4"));
        assert!(told("true").is_err());
    }

    #[test]
    fn a_level_that_this_machine_lacks_is_not_run_and_one_that_is_not_forced_fails() {
        let probe = Path::new("true");
        let level = |model| Level { name: "v9", model, features: "AVX-9: true" };
        assert!(check(&level(""), probe, probe).unwrap().starts_with("NOT RUN: this CPU lacks it"));
        if crate::system::found(TOOLS[0].0) {
            assert!(check(&level("Nehalem"), Path::new("/bin/true"), probe).unwrap_err().contains("reports"));
        }
    }
}
