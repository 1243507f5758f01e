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
mod report;
mod settings;
mod sweep;
mod teach;
mod terminal;
mod tokenizer;
mod train;

use clap::{Parser, Subcommand};
use signet::runner::{Runner, Stop, Tuning};
use std::ffi::OsString;
use std::process::ExitCode;
use terminal::Printed;

/// Trains and runs fully binarized (1-bit) language models on GPUs and CPUs. Without a command: opens the app.
#[derive(Parser)]
#[command(name = "signet", version, about, propagate_version = true)]
struct Arguments {
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
    Report(report::Report),
}

impl Command {
    /// Returns the kernel tuning that it requests.
    fn tuning(&self) -> Tuning {
        let options = match self {
            Self::Train(train) => &train.tuning,
            Self::Sweep(sweep) => &sweep.tuning,
            Self::Chat(chat) => &chat.of.tuning,
            Self::Generate(generate) => &generate.of.tuning,
            Self::Eval(eval) => &eval.of.tuning,
            Self::Bench(bench::Bench::Train(train)) => &train.tuning,
            Self::Bench(bench::Bench::Decode(decode)) => &decode.tuning,
            _ => return Tuning::default(),
        };
        options.tuning()
    }

    /// Returns the part of its result that goes to standard output.
    fn printed(&self) -> Printed {
        match self {
            Self::Train(train) if train.only_plans() => Printed::All,
            Self::Sweep(sweep) if sweep.only_plans() => Printed::All,
            Self::Compare(compare) if compare.only_prints() => Printed::All,
            Self::Eval(eval) if eval.only_prints() => Printed::All,
            Self::Data(_) | Self::Chat(_) | Self::Generate(_) | Self::Inspect(_) | Self::Devices(_) | Self::Bench(_) => Printed::All,
            Self::Compare(_) | Self::Eval(_) | Self::Check(_) | Self::Conform(_) => Printed::Some,
            Self::App(_) | Self::Train(_) | Self::Sweep(_) | Self::Teach(_) | Self::Curves(_) | Self::Report(_) => Printed::Progress,
            Self::Export(_) | Self::Landscape(_) | Self::Pack(_) | Self::Tokenizer(_) => Printed::Progress,
        }
    }
}

/// Parses the command line and runs the command.
fn main() -> ExitCode {
    signet::runner::fail_at_file_size_limit();
    let arguments = Arguments::parse_from(with_tuning_last(std::env::args_os()));
    let command = arguments.command.unwrap_or(Command::App(app::App::default()));
    let stop = Stop::default();
    stop_on_signal(stop.clone());
    let mut runner = Runner::new(stop).with_tuning(command.tuning());
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
        Command::Report(report) => report.run(runner.stop()),
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

/// Moves `--tune` and `--no-tune` from before a command's name to after it. Earlier versions accepted them there.
fn with_tuning_last(mut rest: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = rest.next().into_iter().collect();
    let mut options = Vec::new();
    // `bench` is followed by the name of a benchmark.
    while line.len() < 2 || line.len() == 2 && line[1] == "bench" {
        match rest.next() {
            Some(option) if option == "--tune" || option == "--no-tune" => options.push(option),
            Some(name) => line.push(name),
            None => break,
        }
    }
    line.into_iter().chain(options).chain(rest).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        let line = ["signet"].into_iter().chain(line.split(' ')).map(OsString::from);
        Arguments::try_parse_from(with_tuning_last(line)).map(|arguments| arguments.command.unwrap_or(Command::App(app::App::default())))
    }

    #[test]
    fn tuning_is_an_option_of_commands_that_tune_and_may_precede_their_names() {
        for command in ["train", "sweep a.toml", "chat", "generate", "eval --perplexity a.txt", "bench train", "bench decode"] {
            let tuning = |line: String| parsed(&line).unwrap_or_else(|error| panic!("{error}")).tuning();
            assert_eq!(tuning(format!("{command} --tune")), Tuning::Retune, "{command}");
            assert_eq!(tuning(format!("--no-tune {command}")), Tuning::Off, "{command}");
            assert_eq!(tuning(command.to_string()), Tuning::Once, "{command}");
            assert!(parsed(&format!("--tune {command} --no-tune")).is_err(), "{command}");
        }
        assert_eq!(parsed("bench --tune train").unwrap().tuning(), Tuning::Retune);
        for line in ["data --tune", "--tune data", "--no-tune", "app --tune", "bench --tune matmul", "export embedded out --dense --no-tune"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn renamed_options_keep_their_earlier_names() {
        assert!(["data --documents 1", "data --rows 1"].iter().all(|line| parsed(line).is_ok()));
        assert!(["--dtype", "--floats"].iter().all(|option| parsed(&format!("export embedded out --dense {option} bf16")).is_ok()));
    }
}
