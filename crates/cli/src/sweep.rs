//! `signet sweep`.

use super::options::TuningOptions;
use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{self, Clock, Command, Event, Metrics, Runner, Speed, SweepRequest, SweepRun, TrainEvent};
use std::path::PathBuf;

/// Train a grid of runs, one after another. The same command resumes after an interruption and skips finished runs.
///
/// FILE has the settings of a run.toml under [base] and, under [grid], a list of values for each setting that varies, such as
/// seed = [1, 2, 3]. Each combination of values is a run, named after them. Several [[grid]] tables are trained in order. All combinations
/// are validated before the first run starts.
#[derive(Args)]
pub(super) struct Sweep {
    /// TOML file with the settings.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for the runs [default: runs/ and the file's name without extension].
    #[arg(long)]
    runs: Option<PathBuf>,
    /// Device to run on: auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    pub(super) tuning: TuningOptions,
    /// Available memory, such as 8GB, instead of the amount that the device reports.
    #[arg(long, value_name = "SIZE", value_parser = output::bytes)]
    memory: Option<u64>,
    /// List the runs and their remaining steps, and exit.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object per event instead of a progress bar.
    #[arg(long)]
    json: bool,
}

impl Sweep {
    /// Returns true if it only prints what would be done.
    pub(super) fn only_plans(&self) -> bool {
        self.dry_run
    }

    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { file, runs, device, memory, dry_run: dry, json, .. } = self;
        let folder = runs.unwrap_or_else(|| PathBuf::from("runs").join(file.file_stem().unwrap_or_default()));
        let request = SweepRequest { file, folder: folder.clone(), device, memory, dry };
        let mut view = SweepView::default();
        let mut ended = None;
        let result = runner.run(Command::Sweep(Box::new(request)), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::SweepPlanned { runs } if dry => list(runs),
            Event::SweepEnded { done, of, failed } => ended = Some((*done, *of, failed.clone())),
            event => view.show(event),
        });
        view.close();
        if let Some((done, of, failed)) = ended {
            failed.iter().for_each(|failed| output::note(failed));
            let next = match done + failed.len() < of {
                true => "run the same command to resume".into(),
                false => format!("compare them with: {}", runner::command_on(&["compare"], &folder)),
            };
            put(&format!("{done} of {of} runs are done; {next}\n"));
        }
        result
    }
}

/// Prints the runs of a dry run.
fn list(runs: &[SweepRun]) {
    let width = runs.iter().map(|run| run.name.len()).max().unwrap_or(0);
    for run in runs {
        let steps = run.config.steps;
        let left = match run.step {
            _ if run.is_done() => "done".into(),
            0 => format!("{steps} steps"),
            step => format!("{} of {steps} steps, from a checkpoint", steps - step),
        };
        let memory = if run.is_done() { String::new() } else { format!(", {} of memory", runner::format_bytes(run.memory)) };
        put(&format!("{:<width$}  {left}{memory}\n", run.name));
    }
    let (left, tokens) = (runs.iter().filter(|run| !run.is_done()).count(), runs.iter().map(SweepRun::tokens_left).sum::<u64>());
    put(&format!("{} runs, {left} to do: {:.3} M tokens\n", runs.len(), tokens as f64 / 1e6));
}

/// A progress bar over the tokens of all runs.
#[derive(Default)]
struct SweepView {
    runs: Vec<SweepRun>,
    /// Number of the current run, from 1.
    n: usize,
    /// Tokens of this session before the current run.
    before: u64,
    bar: Option<ProgressBar>,
    clock: Option<Clock>,
    pace: Speed,
}

impl SweepView {
    fn show(&mut self, event: &Event) {
        match event {
            Event::SweepPlanned { runs } => {
                let tokens = runs.iter().map(SweepRun::tokens_left).sum();
                let done = runs.iter().filter(|run| run.is_done()).count();
                let style = ProgressStyle::with_template("{bar:24} {msg}").expect("a fixed template");
                self.line(&format!("{} runs, {done} of them done; {:.3} M tokens to go", runs.len(), tokens as f64 / 1e6));
                (self.runs, self.bar, self.clock) = (runs.clone(), Some(ProgressBar::new(tokens).with_style(style)), Some(Clock::start()));
            }
            Event::SweepRun { n, of, name } => {
                (self.n, self.pace) = (*n, Speed::default());
                let earlier = self.runs.iter().take(n - 1);
                self.before = earlier.map(SweepRun::tokens_left).sum();
                self.line(&format!("run {n} of {of}: {name}"));
            }
            Event::Train(TrainEvent::Step(metrics)) => self.step(metrics),
            Event::Train(TrainEvent::HeldOut { step, losses }) => {
                let Some(run) = self.runs.get(self.n.wrapping_sub(1)) else { return };
                if *step == run.config.steps {
                    let kl = if losses.ad() > 0.0 { format!(", KL {:.4}", losses.kl()) } else { String::new() };
                    self.line(&format!("  held-out next-token loss {:.4}{kl}", losses.ar()));
                }
            }
            Event::Note { .. } | Event::Train(TrainEvent::Guard { .. } | TrainEvent::Note { .. }) => {
                event.line().iter().for_each(|line| self.line(&format!("  {line}")));
            }
            Event::Train(TrainEvent::Lost { reason, .. }) => self.line(&format!("  {reason}")),
            _ => {}
        }
    }

    fn step(&mut self, metrics: &Metrics) {
        let (Some(run), Some(bar), Some(clock)) = (self.runs.get(self.n.wrapping_sub(1)), &self.bar, &self.clock) else { return };
        self.pace.add(metrics.tokens_per_s);
        let rate = self.pace.tokens_per_s().unwrap_or_default();
        let done = self.before + (metrics.step.saturating_sub(run.step)) * run.config.tokens_per_step();
        let all = bar.length().unwrap_or(0);
        // Estimated from the whole session, since evaluations and starts of runs take time, too.
        let left = clock.seconds() * all.saturating_sub(done) as f64 / done.max(1) as f64;
        let steps = run.config.steps;
        let message = format!(
            "run {} of {}, step {} of {steps}: loss {:.3}, {rate:.0} tok/s, {} left over all",
            self.n,
            self.runs.len(),
            metrics.step,
            metrics.loss,
            output::time(left)
        );
        bar.set_position(done);
        bar.set_message(message.clone());
        // Without a terminal, a line every 50 steps.
        if bar.is_hidden() && metrics.step.is_multiple_of(50) {
            put(&format!("  {message}\n"));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => put(&format!("{text}\n")),
        }
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
