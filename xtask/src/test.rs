//! `cargo xtask test`: the checks that need no compiler first, then those that need little, then
//! all tests. Everything is built in release, so that checks, documents and tests share one build
//! of the dependencies' build scripts and macros.

use crate::browser;
use crate::licences;
use crate::lints;
use crate::steps::{Outcome, Steps, cargo, shown, shown_keeping};
use crate::swiftshader;
use crate::system::{self, RuntimeDir, found};
use crate::web;
use crate::window;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs every step; fails if one of them does.
pub(crate) fn run() -> Result<(), String> {
    let runtime = RuntimeDir::new();
    let mut steps = Steps::default();
    steps.run("drivers", system::prepare);
    let mut third = None;
    steps.run("swiftshader", || swiftshader::prepare(&target(), &mut third));
    let command = |arguments: &str| {
        let mut command = Command::new(cargo());
        command.args(arguments.split(' '));
        if let Some(dir) = &runtime {
            command.env("XDG_RUNTIME_DIR", dir.path());
        }
        if let Some(driver) = &third {
            // Beside the drivers that the loader finds by itself.
            command.env("VK_ADD_DRIVER_FILES", driver);
        }
        command
    };
    steps.run("format", || if component("fmt") { lints::advised(shown(&mut command("fmt --all --check"))) } else { absent("rustfmt") });
    steps.run("licences", || match licences::check() {
        Ok(count) => Outcome::Passed(format!("{count} packages")),
        Err(error) => {
            println!("{error}");
            Outcome::Failed("see above".into())
        }
    });
    steps.run("clippy", || {
        if !component("clippy") {
            return absent("clippy");
        }
        lints::printed(shown(command("clippy --release --locked --workspace --all-targets --").args(lints::flags())))
    });
    steps.run("documents", || lints::printed(shown(command("doc --release --locked --workspace --no-deps").env("RUSTDOCFLAGS", lints::flags().join(" ")))));
    steps.run("adapters", || adapters(&mut command("run --release --locked --quiet -- devices")));
    steps.run("tests", || {
        for compiler in ["naga", "tint"].iter().filter(|compiler| !found(compiler)) {
            println!("{compiler} is not on the PATH: the shaders are not tried with it");
        }
        let (outcome, results) = shown_keeping(&mut command("test --release --locked --workspace --no-fail-fast"), |line| line.starts_with("test result:"));
        let results: String = results.iter().map(|line| format!("\n  {line}")).collect();
        match outcome {
            Outcome::Failed(why) => Outcome::Failed(why + &results),
            _ => Outcome::Passed(results),
        }
    });
    steps.run("window", window::step);
    steps.run("web", web::step);
    steps.run("browser", browser::step);
    steps.finish()
}

/// The build's folder, beside which nothing is written.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// The software adapters that the tests are meant to run on, by a part of how they are listed.
const ADAPTERS: [(&str, &str); 3] =
    [("lavapipe (Vulkan)", ") (vulkan): Cpu, driver llvmpipe"), ("llvmpipe (OpenGL)", ") (gl): Cpu"), ("SwiftShader", "SwiftShader")];

/// Lists the adapters that the tests take, all there are, and says which of the three are not among them.
fn adapters(devices: &mut Command) -> Outcome {
    let (outcome, lines) = shown_keeping(devices, |line| line.starts_with(|c: char| c.is_ascii_digit()));
    if let Outcome::Failed(_) = outcome {
        return outcome;
    }
    let missing: Vec<&str> = ADAPTERS.iter().filter(|(_, part)| !lines.iter().any(|line| line.contains(part))).map(|(name, _)| *name).collect();
    let listed: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    match missing.is_empty() {
        true => Outcome::Passed(listed),
        false => Outcome::Skipped(format!("not tested: {}; tested:{listed}", missing.join(", "))),
    }
}

/// Whether a component of the toolchain is there.
fn component(name: &str) -> bool {
    let status = Command::new(cargo()).args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn absent(component: &str) -> Outcome {
    Outcome::Skipped(format!("this toolchain has no {component}; add it with: rustup component add {component}"))
}
