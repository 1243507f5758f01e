//! `cargo xtask test`: checks without a compiler first, then fast ones, then all tests. One build in the `dev`
//! profile, which optimises only compute code, serves lints, documentation, tests, and the tests in windows and
//! browsers.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::attack::step as attack;
use crate::browser;
use crate::isa;
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

/// Manifests of the program's workspace and of xtask's.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "xtask/Cargo.toml"];

/// Arguments of `cargo test`, the longest tests last. Unit tests are compiled separately without optimisation, in a
/// quarter of the time and with overflow checks. Always the whole workspace: the features of a part would rebuild
/// most dependencies.
const TESTS: [&str; 4] = [
    "--manifest-path xtask/Cargo.toml",
    "--workspace --lib --bins --config profile.dev.package.signet.opt-level=0 --config profile.dev.package.signet.overflow-checks=true",
    "--workspace --test main --test window -- --skip every_adapter --skip large::",
    "--workspace --test main -- every_adapter large::",
];

/// Runs all steps; fails if any step fails. The last ones, which build the page and test in windows and browsers, do
/// not start later than `within`; at 1.25 × `within` the process ends. Skipped steps are reported.
pub(crate) fn run(within: Option<Duration>) -> Result<(), String> {
    let missing = wrapper::install(&target())?;
    let runtime = RuntimeDir::new();
    let mut steps = Steps::new(within);
    steps.run("drivers", system::prepare);
    let mut third = None;
    steps.run("swiftshader", || swiftshader::prepare(&target(), &mut third));
    let set_environment = |command: &mut Command| {
        if let Some(dir) = &runtime {
            command.env("XDG_RUNTIME_DIR", dir.path());
        }
        if let Some(driver) = &third {
            // In addition to the drivers that the loader finds.
            command.env("VK_ADD_DRIVER_FILES", driver);
        }
    };
    steps.run("format", || {
        if component("fmt") {
            lints::report_format(run_each(MANIFESTS, |manifest| shown(cargo("fmt --all --check --manifest-path").arg(manifest))))
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
    // The wrapper also checks lints and documentation.
    steps.run("build", || {
        page = web::begin();
        run_each(TESTS, |tests| shown(&mut cargo(&format!("test --locked --no-run {tests}"))))
    });
    let linted = || match missing.as_slice() {
        [] => wrapper::outcome(&target()),
        [component, ..] => absent(component),
    };
    steps.run("lints", linted);
    steps.run("adapters", || match native() {
        Ok(program) => {
            let mut devices = Command::new(program);
            set_environment(devices.arg("devices"));
            adapters(&mut devices)
        }
        Err(error) => Outcome::Failed(error),
    });
    steps.run("isa", isa::step);
    let failures = steps.failures();
    steps.run("tests", || {
        // Some tests measure time.
        page.into_iter().for_each(web::Compiling::wait);
        for compiler in ["naga", "tint"].iter().filter(|compiler| !found(compiler)) {
            println!("{compiler} is not on the PATH: the shaders are not tried with it");
        }
        run_each(TESTS, |tests| {
            let mut tests = cargo(&format!("test --locked --no-fail-fast {tests}"));
            set_environment(&mut tests);
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
    steps.run_late("web", || match (web::step(), linted()) {
        // Clippy compiles xtask/glue.
        (Outcome::Passed(_), Outcome::Failed(why)) => Outcome::Failed(why),
        (outcome, _) => outcome,
    });
    steps.run_late("window", window::step);
    steps.run_late("attack", attack);
    steps.run_late("browser", browser::step);
    steps.finish()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn attack() -> Outcome {
    Outcome::Skipped("it needs Linux on x86-64".into())
}

/// Runs `step` on all parts, also after failures; fails if any failed.
fn run_each<const N: usize>(parts: [&str; N], step: impl FnMut(&str) -> Outcome) -> Outcome {
    let outcomes = parts.map(step);
    let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_)));
    let detail: String = outcomes.into_iter().map(Outcome::detail).collect();
    if failed { Outcome::Failed(detail) } else { Outcome::Passed(detail) }
}

/// The software adapters that the tests should run on, by a part of their name.
const ADAPTERS: [(&str, &str); 3] =
    [("lavapipe (Vulkan)", ") (vulkan): Cpu, driver llvmpipe"), ("llvmpipe (OpenGL)", ") (gl): Cpu"), ("SwiftShader", "SwiftShader")];

/// Lists the adapters that the tests use, and reports which of the three are missing.
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

/// Returns true if a component of the toolchain is installed.
fn component(name: &str) -> bool {
    let status = cargo(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn absent(component: &str) -> Outcome {
    Outcome::Skipped(format!("this toolchain has no {component}; add it with: rustup component add {component}"))
}
