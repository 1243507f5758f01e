//! Runs the parts of a report as child processes of this program, each with its time limit, and keeps their results.

use super::parts::{CURVE, Part, Work};
use super::progress::ReportProgress;
use super::record::{Record, Status};
use super::store;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use signet::runner::{self, ChildEnd, ChildOutput, Clock, Event, Stop, TrainConfig, TrainEvent};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The PyTorch script, which is written to the report's folder.
const TORCH: (&str, &str) = ("torch_step.py", include_str!("torch_step.py"));
/// Commands that may start Python.
const PYTHONS: [&str; 3] = ["python3", "python", "py"];
/// Exit code of the script without PyTorch.
const NO_TORCH: i32 = 3;
/// Exit code of the command that Windows has in place of a Python that is not installed.
const NO_PYTHON: i32 = 9009;
/// Folder below the report's that holds the caches of the commands, so that kernels are tuned again.
const CACHE: &str = "cache";
/// Seconds between two writes of the report during a part.
const SAVE_SECONDS: f64 = 2.0;
/// Lines of standard error that are kept.
const ERROR_LINES: usize = 20;
/// Points of a curve that are kept.
const POINTS: usize = 400;
/// Time limit in seconds of helper commands: a memory plan, a plot.
const HELPER_SECONDS: f64 = 120.0;

/// The end of a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PartEnd {
    /// It ended so, for this reason.
    Ended(Status, String),
    /// The user stopped the report.
    Interrupted,
}

/// The end of a child process.
enum Ended {
    Exited(ExitStatus),
    TimedOut,
    /// It printed all that was wanted.
    Enough,
    Interrupted,
}

/// Runs parts.
pub(super) struct Executor<'a> {
    /// This program.
    pub(super) program: PathBuf,
    /// The report's folder.
    pub(super) folder: &'a Path,
    /// The user's stop request.
    pub(super) stop: &'a Stop,
    /// Shows the progress.
    pub(super) progress: &'a ReportProgress,
}

impl Executor<'_> {
    /// Runs a part and adds its results to its place in the record.
    pub(super) fn run(&self, part: &Part, record: &mut Record, at: usize) -> Result<PartEnd> {
        match &part.work {
            Work::Command(words) => self.command(words, part, record, at, None),
            Work::Steps(words, steps) => self.command(words, part, record, at, Some(*steps)),
            Work::Tune(words, half) => {
                let end = self.command(words, part, record, at, None)?;
                record.parts[at].results.extend(self.tuned(*half));
                Ok(end)
            }
            Work::Planned(plan, words) => match self.misfit(plan)? {
                Some(reason) => Ok(PartEnd::Ended(Status::Skipped, reason)),
                None => self.command(words, part, record, at, None),
            },
            Work::Curve(words) => self.curve(words, part, record, at),
            Work::Torch(words) => self.torch(words, part, record, at),
        }
    }

    /// A command of this program, in the report's folder.
    fn signet(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder);
        // As an absolute path, since relative ones are ignored.
        if let Ok(here) = std::path::absolute(self.folder) {
            command.env("XDG_CACHE_HOME", here.join(CACHE));
        }
        command
    }

    /// Runs a command of this program to its end, or to its training step `until`.
    fn command(&self, words: &[String], part: &Part, record: &mut Record, at: usize, until: Option<u64>) -> Result<PartEnd> {
        record.parts[at].command = format!("signet {}", words.join(" "));
        let ended = self.child(&mut self.signet(words), part.limit, record, at, until)?;
        Ok(end(ended, part.limit, &record.parts[at].errors))
    }

    /// Runs a child process and adds the results that it prints.
    fn child(&self, command: &mut Command, limit: f64, record: &mut Record, at: usize, until: Option<u64>) -> Result<Ended> {
        let (clock, before) = (Clock::start(), record.parts[at].seconds);
        let (mut saved, mut enough, mut latest, mut problem) = (0.0, false, String::new(), None);
        let program = command.get_program().to_os_string();
        let ended = runner::run_with_limit(command, limit, &mut |output| {
            let part = &mut record.parts[at];
            part.seconds = before + clock.seconds();
            match output {
                ChildOutput::Line(line) => {
                    if let Some(result) = result(&line) {
                        latest = summary(&result);
                        enough = until.is_some_and(|until| result["train"] == "step" && result["step"].as_u64() >= Some(until));
                        part.results.push(result);
                        thin(&mut part.results);
                    }
                }
                ChildOutput::ErrorLine(line) => keep_last(&mut part.errors, line),
                ChildOutput::Nothing => {}
            }
            self.progress.update(clock.seconds(), &latest);
            if clock.seconds() > saved + SAVE_SECONDS {
                saved = clock.seconds();
                problem = store::save(record, self.folder).err();
            }
            !enough && problem.is_none() && !self.stop.is_requested()
        });
        record.parts[at].seconds = before + clock.seconds();
        if let Some(problem) = problem {
            return Err(problem);
        }
        Ok(match ended.with_context(|| format!("cannot start {}", Path::new(&program).display()))? {
            _ if self.stop.is_requested() => Ended::Interrupted,
            ChildEnd::Exited(status) => Ended::Exited(status),
            ChildEnd::TimedOut => Ended::TimedOut,
            ChildEnd::Stopped => Ended::Enough,
        })
    }

    /// Runs a helper command; returns the JSON objects that it printed.
    fn helper(&self, words: &[String]) -> Result<Vec<Value>> {
        let mut results = Vec::new();
        runner::run_with_limit(&mut self.signet(words), HELPER_SECONDS, &mut |output| {
            if let ChildOutput::Line(line) = output {
                results.extend(serde_json::from_str::<Value>(&line));
            }
            !self.stop.is_requested()
        })
        .context("cannot start signet")?;
        Ok(results)
    }

    /// Returns the reason why a memory plan does not fit the device; none if it does, or if that is unknown.
    fn misfit(&self, plan: &[String]) -> Result<Option<String>> {
        let planned = self.helper(plan)?.into_iter().find_map(|value| match serde_json::from_value(value) {
            Ok(Event::Planned(report)) => Some(report),
            _ => None,
        });
        Ok(planned.filter(|report| report.fits == Some(false)).map(|report| {
            let memory = report.memory.map_or("an unknown amount".into(), runner::format_bytes);
            format!("{} needs {} of memory, and {} has {memory}", report.what, runner::format_bytes(report.plan.total()), report.device)
        }))
    }

    /// Returns the tuning files, with the choices of kernels with or without f16 factors.
    fn tuned(&self, half: bool) -> Vec<Value> {
        let folder = self.folder.join(CACHE).join("signet");
        let names = runner::list(&folder).unwrap_or_default();
        let tuned = |name: &String| {
            let bytes = runner::read(&folder.join(name)).ok()?;
            let mut file: Value = serde_json::from_slice(&bytes).ok()?;
            for list in ["chosen", "denied"] {
                file.get_mut(list)?.as_object_mut()?.retain(|key, _| key.ends_with(", f16 allowed") == half);
            }
            file["event"] = "tuned".into();
            Some(file)
        };
        names.iter().filter(|name| name.starts_with("tuning-")).filter_map(tuned).collect()
    }

    /// Trains for the time given, and draws the curves.
    fn curve(&self, words: &[String], part: &Part, record: &mut Record, at: usize) -> Result<PartEnd> {
        if part.limit == 0.0 {
            return Ok(PartEnd::Ended(Status::Skipped, "no time was given: pass --minutes".into()));
        }
        let name = |option: &str| words.iter().position(|word| word == option).map_or("", |n| &words[n + 1]);
        let run = format!("{}/{}", name("--runs"), name("--name"));
        let mut words = words.to_vec();
        if runner::is_file(&self.folder.join(&run).join("run.toml")) {
            words.truncate(words.iter().position(|word| word == "--name").map_or(0, |n| n + 2));
            words.extend(["--resume", "--device", &record.device, "--json"].map(String::from));
        } else {
            let tokens = TrainConfig::default().tokens_per_step();
            let steps = steps_in(part.limit, tokens, rate(record));
            words.extend(["--steps".into(), steps.to_string(), "--warmup".into(), (steps / 10).clamp(1, 50).to_string()]);
        }
        record.parts[at].command = format!("signet {}", words.join(" "));
        // The rest of the time, for a report that was interrupted.
        let limit = (part.limit - record.parts[at].seconds).max(1.0);
        let ended = self.child(&mut self.signet(&words), limit, record, at, None)?;
        let interrupted = matches!(ended, Ended::Interrupted);
        if !interrupted {
            self.helper(&["curves".into(), run, "--out".into(), format!("{CURVE}.svg")])?;
        }
        Ok(match ended {
            Ended::TimedOut => PartEnd::Ended(Status::Done, "ended at the time given, before its last step".into()),
            ended => end(ended, part.limit, &record.parts[at].errors),
        })
    }

    /// Runs the PyTorch script with the first Python that there is.
    fn torch(&self, words: &[String], part: &Part, record: &mut Record, at: usize) -> Result<PartEnd> {
        let (name, script) = TORCH;
        runner::write_atomic(&self.folder.join(name), script.as_bytes()).with_context(|| format!("cannot write {name}"))?;
        for python in PYTHONS {
            record.parts[at].command = format!("{python} {name} {}", words.join(" "));
            let mut command = Command::new(python);
            let ended = match self.child(command.arg(name).args(words).current_dir(self.folder), part.limit, record, at, None) {
                // There is no such program.
                Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound) => continue,
                ended => ended?,
            };
            let reason = record.parts[at].errors.last().cloned().unwrap_or_default();
            return Ok(match ended {
                Ended::Exited(status) if status.code() == Some(NO_PYTHON) => continue,
                Ended::Exited(status) if status.code() == Some(NO_TORCH) => PartEnd::Ended(Status::Skipped, reason),
                ended => end(ended, part.limit, &record.parts[at].errors),
            });
        }
        Ok(PartEnd::Ended(Status::Skipped, format!("no Python was found: {}", PYTHONS.join(", "))))
    }
}

/// The end of a part from that of its process.
fn end(ended: Ended, limit: f64, errors: &[String]) -> PartEnd {
    match ended {
        Ended::Exited(status) if status.success() => PartEnd::Ended(Status::Done, String::new()),
        Ended::Exited(status) => {
            let error = errors.iter().rev().find_map(|line| line.strip_prefix("error: ")).or(errors.last().map(String::as_str));
            PartEnd::Ended(Status::Failed, error.map_or_else(|| status.to_string(), |error| format!("{error} ({status})")))
        }
        Ended::TimedOut => PartEnd::Ended(Status::TimedOut, format!("did not end within {}", crate::output::time(limit))),
        Ended::Enough => PartEnd::Ended(Status::Done, String::new()),
        Ended::Interrupted => PartEnd::Interrupted,
    }
}

/// Returns what is kept of a line of output: results, and of training steps what curves show.
fn result(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value["event"] == "torch_train" {
        return Some(value);
    }
    match serde_json::from_value(value.clone()).ok()? {
        Event::Train(TrainEvent::Step(metrics)) => {
            let held_out = metrics.held_out.as_ref().map(|losses| json!(losses));
            Some(json!({
                "event": "train", "train": "step", "step": metrics.step, "loss": metrics.loss, "kl": metrics.kl, "held_out": held_out,
                "tokens_per_s": metrics.tokens_per_s, "taken": metrics.taken
            }))
        }
        Event::Train(TrainEvent::Begun { summary, device, memory, tokens, .. }) => {
            Some(json!({"event": "train", "train": "begun", "summary": summary, "device": device, "memory": memory, "tokens": tokens}))
        }
        Event::Devices { .. } | Event::Conformance { .. } | Event::BenchDispatch { .. } => Some(value),
        Event::BenchTrain(_) | Event::BenchMatmul(_) | Event::BenchDecode(_) => Some(value),
        _ => None,
    }
}

/// A few words on a result, for the progress bar.
fn summary(result: &Value) -> String {
    match (&result["step"], &result["loss"]) {
        (Value::Number(step), Value::Number(loss)) => format!("step {step}, loss {:.3}", loss.as_f64().unwrap_or_default()),
        _ => String::new(),
    }
}

/// Drops every second step of a long curve, but none with held-out losses.
fn thin(results: &mut Vec<Value>) {
    if results.len() > 2 * POINTS {
        let mut n = 0;
        results.retain(|result| {
            n += 1;
            n % 2 == 0 || result["train"] != "step" || !result["held_out"].is_null()
        });
    }
}

fn keep_last(lines: &mut Vec<String>, line: String) {
    if !line.trim().is_empty() {
        lines.push(line.chars().take(500).collect());
        lines.drain(..lines.len().saturating_sub(ERROR_LINES));
    }
}

/// The measured tokens per second of training 130M.
fn rate(record: &Record) -> Option<f64> {
    record.results("train-130M").last()?.pointer("/tokens_per_s/median")?.as_f64()
}

/// Steps that fit in a time, with a tenth left for its beginning and evaluations.
fn steps_in(seconds: f64, tokens: u64, rate: Option<f64>) -> u64 {
    // Without a measurement the run is ended at its limit.
    rate.map_or(1000, |rate| (0.9 * seconds * rate / tokens as f64) as u64).clamp(20, 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_steps_fill_the_time() {
        assert_eq!(steps_in(3600.0, 1024, Some(10_240.0)), 32_400);
        assert_eq!(steps_in(60.0, 1024, Some(1.0)), 20);
        assert_eq!(steps_in(60.0, 1024, None), 1000);
    }

    #[test]
    fn results_are_kept_and_progress_is_not() {
        assert!(result(r#"{"event":"devices","adapters":[]}"#).is_some());
        assert!(result(r#"{"event":"torch_train","size":"5M"}"#).is_some());
        assert!(result(r#"{"event":"progress","done":1,"of":2,"note":""}"#).is_none());
        assert!(result("on llvmpipe").is_none());
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_held_out_losses() {
        let step = |n: u64| json!({"train": "step", "step": n, "held_out": n.is_multiple_of(101).then(|| json!({"kl": 1.0}))});
        let mut results: Vec<Value> = Vec::new();
        for n in 0..5000 {
            results.push(step(n));
            thin(&mut results);
        }
        assert!(results.len() <= 2 * POINTS, "{}", results.len());
        assert_eq!(results.iter().filter(|result| !result["held_out"].is_null()).count(), 50);
        assert!(results.windows(2).all(|pair| pair[0]["step"].as_u64() < pair[1]["step"].as_u64()));
    }

    #[test]
    fn only_the_last_lines_of_errors_are_kept() {
        let mut lines = Vec::new();
        (0..50).for_each(|n| keep_last(&mut lines, n.to_string()));
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (ERROR_LINES, Some("49")));
    }
}
