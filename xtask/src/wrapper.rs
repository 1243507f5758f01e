//! Runs clippy and rustdoc during compilation. As separate commands they first check every dependency, which took
//! most of 19 minutes on a slow machine. Here cargo compiles the workspace through this program
//! (`RUSTC_WORKSPACE_WRAPPER`), and each call of rustc becomes up to three: rustc itself, clippy, and rustdoc for a
//! library.

use crate::lints;
use crate::steps::Outcome;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

/// Environment variable with the folder for the output of clippy and rustdoc, and a marker file for each crate that
/// they refuse.
const FOLDER: &str = "SIGNET_LINTS";
/// Extension of a marker file.
const REFUSED: &str = "refused";

/// Sets the wrapper for every cargo that this process starts. Returns the components that the toolchain lacks.
pub(crate) fn install(target: &Path) -> Result<Vec<&'static str>, String> {
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let folder = target.join("lints");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::set_var(FOLDER, folder);
        std::env::set_var("RUSTC_WORKSPACE_WRAPPER", program);
    }
    Ok([("clippy-driver", "clippy"), ("rustdoc", "rustc")].into_iter().filter(|(tool, _)| !is_installed(tool)).map(|(_, component)| component).collect())
}

/// Removes the wrapper from a command.
pub(crate) fn without(command: &mut Command) -> &mut Command {
    command.env_remove(FOLDER).env_remove("RUSTC_WORKSPACE_WRAPPER")
}

/// Returns the outcome of clippy and rustdoc for all crates compiled since [`install`] or earlier.
pub(crate) fn outcome(target: &Path) -> Outcome {
    let files = match std::fs::read_dir(target.join("lints")) {
        Ok(files) => files.filter_map(|file| Some(file.ok()?.path())),
        Err(error) => return Outcome::Failed(format!("{}: {error}", target.join("lints").display())),
    };
    let refused: Vec<String> =
        files.filter(|file| file.extension() == Some(OsStr::new(REFUSED))).filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    match refused.is_empty() {
        true => lints::report_lints(Outcome::Passed(String::new())),
        false => Outcome::Failed(format!("{}; see the build above", refused.join(", "))),
    }
}

/// If cargo started this process in place of rustc: runs rustc, clippy and rustdoc. The exit status is rustc's;
/// failures of clippy and rustdoc are recorded for [`outcome`], so that the tests still run.
pub(crate) fn run() -> Option<ExitCode> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let mut arguments = std::env::args_os().skip(1);
    let rustc = arguments.next().filter(|path| Path::new(path).file_stem() == Some(OsStr::new("rustc")))?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut compile = Command::new(&rustc);
    compile.args(&arguments);
    let Some(unit) = Unit::of(&arguments) else { return Some(ended(&mut compile)) };
    let mark = folder.join(format!("{}.{REFUSED}", unit.name));
    let clippy = unit.clippy(&rustc, &folder).spawn();
    // Clippy repeats rustc's warnings.
    if clippy.is_ok() {
        compile.args(["--cap-lints", "allow"]);
    }
    let rustdoc = unit.documented.then(|| unit.rustdoc(&folder).spawn());
    let code = ended(&mut compile);
    // `install` has reported missing tools.
    let checks = [("clippy", clippy.ok()), ("rustdoc", rustdoc.and_then(Result::ok))];
    let refused: Vec<&str> = checks.into_iter().filter_map(|(name, child)| failed(child?).then_some(name)).collect();
    let written = match refused.is_empty() {
        true => std::fs::remove_file(&mark).or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }),
        false => std::fs::write(&mark, format!("{} of {}", refused.join(" and "), unit.name)),
    };
    if let Err(error) = written {
        eprintln!("error: {}: {error}", mark.display());
        return Some(ExitCode::FAILURE);
    }
    Some(code)
}

/// A call of rustc that compiles a crate.
struct Unit<'a> {
    arguments: &'a [OsString],
    /// Crate name, root file, and whether it is compiled for tests: independent of other compiler settings.
    name: String,
    /// True for a library that is not compiled for tests.
    documented: bool,
}

impl<'a> Unit<'a> {
    /// Parses rustc's arguments; `None` if the call only queries the compiler.
    fn of(arguments: &'a [OsString]) -> Option<Self> {
        let text = |at: usize| arguments.get(at).and_then(|word| word.to_str()).unwrap_or_default();
        let after = |name: &str| (0..arguments.len()).find(|at| text(*at) == name).map(|at| text(at + 1));
        let root = (0..arguments.len()).map(text).find(|word| word.ends_with(".rs"))?;
        let test = (0..arguments.len()).any(|at| text(at) == "--test");
        let file = Path::new(root).file_name()?.to_str()?;
        let name = format!("{} ({file}{})", after("--crate-name")?, if test { ", tests" } else { "" });
        let documented = after("--crate-type") == Some("lib") && !test;
        Some(Self { arguments, name, documented })
    }

    /// Returns the clippy command for the crate. Its metadata goes to a separate folder and is not reported to cargo,
    /// which starts dependent crates as soon as metadata is reported.
    fn clippy(&self, rustc: &OsStr, folder: &Path) -> Command {
        let mut command = Command::new(tool("clippy-driver"));
        command.arg(rustc);
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            match word.to_str().unwrap_or_default() {
                "--out-dir" => drop(words.next()),
                "-C" => {
                    if let Some(option) = words.next().filter(|option| !option.to_string_lossy().starts_with("incremental=")) {
                        command.arg("-C").arg(option);
                    }
                }
                text if text.starts_with("--emit=") => {}
                text if text.starts_with("--json=") => {
                    let kinds: Vec<&str> = text["--json=".len()..].split(',').filter(|kind| *kind != "artifacts").collect();
                    command.arg(format!("--json={}", kinds.join(",")));
                }
                _ => drop(command.arg(word)),
            }
        }
        command.arg("--emit=metadata").arg("--out-dir").arg(folder).args(lints::flags());
        command
    }

    /// Returns the rustdoc command for the crate, with the arguments that rustdoc shares with rustc.
    fn rustdoc(&self, folder: &Path) -> Command {
        let mut command = Command::new(tool("rustdoc"));
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            match word.to_str().unwrap_or_default() {
                "--crate-name" | "--crate-type" | "--cfg" | "--check-cfg" | "--extern" | "-L" => {
                    command.arg(word).args(words.next());
                }
                "--out-dir" | "-C" => drop(words.next()),
                text if text.starts_with("--edition=") || text.ends_with(".rs") => drop(command.arg(word)),
                _ => {}
            }
        }
        command.arg("--out-dir").arg(folder.join("doc")).args(lints::flags());
        command
    }
}

/// Returns the path of a tool beside the running cargo, or its name.
fn tool(name: &str) -> PathBuf {
    let beside = std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

fn is_installed(name: &str) -> bool {
    Command::new(tool(name)).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn ended(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code.clamp(0, 255) as u8)),
        Err(error) => {
            eprintln!("error: {}: {error}", command.get_program().display());
            ExitCode::FAILURE
        }
    }
}

fn failed(mut child: Child) -> bool {
    !child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "--crate-name signet --edition=2024 src/lib.rs --error-format=json --json=diagnostic-rendered-ansi,artifacts,future-incompat --crate-type lib --emit=dep-info,metadata,link -C opt-level=3 -C incremental=target/debug/incremental --cfg feature=\"desktop\" --out-dir target/debug/deps -L dependency=target/debug/deps --extern half=libhalf.rmeta";

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn arguments(command: &Command) -> Vec<&str> {
        command.get_args().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn clippy_checks_the_crate_in_a_folder_of_its_own() {
        let library = words(LIBRARY);
        let command = Unit::of(&library).unwrap().clippy(OsStr::new("rustc"), Path::new("lints"));
        let expected = "rustc --crate-name signet --edition=2024 src/lib.rs --error-format=json --json=diagnostic-rendered-ansi,future-incompat --crate-type lib -C opt-level=3 --cfg feature=\"desktop\" -L dependency=target/debug/deps --extern half=libhalf.rmeta --emit=metadata --out-dir lints";
        assert_eq!(arguments(&command), [expected.split(' ').collect(), lints::flags().to_vec()].concat());
    }

    #[test]
    fn rustdoc_documents_the_crate_with_its_features_and_dependencies() {
        let library = words(LIBRARY);
        let unit = Unit::of(&library).unwrap();
        let expected = "--crate-name signet --edition=2024 src/lib.rs --crate-type lib --cfg feature=\"desktop\" -L dependency=target/debug/deps --extern half=libhalf.rmeta --out-dir lints/doc";
        assert!(unit.documented);
        assert_eq!(arguments(&unit.rustdoc(Path::new("lints"))), [expected.split(' ').collect(), lints::flags().to_vec()].concat());
    }

    #[test]
    fn test_builds_have_their_own_marker_and_queries_have_none() {
        let tests = words(&LIBRARY.replace("--crate-type lib", "--test"));
        let (library, unit) = (words(LIBRARY), Unit::of(&tests).unwrap());
        assert!(!unit.documented && unit.name != Unit::of(&library).unwrap().name, "{}", unit.name);
        assert!(Unit::of(&words("- --crate-name ___ --print=file-names --print=cfg")).is_none());
    }
}
