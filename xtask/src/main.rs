//! What a newcomer or CI runs: `cargo xtask COMMAND`.

mod answers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod attack;
mod browser;
mod corpus;
mod display;
mod licences;
mod lints;
mod program;
mod quick;
mod steps;
mod swiftshader;
mod system;
mod test;
mod web;
mod window;
mod wrapper;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "What a newcomer or CI runs", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the tests need where that is known, then check and test everything; also called ci.
    #[command(alias = "ci")]
    Test {
        /// Leave out what has not begun after so many minutes, of the page, the window, the attack and the browsers;
        /// end everything a quarter later, and say what was not finished.
        #[arg(long, value_name = "MINUTES")]
        within: Option<u64>,
    },
    /// While working: check format and lints, and run the unit tests of the files that differ from the last commit.
    Check,
    /// While working: try every case of one operation, on every device.
    Op {
        /// The stem of its file in src/ops.
        name: String,
        /// all, auto, cpu, or an adapter's name or index.
        #[arg(long, default_value = "all")]
        device: String,
    },
    /// Start the app in a window that nobody sees (Xvfb), train, close, go on.
    Window {
        /// Keep pictures of it in this folder.
        #[arg(long, value_name = "DIR")]
        shots: Option<PathBuf>,
        /// Make a GIF of a run in training.
        #[arg(long, value_name = "FILE")]
        film: Option<PathBuf>,
        /// Time training in the app and by `train`, in turn, as the tests build them.
        #[arg(long)]
        measure: bool,
    },
    /// Build the page into web/dist, static files for any host; or serve it.
    Web {
        /// Serve what was built on this machine, instead of building.
        #[arg(long)]
        serve: bool,
        /// The port it is served at; 0 for any that is free.
        #[arg(long, default_value_t = 8080, requires = "serve")]
        port: u16,
        /// The path it is served under.
        #[arg(long, value_name = "PATH", default_value = "/", requires = "serve")]
        under: String,
        /// Build what is built sooner, but is larger and slower: while working on it.
        #[arg(long, conflicts_with = "serve")]
        quick: bool,
    },
    /// Try the page in browsers: Chromium and Firefox, without a display.
    Browser {
        /// Keep pictures of it in this folder.
        #[arg(long, value_name = "DIR")]
        shots: Option<PathBuf>,
        /// Only scenarios whose names hold this.
        #[arg(long, value_name = "NAME", default_value = "")]
        filter: String,
        /// Take web/dist as it is, instead of building it first.
        #[arg(long)]
        built: bool,
    },
    /// Kill commands and deny them system calls while they write, and damage what they wrote; nothing may be lost.
    Attack {
        /// Every call and 64 places of every file, not a sample.
        #[arg(long)]
        all: bool,
    },
    /// Check the licence of every dependency.
    Licences,
    /// Make the embedded corpus from the Chit-Chat dataset.
    Corpus {
        /// The dataset's dataset.json.
        dataset: PathBuf,
        /// The text file to write.
        out: PathBuf,
    },
    /// Print models' answers to the prompts of a file, as a table.
    Answers {
        /// One prompt a line.
        prompts: PathBuf,
        /// Models as `signet chat` takes them.
        #[arg(required = true)]
        models: Vec<String>,
    },
}

fn main() -> ExitCode {
    if let Some(code) = wrapper::run() {
        return code;
    }
    let result = match Arguments::parse().command {
        Command::Test { within } => test::run(within.map(|minutes| Duration::from_secs(60 * minutes))),
        Command::Check => quick::check(),
        Command::Op { name, device } => quick::op(&name, &device),
        Command::Window { film: Some(out), .. } => window::film(&out),
        Command::Window { measure: true, .. } => window::measure(),
        Command::Window { shots, .. } => window::scenario(shots.as_deref()).map(|said| println!("{said}")),
        Command::Web { serve: true, port, under, .. } => web::serve(port, &under),
        Command::Web { quick, .. } => web::build(quick).map(|said| println!("{said}")),
        Command::Browser { shots, filter, built } => browser::alone(shots.as_deref(), &filter, built),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        Command::Attack { all } => attack::run(all).map(|said| println!("{said}")),
        #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
        Command::Attack { .. } => Err("the attack needs Linux on x86-64".into()),
        Command::Licences => licences::check().map(|count| println!("{count} packages, all under licences that allow it")),
        Command::Answers { prompts, models } => answers::print(&prompts, &models),
        Command::Corpus { dataset, out } => corpus::make(&dataset, &out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
