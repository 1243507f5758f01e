//! Fast checks during development: one operation on every device (`op`), or format, lints, the unit tests of
//! changed files and new commits (`check`). Both build incrementally, separately from the tests' build.

use crate::lints;
use crate::program::{cargo, root, target};
use crate::steps::{Outcome, Steps, shown};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A fast build: little optimisation, and many codegen units for incremental compilation.
const PROFILE: &str = "--config profile.dev.package.signet.opt-level=1 --config profile.dev.package.signet.codegen-units=256";
/// The same for unit tests, as `cargo xtask test` compiles them.
const UNITS: &str = "--config profile.dev.package.signet.opt-level=0 --config profile.dev.package.signet.overflow-checks=true \
                     --config profile.dev.package.signet.codegen-units=256";

/// Maximum characters of a commit's subject.
const MAX_SUBJECT: usize = 72;

/// Builds the program and runs all conformance cases of one operation on a device.
pub(crate) fn op(name: &str, device: &str) -> Result<(), String> {
    let known = operations()?;
    if !known.contains(name) {
        return Err(format!("there is no operation {name}; there are {}", known.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let built = quick(&format!("build --locked --quiet --workspace --bin signet {PROFILE}")).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("signet could not be built, see above".into());
    }
    let program = target().join("debug").join(format!("signet{}", std::env::consts::EXE_SUFFIX));
    let status = Command::new(program).args(["conform", "--device", device, "--filter", &format!("{name}: ")]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("a case of {name} fails, see above")),
        Err(error) => Err(format!("signet: {error}")),
    }
}

/// Checks format, lints, the unit tests of the modules whose files differ from the last commit, and the subjects of new
/// commits.
pub(crate) fn check() -> Result<(), String> {
    let mut steps = Steps::new(None);
    steps.run("format", || lints::report_format(shown(&mut cargo("fmt --all --check"))));
    let flags = lints::flags().join(" ");
    steps.run("lints", || lints::report_lints(shown(&mut quick(&format!("clippy --locked --quiet --workspace --all-targets -- {flags}")))));
    steps.run("tests", || match changed() {
        Ok(changed) => units(&changed),
        Err(error) => Outcome::Failed(error),
    });
    steps.run("commits", || match new_subjects() {
        Ok(subjects) => check_subjects(&subjects),
        Err(error) => Outcome::Failed(error),
    });
    steps.finish()
}

/// Returns the subjects of the commits that are on no remote branch; without remote branches, the last commit's.
fn new_subjects() -> Result<Vec<String>, String> {
    let count = if git(&["branch", "--remotes"])?.trim().is_empty() { "--max-count=1" } else { "--max-count=500" };
    Ok(git(&["log", "--format=%s", count, "HEAD", "--not", "--remotes"])?.lines().map(String::from).collect())
}

/// Checks the form of commit subjects.
fn check_subjects(subjects: &[String]) -> Outcome {
    let faults: Vec<String> = subjects.iter().filter_map(|subject| Some(format!("\n  {subject:?} {}", subject_fault(subject)?))).collect();
    match faults.is_empty() {
        true => Outcome::Passed(format!("{} new", subjects.len())),
        false => Outcome::Failed(faults.concat()),
    }
}

/// Returns what is wrong with a commit's subject. That it is imperative and says what changes for whom is for readers.
fn subject_fault(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    match subject {
        _ if length > MAX_SUBJECT => Some(format!("has {length} characters; at most {MAX_SUBJECT} are allowed")),
        _ if !subject.starts_with(char::is_uppercase) => Some("must start with an upper-case letter".into()),
        _ if subject.ends_with('.') => Some("must not end with a period".into()),
        _ if subject.starts_with("Merge ") => Some("is a merge; rebase instead".into()),
        _ => None,
    }
}

/// Runs the unit tests of these modules; all tests if the root of a crate changed.
fn units(changed: &BTreeSet<String>) -> Outcome {
    if changed.is_empty() {
        return Outcome::Skipped("no file with unit tests differs from the last commit".into());
    }
    // Test the whole workspace: the features of a part would rebuild most dependencies.
    let mut tests = quick(&format!("test --locked --quiet --workspace --lib --bins {UNITS} --"));
    if !changed.contains("") {
        tests.args(changed);
    }
    match shown(&mut tests) {
        Outcome::Passed(_) => Outcome::Passed(changed.iter().cloned().collect::<Vec<_>>().join(", ")),
        outcome => outcome,
    }
}

/// Returns cargo with incremental compilation.
fn quick(arguments: &str) -> Command {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = cargo(&arguments.join(" "));
    command.env("CARGO_INCREMENTAL", "1");
    command
}

/// Returns the names of all operations.
fn operations() -> Result<BTreeSet<String>, String> {
    let shaders = root().join("shaders");
    let entries = std::fs::read_dir(&shaders).map_err(|error| format!("{}: {error}", shaders.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_suffix(".wgsl").filter(|stem| !stem.contains('.')).map(String::from)).collect())
}

/// Returns the module of every file that differs from the last commit or is new.
fn changed() -> Result<BTreeSet<String>, String> {
    let mut changed = BTreeSet::new();
    for arguments in [&["diff", "--name-only", "HEAD"][..], &["ls-files", "--others", "--exclude-standard"]] {
        changed.extend(git(arguments)?.lines().filter_map(module));
    }
    Ok(changed)
}

/// Runs git in the repository and returns its output.
fn git(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").args(arguments).current_dir(root()).output().map_err(|error| format!("git: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Returns a file's module path in its crate: `src/ops/add.rs` and `shaders/add.wgsl` are `ops::add`.
fn module(path: &str) -> Option<String> {
    match path {
        // The build script generates the table of kernels.
        "build.rs" => return Some("device".into()),
        _ if path.ends_with("Cargo.toml") || path == "Cargo.lock" => return Some(String::new()),
        _ => {}
    }
    if let Some(stem) = path.strip_prefix("shaders/").and_then(|file| file.split('.').next()) {
        return Some(if stem.starts_with("shared/") { "ops".into() } else { format!("ops::{stem}") });
    }
    let inner = ["src/", "crates/app/src/", "crates/cli/src/", "xtask/isa/src/"].iter().find_map(|folder| path.strip_prefix(folder)?.strip_suffix(".rs"))?;
    let parts = Path::new(inner).iter().filter_map(|part| part.to_str());
    Some(parts.filter(|part| !["mod", "lib", "main", "tests"].contains(part)).collect::<Vec<_>>().join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_commit_subject_is_named() {
        let fault = |subject: &str| subject_fault(subject).unwrap_or_default();
        assert_eq!(fault("Shorten README to the commands, pictures and what works where"), "");
        assert_eq!(fault(&format!("A{}", "é".repeat(71))), "");
        assert_eq!(fault(&"A".repeat(73)), "has 73 characters; at most 72 are allowed");
        for (subject, expected) in
            [("wip", "upper-case"), ("fixup! Add x", "upper-case"), ("Add x.", "period"), ("Merge branch x", "rebase"), ("", "upper-case")]
        {
            assert!(fault(subject).contains(expected), "{subject}");
        }
        assert!(matches!(check_subjects(&["wip".into()]), Outcome::Failed(why) if why.contains("\"wip\"")));
    }

    #[test]
    fn a_file_is_selected_by_its_module() {
        let of = |path: &str| module(path).unwrap();
        assert_eq!(of("src/ops/add.rs"), "ops::add");
        assert_eq!(of("shaders/attention.blocked.wgsl"), "ops::attention");
        assert_eq!(of("shaders/shared/tile.wgsl"), "ops");
        assert_eq!(of("src/runner/hub_models/tests.rs"), "runner::hub_models");
        assert_eq!((of("src/lib.rs"), of("crates/cli/Cargo.toml"), of("build.rs")), (String::new(), String::new(), "device".into()));
        assert_eq!((of("crates/app/src/train/mod.rs"), of("xtask/isa/src/assembly.rs")), ("train".into(), "assembly".into()));
        assert_eq!((module("docs/app.md"), module("tests/train.rs")), (None, None));
        assert!(operations().unwrap().contains("fbi_linear") && !operations().unwrap().contains("shared"));
    }
}
