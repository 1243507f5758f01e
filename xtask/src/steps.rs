//! Runs steps in order and reports outcome and duration of each.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The outcome of a step.
pub(crate) enum Outcome {
    /// Success, with a remark.
    Passed(String),
    /// Skipped, with the reason.
    Skipped(String),
    /// Failure, with the reason.
    Failed(String),
}

impl Outcome {
    /// The remark or the reason.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Passed(detail) | Self::Skipped(detail) | Self::Failed(detail) => detail,
        }
    }
}

/// The steps so far.
pub(crate) struct Steps {
    begun: Instant,
    /// Time after which no late step starts.
    within: Option<Duration>,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Default)]
struct Progress {
    done: Vec<(&'static str, Duration, Outcome)>,
    running: Option<(&'static str, Instant)>,
    /// Failures within the current step.
    failures: Vec<String>,
}

/// Records failures within the current step, for the report if the step does not finish.
#[derive(Clone)]
pub(crate) struct Failures(Arc<Mutex<Progress>>);

impl Failures {
    pub(crate) fn push(&self, failure: &str) {
        lock(&self.0).failures.push(failure.to_owned());
    }
}

impl Steps {
    /// Starts without steps. At 1.25 × `within`, the process ends and reports the current step as unfinished.
    pub(crate) fn new(within: Option<Duration>) -> Self {
        let steps = Self { begun: Instant::now(), within, progress: Arc::default() };
        if let Some(within) = within {
            let progress = steps.progress.clone();
            std::thread::spawn(move || {
                std::thread::sleep(within + within / 4);
                let mut progress = lock(&progress);
                progress.end();
                let result = progress.summary();
                end_below(std::process::id());
                if let Err(error) = &result {
                    eprintln!("error: {error}");
                }
                std::process::exit(result.is_err().into());
            });
        }
        steps
    }

    /// Returns the recorder for failures within a step.
    pub(crate) fn failures(&self) -> Failures {
        Failures(self.progress.clone())
    }

    /// Runs a step, or reports it as skipped if the time is over.
    pub(crate) fn run_late(&mut self, name: &'static str, step: impl FnOnce() -> Outcome) {
        match self.within.filter(|within| self.begun.elapsed() > *within) {
            Some(within) => self.run(name, || Outcome::Skipped(format!("NOT RUN: {} minutes had passed", within.as_secs() / 60))),
            None => self.run(name, step),
        }
    }

    /// Runs a step, also after failed ones, to report all failures.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Outcome) {
        println!("\n── {name}");
        std::io::stdout().flush().ok();
        let start = Instant::now();
        lock(&self.progress).running = Some((name, start));
        let outcome = step();
        let mut progress = lock(&self.progress);
        let took = start.elapsed();
        println!("── {}", line(name, took, &outcome));
        progress.done.push((name, took, outcome));
        (progress.running, progress.failures) = (None, Vec::new());
    }

    /// Prints a line for each step; fails if any step failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        lock(&self.progress).summary()
    }
}

impl Progress {
    /// Reports the unfinished step as failed if it recorded a failure, else as skipped.
    fn end(&mut self) {
        if let Some((name, start)) = self.running.take() {
            let why = "NOT FINISHED: its time was over".to_owned();
            let failures: String = self.failures.drain(..).map(|failure| format!("\n  {failure}")).collect();
            let outcome = if failures.is_empty() { Outcome::Skipped(why) } else { Outcome::Failed(why + &failures) };
            self.done.push((name, start.elapsed(), outcome));
        }
    }

    fn summary(&self) -> Result<(), String> {
        println!("\n── summary");
        for (name, took, outcome) in &self.done {
            println!("{}", line(name, *took, outcome));
        }
        let failed: Vec<&str> = self.done.iter().filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_))).map(|(name, _, _)| *name).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(name: &str, took: Duration, outcome: &Outcome) -> String {
    let (word, detail) = match outcome {
        Outcome::Passed(detail) => ("passed", detail),
        Outcome::Skipped(detail) => ("skipped", detail),
        Outcome::Failed(detail) => ("FAILED", detail),
    };
    format!("{name:<11} {word:<8} {:>7.1} s  {detail}", took.as_secs_f64()).trim_end().to_owned()
}

/// Runs a command to its end with visible output.
pub(crate) fn shown(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed(String::new()),
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(format!("{}: {error}", command.get_program().display())),
    }
}

/// Like [`shown`]; also returns the output lines for which `keep` is true.
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

/// Kills all descendants of a process (Linux only).
fn end_below(process: u32) {
    // Repeat, because they may start others meanwhile.
    for _ in 0..3 {
        let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| with_parent(&entry.ok()?.path())).collect();
        let mut below = vec![process];
        let mut at = 0;
        while let Some(parent) = below.get(at).copied() {
            below.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
            at += 1;
        }
        let below: Vec<String> = below[1..].iter().map(u32::to_string).collect();
        if below.is_empty() {
            return;
        }
        // `kill` is a shell builtin, so no package is needed.
        Command::new("sh").args(["-c", &format!("kill -KILL {}", below.join(" "))]).stderr(Stdio::null()).status().ok();
    }
}

/// Returns the id of a process in `/proc` and of its parent.
fn with_parent(folder: &Path) -> Option<(u32, u32)> {
    let process = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // `PID (NAME) STATE PARENT ...`; the name may contain any character.
    let parent = stat[stat.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()?;
    Some((process, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_past_its_deadline_is_skipped_unless_a_part_failed() {
        let mut steps = Steps::new(None);
        steps.run("build", || Outcome::Passed(String::new()));
        lock(&steps.progress).running = Some(("tests", Instant::now()));
        lock(&steps.progress).end();
        assert!(matches!(lock(&steps.progress).done[1], ("tests", _, Outcome::Skipped(_))));
        lock(&steps.progress).running = Some(("tests", Instant::now()));
        steps.failures().push("test a ... FAILED");
        lock(&steps.progress).end();
        assert!(matches!(&lock(&steps.progress).done[2], (_, _, Outcome::Failed(why)) if why.contains("test a ... FAILED")));
        assert_eq!(steps.finish(), Err("failed: tests".into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn child_processes_are_ended_but_not_the_process_itself() {
        let begun = Instant::now();
        let mut child = Command::new("sh").args(["-c", "echo; sh -c 'sleep 60; :'; exit 7"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        while child.try_wait().unwrap().is_none() {
            end_below(child.id());
        }
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    }
}
