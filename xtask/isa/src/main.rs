//! `cargo xtask isa`: compiles every kernel to a GPU's instruction set (ISA) with its driver's compiler, on a machine
//! without that GPU, and reports registers, spills, memory, occupancy and instructions. The kernels are Signet's, and wgpu
//! translates them as in Signet.

// Only the library must use files, threads and the clock through its module `platform`; development tools need not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod assembly;
mod cards;
mod compiled;
mod control;
mod cost;
#[cfg_attr(not(target_os = "linux"), path = "no_driver.rs")]
mod driver;
mod pool;
mod report;
mod targets;
mod translate;
mod worker;

use clap::{Parser, Subcommand};
use pool::Job;
use report::{Outcome, Report, Row, TargetReport};
use signet::device::{KERNELS, Kernel};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use targets::{TARGETS, Target};
use worker::{Answer, Request};

/// Exit code if no target could run.
const NOT_RUN: u8 = 3;

#[derive(Parser)]
#[command(
    name = "cargo xtask isa",
    bin_name = "cargo xtask isa",
    about = "Compile every kernel for AMD GPUs with Mesa's RADV, which needs no GPU, and print registers, spills, memory, occupancy and instructions. \
             Translate every kernel with naga and tint",
    after_help = "Exits 1 if a kernel spills registers, fails, or takes too long, and 3 if no target could run."
)]
struct Arguments {
    #[command(subcommand)]
    worker: Option<Mode>,
    /// Compile only kernels whose names contain this text.
    #[arg(long, value_name = "NAME", default_value = "")]
    filter: String,
    /// Compile only for this GPU family; may be repeated.
    #[arg(long, value_name = "FAMILY")]
    target: Vec<String>,
    /// Write all results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to this file as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Print the instructions of this kernel instead of the tables.
    #[arg(long, value_name = "KERNEL")]
    disassemble: Option<String>,
    /// Print the expected time of every kernel of a training step and of a token on several cards, as Markdown, instead of
    /// the tables.
    #[arg(long)]
    cost: bool,
    /// Print failures and the summary only.
    #[arg(long)]
    brief: bool,
    /// Stop a compilation after this many seconds, and fail.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
}

#[derive(Subcommand)]
enum Mode {
    /// Compile kernels by requests on standard input.
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.worker {
        Some(Mode::Worker) => worker::serve().map(|()| ExitCode::SUCCESS),
        None => run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.cost {
        print(&cost::markdown(&cost::workloads(&cost::documented_share)?));
        return Ok(ExitCode::SUCCESS);
    }
    let kernels: Vec<&'static Kernel> = KERNELS.iter().filter(|kernel| kernel.name.contains(&arguments.filter)).collect();
    if kernels.is_empty() {
        return Err(format!("no kernel's name contains {:?}", arguments.filter));
    }
    let session = Session::new(arguments)?;
    if let Some(kernel) = &arguments.disassemble {
        return session.disassemble(kernel);
    }
    let mut report = Report { translations: translate::translate(&kernels), ..Report::default() };
    match &session.driver {
        Ok(driver) => report.targets = session.compile(driver, &kernels),
        Err(why) => report.not_run = Some(why.clone()),
    }
    let failures = report.failures();
    let tables = if arguments.brief { String::new() } else { report.text() + "\n" };
    let lines = report.summary().into_iter().chain(failures.iter().map(|failure| format!("FAILED: {failure}")));
    print(&(tables + &lines.map(|line| line + "\n").collect::<String>()));
    if let Some(path) = &arguments.json {
        write(path, &serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &arguments.markdown {
        write(path, &report.markdown())?;
    }
    let ran = report.targets.iter().any(|target| target.not_run.is_none());
    Ok(match (failures.is_empty(), ran) {
        (false, _) => ExitCode::FAILURE,
        (true, false) => ExitCode::from(NOT_RUN),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Prints a text. Errors are ignored, since the reader may close the pipe early.
fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// State that all compilations of a run share.
struct Session {
    program: PathBuf,
    driver: Result<PathBuf, String>,
    limit: Duration,
    workers: usize,
    /// Selected targets, and the names of their families.
    targets: Vec<(&'static Target, Vec<String>)>,
}

impl Session {
    fn new(arguments: &Arguments) -> Result<Self, String> {
        let chosen = |target: &'static Target| {
            let wanted = |family: &&&str| arguments.target.is_empty() || arguments.target.iter().any(|name| name == **family);
            let families: Vec<String> = target.families.iter().filter(wanted).map(|family| family.to_string()).collect();
            (!families.is_empty()).then_some((target, families))
        };
        let known = || TARGETS.iter().flat_map(|target| target.families);
        if let Some(unknown) = arguments.target.iter().find(|name| !known().any(|family| family == name)) {
            return Err(format!("--target {unknown} is not one of {}", known().copied().collect::<Vec<_>>().join(", ")));
        }
        Ok(Self {
            program: std::env::current_exe().map_err(|error| format!("cannot find this program's path: {error}"))?,
            driver: targets::driver(),
            limit: Duration::from_secs(arguments.limit),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            targets: TARGETS.iter().filter_map(chosen).collect(),
        })
    }

    /// Sends each request to a worker for its GPU family; returns the answers in order.
    fn ask(&self, driver: &Path, requests: &[(&str, Request)]) -> Vec<Answer> {
        let line = |request: &Request| serde_json::to_string(request).expect("a request is JSON");
        let jobs: Vec<Job> = requests.iter().map(|(family, request)| Job { kind: family.to_string(), request: line(request) }).collect();
        let answers = pool::run(&jobs, self.workers, self.limit, |family| targets::worker(&self.program, driver, family));
        let answer = |answer: Result<String, String>| answer.and_then(|line| serde_json::from_str(&line).map_err(|error| format!("{error} in {line:?}")));
        answers.into_iter().map(|line| answer(line).unwrap_or_else(Answer::Failed)).collect()
    }

    /// Returns a report without kernels for each target, on the first of its families that the driver knows.
    fn open(&self, driver: &Path) -> Vec<TargetReport> {
        let requests: Vec<(&str, Request)> = self.targets.iter().flat_map(|(_, families)| families).map(|family| (&family[..], Request::Describe)).collect();
        let mut answers = self.ask(driver, &requests).into_iter();
        let target = |(target, families): &(&'static Target, Vec<String>)| {
            let answers: Vec<Answer> = answers.by_ref().take(families.len()).collect();
            let mut report = TargetReport { architecture: target.architecture, family: families.join(" or "), ..TargetReport::default() };
            for (family, answer) in families.iter().zip(answers) {
                match answer {
                    Answer::Device(device, cooperative) => return TargetReport { family: family.clone(), device, cooperative, not_run: None, ..report },
                    Answer::Failed(why) if why.contains("Unknown family") => report.not_run = Some("this version of Mesa does not know it".into()),
                    Answer::Failed(why) => report.not_run = Some(why),
                    _ => report.not_run = Some("its worker sent an unexpected answer".into()),
                }
            }
            report
        };
        self.targets.iter().map(target).collect()
    }

    /// Compiles kernels for each target that the driver knows.
    fn compile(&self, driver: &Path, kernels: &[&'static Kernel]) -> Vec<TargetReport> {
        let mut reports = self.open(driver);
        let names = || std::iter::once(control::NAME).chain(kernels.iter().map(|kernel| kernel.name));
        let open = |report: &&TargetReport| report.not_run.is_none();
        let requests: Vec<(&str, Request)> =
            reports.iter().filter(open).flat_map(|report| names().map(|name| (&report.family[..], Request::Compile(name.to_owned())))).collect();
        let mut answers = self.ask(driver, &requests).into_iter().map(outcome);
        for report in reports.iter_mut().filter(|report| report.not_run.is_none()) {
            let control = answers.next().expect("an answer for each request");
            report.kernels = kernels.iter().zip(answers.by_ref()).map(|(kernel, outcome)| Row { kernel: kernel.name, outcome }).collect();
            match control::registers(control) {
                Ok(registers) => report.registers = registers,
                Err(why) => report.kernels.push(Row { kernel: control::NAME, outcome: Outcome::Failed(why) }),
            }
        }
        reports
    }

    /// Prints a kernel's instructions for each target that the driver knows.
    fn disassemble(&self, kernel: &str) -> Result<ExitCode, String> {
        let driver = self.driver.as_ref().map_err(|why| format!("cannot disassemble {kernel}: {why}"))?;
        let reports = self.open(driver);
        let open: Vec<&TargetReport> = reports.iter().filter(|report| report.not_run.is_none()).collect();
        let requests: Vec<(&str, Request)> = open.iter().map(|report| (&report.family[..], Request::Disassemble(kernel.to_owned()))).collect();
        for (report, answer) in open.iter().zip(self.ask(driver, &requests)) {
            match answer {
                Answer::Assembly(text) => print(&format!("; {kernel} for {}\n{text}\n", report.device)),
                Answer::NotOffered(lacks) => print(&format!("; {} cannot run {kernel}: it lacks {lacks}\n", report.device)),
                Answer::Failed(error) => return Err(format!("cannot disassemble {kernel} for {}: {error}", report.family)),
                _ => return Err(format!("cannot disassemble {kernel} for {}: its worker sent an unexpected answer", report.family)),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Compiled(compiled) => Outcome::Compiled(compiled),
        Answer::NotOffered(lacks) => Outcome::NotOffered(lacks),
        Answer::Failed(error) => Outcome::Failed(error),
        Answer::Device(..) | Answer::Assembly(_) => Outcome::Failed("its worker sent an unexpected answer".into()),
    }
}
