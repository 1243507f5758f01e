//! What compiles for WebAssembly: this toolchain with its target, which rustup adds where it can; or
//! Debian's own, which brings the standard library as source.

use crate::program::cargo;
use crate::steps::{Outcome, shown};
use crate::system::{self, found};
use std::path::Path;
use std::process::{Command, Stdio};

/// What is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's toolchain, and the linker that its target takes.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const LINKER: &str = "wasm-ld-19";

/// What others are told.
const ELSEWHERE: &str = "nothing here compiles for WebAssembly; with rustup run: rustup target add wasm32-unknown-unknown; \
     on Debian run: apt-get install rustc-web cargo-web rust-web-src lld-19";

/// A way to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The cargo that runs this.
    Own,
    /// Debian's, which builds the standard library too.
    Debian,
}

impl Toolchain {
    /// Finds one, or installs it.
    pub(crate) fn find() -> Result<Self, String> {
        if own() {
            return Ok(Self::Own);
        }
        if found("rustup") {
            println!("adding the target {TARGET} with rustup");
            shown(Command::new("rustup").args(["target", "add", TARGET]));
            if own() {
                return Ok(Self::Own);
            }
        }
        match system::install(&PACKAGES) {
            Outcome::Passed(_) => Ok(Self::Debian),
            Outcome::Skipped(why) | Outcome::Failed(why) => Err(format!("{ELSEWHERE} ({why})")),
        }
    }

    /// `cargo build` for WebAssembly, without what to build.
    pub(crate) fn build(self) -> Command {
        match self {
            Self::Own => {
                let mut command = cargo("build --target");
                command.arg(TARGET);
                command
            }
            Self::Debian => {
                let mut command = Command::new("/usr/bin/cargo");
                command.args(["build", "--target", TARGET, "-Z", "build-std=std,panic_abort"]);
                command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER);
                command.env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        }
    }

    /// What is said of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "this toolchain",
            Self::Debian => "Debian's toolchain, with its standard library from source",
        }
    }
}

/// Whether the toolchain that runs this has the target's standard library.
fn own() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
