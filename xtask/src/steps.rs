//! Running steps one after the other: what runs, how long it took, and what came of all of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What came of a step.
pub(crate) enum Outcome {
    /// All is well; what is worth saying about it.
    Passed(String),
    /// It was left out, and why.
    Skipped(String),
    /// It failed, and why.
    Failed(String),
}

impl Outcome {
    /// What is said of it.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Passed(detail) | Self::Skipped(detail) | Self::Failed(detail) => detail,
        }
    }
}

/// Steps done so far.
pub(crate) struct Steps {
    begun: Instant,
    /// The time after which no late step begins.
    within: Option<Duration>,
    done: Vec<(&'static str, Duration, Outcome)>,
}

impl Steps {
    /// None done yet.
    pub(crate) fn new(within: Option<Duration>) -> Self {
        Self { begun: Instant::now(), within, done: Vec::new() }
    }

    /// Returns true if more than half of the time has passed after which no late step begins.
    pub(crate) fn hurried(&self) -> bool {
        self.within.is_some_and(|within| self.begun.elapsed() > within / 2)
    }

    /// Runs a step unless it is too late for it, which is reported as a step that was skipped.
    pub(crate) fn late(&mut self, name: &'static str, step: impl FnOnce() -> Outcome) {
        match self.within.filter(|within| self.begun.elapsed() > *within) {
            Some(within) => self.run(name, || Outcome::Skipped(format!("NOT RUN: {} minutes had passed", within.as_secs() / 60))),
            None => self.run(name, step),
        }
    }

    /// Runs a step, failed ones before it or not: all that is wrong is worth knowing.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Outcome) {
        println!("\n── {name}");
        std::io::stdout().flush().ok();
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        println!("── {}", line(name, took, &outcome));
        self.done.push((name, took, outcome));
    }

    /// Prints a line for each step; fails if one of them did.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\n── summary");
        for (name, took, outcome) in &self.done {
            println!("{}", line(name, *took, outcome));
        }
        let failed: Vec<&str> = self.done.iter().filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_))).map(|(name, _, _)| *name).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

fn line(name: &str, took: Duration, outcome: &Outcome) -> String {
    let (word, detail) = match outcome {
        Outcome::Passed(detail) => ("passed", detail),
        Outcome::Skipped(detail) => ("skipped", detail),
        Outcome::Failed(detail) => ("FAILED", detail),
    };
    format!("{name:<11} {word:<8} {:>7.1} s  {detail}", took.as_secs_f64()).trim_end().to_owned()
}

/// Runs a command to its end, its output shown.
pub(crate) fn shown(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed(String::new()),
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(format!("{}: {error}", command.get_program().display())),
    }
}

/// As [`shown`]; of what it prints, the lines that `keep` wants are given back.
pub(crate) fn shown_keeping(command: &mut Command, keep: impl Fn(&str) -> bool) -> (Outcome, Vec<String>) {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (Outcome::Failed(format!("{}: {error}", command.get_program().display())), Vec::new()),
    };
    let mut kept = Vec::new();
    let output = BufReader::new(child.stdout.take().expect("piped"));
    for line in output.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if keep(&line) {
            kept.push(line.into_owned());
        }
    }
    let outcome = match child.wait() {
        Ok(status) if status.success() => Outcome::Passed(String::new()),
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(error.to_string()),
    };
    (outcome, kept)
}
