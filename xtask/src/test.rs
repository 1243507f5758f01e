//! `cargo xtask test`: the checks that need no compiler first, then those that need little, then
//! all tests. One build serves lints, documents, tests and what is tried in windows and browsers: the
//! `dev` profile, in which only what computes is optimised.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::attack::step as attack;
use crate::browser;
use crate::licences;
use crate::lints;
use crate::program::{cargo, native, target};
use crate::steps::{Outcome, Steps, shown, shown_keeping};
use crate::swiftshader;
use crate::system::{self, RuntimeDir, found};
use crate::web;
use crate::window;
use crate::wrapper;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The program's own manifest, and that of the workspace of this command.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "xtask/Cargo.toml"];

/// All tests, as cargo is asked for them, the longest last. The units' own are compiled apart from what the others use,
/// and unoptimised: that takes a quarter of the time, and their sums are checked for overflow. Always for the whole
/// workspace: features of dependencies differ for parts of it, which would have most of them built again.
const TESTS: [&str; 4] = [
    "--manifest-path xtask/Cargo.toml",
    "--workspace --lib --bins --config profile.dev.package.signet.opt-level=0 --config profile.dev.package.signet.overflow-checks=true",
    "--workspace --test main --test window -- --skip every_adapter --skip large::",
    "--workspace --test main -- every_adapter large::",
];

/// Runs every step; fails if one of them does. The last, which build the page and try the whole in real surroundings,
/// do not begin later than `within`, and a quarter later everything is ended; what was left out is reported.
pub(crate) fn run(within: Option<Duration>) -> Result<(), String> {
    let missing = wrapper::install(&target())?;
    let runtime = RuntimeDir::new();
    let mut steps = Steps::new(within);
    steps.run("drivers", system::prepare);
    let mut third = None;
    steps.run("swiftshader", || swiftshader::prepare(&target(), &mut third));
    let surroundings = |command: &mut Command| {
        if let Some(dir) = &runtime {
            command.env("XDG_RUNTIME_DIR", dir.path());
        }
        if let Some(driver) = &third {
            // Beside the drivers that the loader finds by itself.
            command.env("VK_ADD_DRIVER_FILES", driver);
        }
    };
    steps.run("format", || {
        if component("fmt") {
            lints::advised(each(MANIFESTS, |manifest| shown(cargo("fmt --all --check --manifest-path").arg(manifest))))
        } else {
            absent("rustfmt")
        }
    });
    steps.run("licences", || match licences::check() {
        Ok(count) => Outcome::Passed(format!("{count} packages")),
        Err(error) => {
            println!("{error}");
            Outcome::Failed("see above".into())
        }
    });
    let mut page = None;
    // Lints and documents come with it.
    steps.run("build", || {
        page = web::begin();
        each(TESTS, |tests| shown(&mut cargo(&format!("test --locked --no-run {tests}"))))
    });
    let linted = || match missing.as_slice() {
        [] => wrapper::outcome(&target()),
        [component, ..] => absent(component),
    };
    steps.run("lints", linted);
    steps.run("adapters", || match native() {
        Ok(program) => {
            let mut devices = Command::new(program);
            surroundings(devices.arg("devices"));
            adapters(&mut devices)
        }
        Err(error) => Outcome::Failed(error),
    });
    let failures = steps.failures();
    steps.run("tests", || {
        // Some tests measure time.
        page.into_iter().for_each(web::Compiling::wait);
        for compiler in ["naga", "tint"].iter().filter(|compiler| !found(compiler)) {
            println!("{compiler} is not on the PATH: the shaders are not tried with it");
        }
        each(TESTS, |tests| {
            let mut tests = cargo(&format!("test --locked --no-fail-fast {tests}"));
            surroundings(&mut tests);
            let keep = |line: &str| {
                let failed = line.ends_with("... FAILED");
                if failed {
                    failures.push(line);
                }
                failed || line.starts_with("test result:")
            };
            let (outcome, results) = shown_keeping(&mut tests, keep);
            let results: String = results.iter().map(|line| format!("\n  {line}")).collect();
            match outcome {
                Outcome::Failed(why) => Outcome::Failed(why + &results),
                _ => Outcome::Passed(results),
            }
        })
    });
    steps.late("web", || match (web::step(), linted()) {
        // It compiles xtask/glue.
        (Outcome::Passed(_), Outcome::Failed(why)) => Outcome::Failed(why),
        (outcome, _) => outcome,
    });
    steps.late("window", window::step);
    steps.late("attack", attack);
    steps.late("browser", browser::step);
    steps.finish()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn attack() -> Outcome {
    Outcome::Skipped("it needs Linux on x86-64".into())
}

/// Does the same with all parts, whether or not it failed with those before; fails if it failed with any.
fn each<const N: usize>(parts: [&str; N], step: impl FnMut(&str) -> Outcome) -> Outcome {
    let outcomes = parts.map(step);
    let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_)));
    let detail: String = outcomes.into_iter().map(Outcome::detail).collect();
    if failed { Outcome::Failed(detail) } else { Outcome::Passed(detail) }
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
    let status = cargo(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn absent(component: &str) -> Outcome {
    Outcome::Skipped(format!("this toolchain has no {component}; add it with: rustup component add {component}"))
}
