//! Development tasks: `cargo xtask COMMAND`.

mod answers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod attack;
mod browser;
mod card;
mod corpus;
mod cross;
mod display;
mod isa;
mod licences;
mod lints;
mod program;
mod quick;
mod rust_target;
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
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Build, check and test this repository", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the tests' dependencies if possible, then run all checks and tests; alias ci.
    #[command(alias = "ci")]
    Test {
        /// Skip the steps web, window, attack and browsers that have not started after this many minutes; end all
        /// steps after a further quarter of that time, and report unfinished ones.
        #[arg(long, value_name = "MINUTES")]
        within: Option<u64>,
    },
    /// Check format, lints, the unit tests of files that differ from the last commit, and the subjects of new commits.
    Check,
    /// Run all conformance cases of one operation on every device.
    Op {
        /// Name of the operation's file in src/ops, without extension.
        name: String,
        /// Device: all, auto, cpu, or an adapter's name or index.
        #[arg(long, default_value = "all")]
        device: String,
    },
    /// Compile every kernel for AMD GPUs without a GPU; `cargo xtask isa --help` lists the options.
    #[command(disable_help_flag = true)]
    Isa {
        /// Options of signet-isa.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Pack the stripped program and a script that measures a machine with a GPU, for `signet report`, into target/card.
    Card {
        /// Build for this target, such as x86_64-pc-windows-gnu, instead of this system.
        #[arg(long, value_name = "TRIPLE")]
        target: Option<String>,
    },
    /// Check other systems and CPUs: type checks, x86-64 levels under QEMU, Windows under Wine.
    Cross {
        /// Parts to run [default: all].
        #[arg(value_enum)]
        parts: Vec<cross::Part>,
        /// Save a screenshot of the app under Wine in this PNG file.
        #[arg(long, value_name = "FILE")]
        shot: Option<PathBuf>,
    },
    /// Test the app on a virtual display (Xvfb): train, close, resume.
    Window {
        /// Save screenshots in this folder.
        #[arg(long, value_name = "DIR")]
        shots: Option<PathBuf>,
        /// Record a GIF of a run in training.
        #[arg(long, value_name = "FILE")]
        film: Option<PathBuf>,
        /// Compare the training speed of the app and of `train`, in the tests' build.
        #[arg(long)]
        measure: bool,
    },
    /// Build the page into web/dist, as static files for any host; or serve it.
    Web {
        /// Serve web/dist on localhost, instead of building.
        #[arg(long)]
        serve: bool,
        /// Port of the server; 0 for any unused one.
        #[arg(long, default_value_t = 8080, requires = "serve")]
        port: u16,
        /// Path of the page on the server.
        #[arg(long, value_name = "PATH", default_value = "/", requires = "serve")]
        under: String,
        /// Build faster; the result is larger and slower.
        #[arg(long, conflicts_with = "serve")]
        quick: bool,
    },
    /// Test the page in Chromium and Firefox, without a display.
    Browser {
        /// Save screenshots in this folder.
        #[arg(long, value_name = "DIR")]
        shots: Option<PathBuf>,
        /// Run only scenarios whose names contain this text.
        #[arg(long, value_name = "NAME", default_value = "")]
        filter: String,
        /// Use web/dist as it is, instead of building it first.
        #[arg(long)]
        built: bool,
    },
    /// Inject faults into commands while they write files, and damage the files; nothing may be lost.
    Attack {
        /// Test every call and 64 places of every file, not a sample.
        #[arg(long)]
        all: bool,
    },
    /// Check the licence of every dependency.
    Licences,
    /// Generate the embedded corpus from the Chit-Chat dataset.
    Corpus {
        /// The dataset's dataset.json.
        dataset: PathBuf,
        /// The text file to write.
        out: PathBuf,
    },
    /// Print models' answers to the prompts of a file, as a table.
    Answers {
        /// Text file with one prompt a line.
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
        Command::Isa { arguments } => isa::run(&arguments),
        Command::Card { target } => card::build(target.as_deref()).map(|line| println!("{line}")),
        Command::Cross { parts, shot } => cross::run(&parts, shot.as_deref()),
        Command::Window { film: Some(out), .. } => window::record_gif(&out),
        Command::Window { measure: true, .. } => window::measure(),
        Command::Window { shots, .. } => window::scenario(shots.as_deref()).map(|line| println!("{line}")),
        Command::Web { serve: true, port, under, .. } => web::serve(port, &under),
        Command::Web { quick, .. } => web::build(quick).map(|line| println!("{line}")),
        Command::Browser { shots, filter, built } => browser::run_command(shots.as_deref(), &filter, built),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        Command::Attack { all } => attack::run(all).map(|line| println!("{line}")),
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
