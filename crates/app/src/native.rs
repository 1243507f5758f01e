//! Entry point of the native app: started by a double-click, or by `signet app`, which passes its options.

use super::options::AppOptions;
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use signet::runner::{self, Stop};
use signet_app::{Options, bench};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Version and hash of the sources; `signet` compares both with its own.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (sources ", env!("SIGNET_SOURCES"), ")");

/// Train, compare and chat in a window.
#[derive(Parser)]
#[command(name = "signet-app", version = VERSION)]
struct Arguments {
    #[command(flatten)]
    options: AppOptions,
    /// Print errors in the terminal, and put runs into its folder; set by `signet`. Read before the other options.
    #[arg(long = "terminal", hide = true)]
    _terminal: bool,
    /// Stop at the end of standard input; set by `signet` where Ctrl-C does not reach a GUI program.
    #[arg(long, hide = true)]
    until_input_ends: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(hide = true)]
    Bench(Bench),
}

/// Benchmark the frame time without a window: `signet bench app`.
#[derive(Args)]
struct Bench {
    #[arg(long)]
    points: u64,
    #[arg(long)]
    frames: usize,
    #[arg(long)]
    runs: PathBuf,
    #[arg(long)]
    json: bool,
}

/// Opens the window, or runs the drawing benchmark.
pub(super) fn main() -> ! {
    runner::fail_at_file_size_limit();
    // Read before parsing, so that it holds even if the other options are invalid.
    let terminal = std::env::args_os().any(|argument| argument == "--terminal") || is_in_terminal();
    let by_dialog = !terminal && runner::has_display();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !by_dialog || !error.use_stderr() && has_output() => error.exit(),
        // A double-click passes no arguments, but a file dropped on the program is one.
        Err(error) => {
            dialog(&error.to_string());
            runner::exit(2)
        }
    };
    let result = match arguments.command {
        Some(Command::Bench(bench)) => {
            if arguments.until_input_ends {
                at_end_of_input(|| runner::exit(130));
            }
            bench.run()
        }
        None => {
            let stop = Stop::default();
            stop_on_signal(stop.clone());
            if arguments.until_input_ends {
                let stop = stop.clone();
                at_end_of_input(move || stop.request());
            }
            open(arguments.options, stop, terminal)
        }
    };
    let Err(error) = result else { runner::exit(0) };
    if by_dialog {
        dialog(&format!("{error:#}"));
    } else {
        // If stderr is closed, there is nowhere to report to.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
    runner::exit(1)
}

/// True if any standard stream is a terminal: some may be redirected, rarely all.
fn is_in_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

/// True if there is a standard output. On Windows a GUI program has none unless one was passed to it.
fn has_output() -> bool {
    #[cfg(windows)]
    {
        !std::os::windows::io::AsRawHandle::as_raw_handle(&std::io::stdout()).is_null()
    }
    #[cfg(not(windows))]
    true
}

fn dialog(text: &str) {
    rfd::MessageDialog::new().set_level(rfd::MessageLevel::Error).set_title("Signet").set_description(text).show();
}

fn open(options: AppOptions, stop: Stop, terminal: bool) -> Result<()> {
    let AppOptions { runs, config, frames } = options;
    let config = config.as_deref().map(runner::settings).transpose()?;
    // A double-click starts in an arbitrary folder, so runs go to the home directory.
    let first_runs = if terminal { None } else { runner::home_dir().map(|home| home.join("Signet").join("runs")) };
    signet_app::open(Options { runs, first_runs, config, stop, frames })
}

/// The first Ctrl-C (or SIGTERM) saves and closes; a second one ends the process at once.
fn stop_on_signal(stop: Stop) {
    let handler = move || {
        if stop.is_requested() {
            runner::exit(130);
        }
        stop.request();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        let _ = writeln!(std::io::stderr(), "warning: cannot handle Ctrl-C: {error}. It ends the app without saving");
    }
}

/// Calls `then` at the end of standard input.
fn at_end_of_input(then: impl FnOnce() + Send + 'static) {
    let wait = move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        then();
    };
    if let Err(error) = runner::spawn("input", wait) {
        let _ = writeln!(std::io::stderr(), "warning: cannot handle Ctrl-C: {error}. It ends the app without saving");
    }
}

impl Bench {
    fn run(self) -> Result<()> {
        let mut out = std::io::stdout();
        let mut lost = Ok(());
        let reports = bench::measure(self.points, self.frames.max(1), &self.runs, &mut |report| {
            let bench::FrameReport { scene, frames, median_ms, p99_ms, most_ms } = report;
            if !self.json && lost.is_ok() {
                lost = writeln!(out, "{median_ms:7.2} ms median, {p99_ms:7.2} ms 99th percentile, {most_ms:7.2} ms at most, {frames} frames: {scene}");
            }
        })?;
        lost?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&reports)?)?;
        }
        Ok(())
    }
}
