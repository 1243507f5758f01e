//! `signet app`, and `signet` without a command: starts the app, a separate program.

#[path = "../../app/src/options.rs"]
mod options;

use super::output::note;
use anyhow::{Context, Result, bail};
use clap::Args;
use options::AppOptions;
use signet::runner::{self, Stop};
use std::path::Path;
use std::process::{Command, Stdio};

/// Paths of the app relative to this program: as built, and in the macOS bundle.
const PLACES: [&str; 2] = ["signet-app", "Signet.app/Contents/MacOS/Signet"];

/// Open the app: train, compare and chat in a window.
#[derive(Args, Default)]
pub(super) struct App {
    #[command(flatten)]
    options: AppOptions,
}

impl App {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        if !runner::has_display() {
            bail!("cannot open the app: no display found. Use `signet train` in the terminal; `signet --help` lists all commands");
        }
        let mut command = app_command()?;
        let AppOptions { runs, config, frames } = self.options;
        for (option, value) in [("--runs", runs), ("--config", config), ("--frames", frames)] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        replace_process(&mut command, stop)
    }
}

/// Returns the command that starts the app with errors on the terminal.
fn app_command() -> Result<Command> {
    let Some(found) = PLACES.iter().find_map(|name| runner::beside(name)) else {
        let here = std::env::current_exe().context("the path of this program")?;
        bail!(
            "cannot open the app: {} not found. Build and run it with `cargo run --release -p signet-app`; for a release, keep both programs in \
             one folder",
            here.with_file_name(format!("{}{}", PLACES[0], std::env::consts::EXE_SUFFIX)).display()
        );
    };
    warn_on_other_build(&found);
    let mut command = Command::new(found);
    command.arg("--terminal");
    if runner::RUNS_CHILD {
        command.arg("--until-input-ends");
    }
    Ok(command)
}

/// Warns if the app was built from other sources of the library than this program.
fn warn_on_other_build(app: &Path) {
    // An app that cannot be started is reported when it is opened.
    let Ok(output) = Command::new(app).args(["--terminal", "--version"]).stdin(Stdio::null()).stderr(Stdio::inherit()).output() else { return };
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.contains(env!("SIGNET_SOURCES")) {
        note(&format!(
            "the app beside signet is from another build ({}; signet {} has the sources {}). Rebuild it with `cargo build --release -p signet-app`; for \
             a release, keep both programs of it in one folder",
            version.trim(),
            env!("CARGO_PKG_VERSION"),
            env!("SIGNET_SOURCES")
        ));
    }
}

fn replace_process(command: &mut Command, stop: &Stop) -> Result<()> {
    let stop = stop.clone();
    match runner::replace_process(command, move || stop.is_requested()).with_context(|| command.get_program().display().to_string())? {
        0 => Ok(()),
        // The app has reported its error.
        code => runner::exit(code),
    }
}

/// Runs `signet bench app`: the app benchmarks its drawing.
pub(super) fn bench(arguments: &[String], stop: &Stop) -> Result<()> {
    replace_process(app_command()?.arg("bench").args(arguments), stop)
}
