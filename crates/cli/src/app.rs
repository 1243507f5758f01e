//! `signet app`, and `signet` alone: starts the app, a program of its own.

use super::output;
use anyhow::{Context, Result, bail};
use clap::Args;
use signet::runner;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The app beside this program: as it is built, and within the bundle of macOS.
const PLACES: [&str; 2] = ["signet-app", "Signet.app/Contents/MacOS/Signet"];

/// Open the app: train, watch, talk, in a window.
#[derive(Args, Default)]
pub(super) struct App {
    /// Folder of the runs; the one shown last, or `runs`.
    #[arg(long)]
    runs: Option<PathBuf>,
    /// Fill the form of a new run from a TOML file, as `train --config` reads it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write down when each frame was drawn and what the app itself took for it, as CSV.
    #[arg(long, value_name = "FILE", hide = true)]
    frames: Option<PathBuf>,
}

impl App {
    pub(super) fn run(self) -> Result<()> {
        if !runner::has_display() {
            bail!("there is no display for the app's window. Train in the terminal with `signet train`; `signet --help` lists everything else");
        }
        let mut command = program()?;
        for (option, value) in [("--runs", self.runs), ("--config", self.config), ("--frames", self.frames)] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        ended(command.status(), &command)
    }
}

/// The app's program, which writes its errors to the terminal.
fn program() -> Result<Command> {
    let here = std::env::current_exe().context("the path of this program")?;
    let places = PLACES.map(|name| here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    let Some(found) = places.iter().find(|path| runner::is_file(path)) else {
        bail!(
            "the app is a program of its own, and {} is not there. Build it with `cargo run --release -p signet-app`, which also opens it",
            places[0].display()
        );
    };
    let mut command = Command::new(found);
    command.arg("--terminal");
    Ok(command)
}

fn ended(status: std::io::Result<std::process::ExitStatus>, command: &Command) -> Result<()> {
    let status = status.with_context(|| command.get_program().display().to_string())?;
    match status.code() {
        Some(0) => Ok(()),
        // It has said why.
        Some(code) => runner::exit(code),
        None => bail!("{} ended by {status}", command.get_program().display()),
    }
}

/// `signet bench app`: the app times its drawing. What it prints goes through this program, since on Windows it has no console.
pub(super) fn bench(arguments: &[String]) -> Result<()> {
    let mut command = program()?;
    let mut child = command.arg("bench").args(arguments).stdout(Stdio::piped()).spawn().with_context(|| PLACES[0].to_string())?;
    let printed = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    for line in std::io::BufRead::lines(printed) {
        output::put_line(&line.context("what the app prints")?);
    }
    ended(child.wait(), &command)
}
