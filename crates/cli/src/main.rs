//! The command line: one file per command. It uses only the runner.

// Tests may use files and threads, which clippy.toml otherwise reserves for `signet::platform`.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

mod app;
mod bench;
mod chat;
mod check;
mod compare;
mod conform;
mod curves;
mod data;
mod devices;
mod eval;
mod export;
mod generate;
mod inspect;
mod landscape;
mod options;
mod output;
mod pack;
mod settings;
mod sweep;
mod teach;
mod terminal;
mod tokenizer;
mod train;

use clap::{Parser, Subcommand};
use signet::runner::{Runner, Stop, Tuning};
use std::process::ExitCode;
use terminal::Printed;

/// Trains and runs fully binarized (1-bit) language models on GPUs and CPUs. Without a command: opens the app.
#[derive(Parser)]
#[command(name = "signet", version, about, propagate_version = true)]
struct Arguments {
    /// Retune the kernels: time their variants on the device and cache the fastest.
    #[arg(long, global = true, conflicts_with = "no_tune")]
    tune: bool,
    /// Use the portable kernels, even if tuned ones are cached for the device.
    #[arg(long, global = true)]
    no_tune: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    App(app::App),
    Train(Box<train::Train>),
    Sweep(sweep::Sweep),
    Teach(teach::Teach),
    Data(data::Data),
    Chat(chat::Chat),
    Generate(generate::Generate),
    Curves(curves::Curves),
    Compare(compare::Compare),
    Eval(eval::Eval),
    Export(export::Export),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Landscape(landscape::Landscape),
    Pack(pack::Pack),
    #[command(subcommand)]
    Tokenizer(tokenizer::Tokenizer),
    Devices(devices::Devices),
    Conform(conform::Conform),
    #[command(subcommand)]
    Bench(bench::Bench),
}

impl Command {
    /// Returns the part of its result that goes to standard output.
    fn printed(&self) -> Printed {
        match self {
            Self::Train(train) if train.only_plans() => Printed::All,
            Self::Sweep(sweep) if sweep.only_plans() => Printed::All,
            Self::Compare(compare) if compare.only_prints() => Printed::All,
            Self::Eval(eval) if eval.only_prints() => Printed::All,
            Self::Data(_) | Self::Chat(_) | Self::Generate(_) | Self::Inspect(_) | Self::Devices(_) | Self::Bench(_) => Printed::All,
            Self::Compare(_) | Self::Eval(_) | Self::Check(_) | Self::Conform(_) => Printed::Some,
            Self::App(_) | Self::Train(_) | Self::Sweep(_) | Self::Teach(_) | Self::Curves(_) => Printed::Progress,
            Self::Export(_) | Self::Landscape(_) | Self::Pack(_) | Self::Tokenizer(_) => Printed::Progress,
        }
    }
}

/// Parses the command line and runs the command.
fn main() -> ExitCode {
    signet::runner::fail_at_file_size_limit();
    let arguments = Arguments::parse();
    let stop = Stop::default();
    stop_on_signal(stop.clone());
    let tuning = match (arguments.tune, arguments.no_tune) {
        (true, _) => Tuning::Retune,
        (_, true) => Tuning::Off,
        _ => Tuning::Once,
    };
    let mut runner = Runner::new(stop).with_tuning(tuning);
    let command = arguments.command.unwrap_or(Command::App(app::App::default()));
    terminal::set_printed(command.printed());
    let result = match command {
        Command::App(app) => app.run(runner.stop()),
        Command::Train(train) => train.run(&mut runner),
        Command::Sweep(sweep) => sweep.run(&mut runner),
        Command::Teach(teach) => teach.run(&mut runner),
        Command::Data(data) => data.run(&mut runner),
        Command::Chat(chat) => chat.run(&mut runner),
        Command::Generate(generate) => generate.run(&mut runner),
        Command::Curves(curves) => curves.run(&mut runner),
        Command::Compare(compare) => compare.run(&mut runner),
        Command::Eval(eval) => eval.run(&mut runner),
        Command::Landscape(landscape) => landscape.run(&mut runner),
        Command::Check(check) => check.run(&mut runner),
        Command::Inspect(inspect) => inspect.run(&mut runner),
        Command::Export(export) => export.run(&mut runner),
        Command::Pack(pack) => pack.run(&mut runner),
        Command::Tokenizer(tokenizer) => tokenizer.run(&mut runner),
        Command::Devices(devices) => devices.run(&mut runner),
        Command::Conform(conform) => conform.run(&mut runner),
        Command::Bench(bench) => bench.run(&mut runner),
    };
    match result {
        Ok(()) if terminal::is_result_lost() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Parses a named value, as in TOML files.
fn choice<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Installs the handler of Ctrl-C and termination: the first signal stops the command with its state saved, a second one exits
/// at once.
fn stop_on_signal(stop: Stop) {
    let handler = move || {
        if stop.is_requested() {
            signet::runner::exit(130);
        }
        stop.request();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        output::note(&format!("Ctrl-C will not stop cleanly: {error}"));
    }
}
