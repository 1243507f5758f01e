//! Windows programs under Wine: the build, a prefix of its own, and commands in it.

use super::Tool;
use crate::program::{cargo, target};
use crate::rust_target;
use crate::steps::{Outcome, shown};
use crate::wrapper;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(super) const TOOLS: [Tool; 3] = [("wine", "wine wine64"), (COMPILER, "gcc-mingw-w64-x86-64"), ("Xvfb", "xvfb")];
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
const TARGET: &str = "x86_64-pc-windows-gnu";

/// The library from which Rust takes random bytes, as it is on Windows. Wine 8 does not have it.
const RANDOM_LIBRARY: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = "#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
";

/// Checks for the target; the tools are checked by their names.
pub(super) fn require_target() -> Result<(), String> {
    rust_target::require(TARGET)
}

/// A Wine prefix in a temporary folder, removed when dropped.
pub(super) struct Wine {
    folder: PathBuf,
    programs: PathBuf,
    display: String,
}

impl Wine {
    /// Builds the programs, and creates a prefix whose programs draw on `display`.
    pub(super) fn start(display: &str) -> Result<Self, String> {
        let programs = build()?;
        let folder = std::env::temp_dir().join(format!("signet-wine-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(folder.join("prefix")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let wine = Self { folder, programs, display: display.into() };
        // The server stays between commands: one that ends while the next command starts would refuse it.
        for (program, argument) in [("wineserver", "--persistent"), ("wineboot", "--init")] {
            let status = wine.environment(Command::new(program).arg(argument)).stdout(Stdio::null()).stderr(Stdio::null()).status();
            match status {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("{program} {argument}: {status}")),
                Err(error) => return Err(format!("{program}: {error}")),
            }
        }
        let name = format!("windows/system32/{RANDOM_LIBRARY}");
        if !wine.drive().join(&name).is_file() {
            println!("this Wine has no {RANDOM_LIBRARY}: compiling one");
            compile(RANDOM_SOURCE, &wine.drive().join(name))?;
        }
        Ok(wine)
    }

    /// The folder of drive C.
    pub(super) fn drive(&self) -> PathBuf {
        self.folder.join("prefix/drive_c")
    }

    /// Returns the command of `signet` in a folder of drive C.
    pub(super) fn signet(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("wine");
        self.environment(command.arg(self.programs.join("signet.exe")).args(arguments).current_dir(folder));
        command
    }

    /// Sets the environment of a command of Wine.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // Without the last, Wine asks for packages that its programs for .NET and HTML need.
        command
            .env("WINEPREFIX", self.folder.join("prefix"))
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("DISPLAY", &self.display)
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .stdin(Stdio::null())
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        for argument in ["--kill", "--wait"] {
            self.environment(Command::new("wineserver").arg(argument)).stderr(Stdio::null()).status().ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Sends Ctrl-C to a program: Wine passes the signal on as the console's event.
pub(super) fn interrupt(child: &Child) -> Result<(), String> {
    let status = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
    match status.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err(format!("cannot interrupt process {}", child.id())),
    }
}

/// Builds both programs, moderately optimised: compiling is most of the time. Returns their folder.
fn build() -> Result<PathBuf, String> {
    let mut command = cargo(&format!(
        "build --locked --quiet --package signet-cli --package signet-app --target {TARGET} --config profile.dev.package.signet.opt-level=1 --config profile.dev.package.signet.codegen-units=16"
    ));
    match shown(wrapper::without(&mut command)) {
        Outcome::Passed(_) => Ok(target().join(TARGET).join("debug")),
        _ => Err("signet could not be built for Windows, see above".into()),
    }
}

/// Compiles C source to a library.
fn compile(source: &str, library: &Path) -> Result<(), String> {
    let spawned = Command::new(COMPILER).args(["-shared", "-x", "c", "-", "-o"]).arg(library).arg("-ladvapi32").stdin(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{COMPILER}: {error}"))?;
    let written = child.stdin.take().expect("piped").write_all(source.as_bytes());
    let compiled = child.wait().is_ok_and(|status| status.success());
    if compiled && written.is_ok() { Ok(()) } else { Err(format!("{COMPILER} could not compile {}, see above", library.display())) }
}
