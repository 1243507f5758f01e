//! `signet train`.

use super::options::TuningOptions;
use super::settings::{All, SettingOptions};
use super::{data, output};
use signet::runner::{self, Command, Event, Metrics, PlanTrainRequest, Runner, Speed, TrainConfig, TrainEvent, TrainRequest};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};

/// Train a model. Without options: the default model, teacher and text, on the best available device.
#[derive(Args)]
pub(super) struct Train {
    /// Name of the run, which is stored in runs/NAME [default: the first free of run-1, run-2, …].
    #[arg(long)]
    name: Option<String>,
    /// Folder with the runs.
    #[arg(long, default_value = runner::RUNS)]
    runs: PathBuf,
    /// Resume the run of this name. Settings that you pass must match the original run.
    #[arg(long)]
    resume: bool,
    /// With --resume: resume from the checkpoint of this step; later checkpoints are renamed, not deleted.
    #[arg(long, requires = "resume", value_name = "STEP")]
    from_step: Option<u64>,
    /// Read settings from a TOML file in the format of run.toml; options override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Device to run on: auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    pub(super) tuning: TuningOptions,
    /// Print the memory that the run needs, part by part, and exit.
    #[arg(long)]
    plan: bool,
    /// With --plan: shape of a teacher that is not on disk: SmolLM2-135M, SmolLM2-360M, SmolLM2-1.7B, TinyLlama-1.1B, LLaMA2-7B, or the path of a config.json.
    #[arg(long, requires = "plan", value_name = "NAME")]
    teacher_shape: Option<String>,
    /// Available memory, such as 8GB, instead of the amount that the device reports.
    #[arg(long, value_name = "SIZE", value_parser = output::bytes)]
    memory: Option<u64>,
    /// Print one JSON object per event instead of a progress bar.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingOptions<All>,
}

impl Train {
    /// Returns true if it only prints the memory that the run needs.
    pub(super) fn only_plans(&self) -> bool {
        self.plan
    }

    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let (mut run, numbered) = self.run_path()?;
        let config = self.settings(&run)?;
        let (from_step, device) = (self.from_step, self.device.clone());
        let request = TrainRequest { run: run.clone(), numbered, config, resume: self.resume, from_step, device, memory: self.memory };
        if self.plan {
            return self.print_plan(request, runner);
        }
        let mut view = TrainView::new(self.json);
        let (mut begun, mut finished) = (false, true);
        let result = runner.run(Command::Train(Box::new(request)), &mut |event| {
            match &event {
                Event::TrainEnded { finished: all } => finished = *all,
                Event::RunCreated { path } => run.clone_from(path),
                Event::Train(TrainEvent::Begun { .. }) => begun = true,
                _ => {}
            }
            view.show(&event);
        });
        view.close();
        let resume = runner::resume_command(&run, &self.device, self.memory);
        result.map_err(|error| runner::with_resume(error, begun, &resume))?;
        if !self.json {
            print_ending(&run, finished, &resume);
        }
        Ok(())
    }

    fn print_plan(self, train: TrainRequest, runner: &mut Runner) -> Result<()> {
        let request = PlanTrainRequest { train, teacher_shape: self.teacher_shape };
        runner.run(Command::PlanTrain(Box::new(request)), &mut |event| match &event {
            event if self.json => output::put_json(event),
            Event::Planned(report) => output::plan(report),
            _ => {}
        })
    }

    /// Returns the run's directory, and true if it is the next free one.
    fn run_path(&self) -> Result<(PathBuf, bool)> {
        match &self.name {
            Some(name) => {
                runner::check_name(name).context("--name")?;
                Ok((self.runs.join(name), false))
            }
            None if self.resume => bail!("--resume needs --name NAME, the run to resume"),
            None => Ok((runner::free_run(&self.runs).context("no free run name is left. Pass --name")?, true)),
        }
    }

    /// Returns the settings: options override the file, which overrides the resumed run or the defaults. Returns `None` if a run
    /// is resumed with neither a file nor options.
    fn settings(&self, run: &Path) -> Result<Option<TrainConfig>> {
        let given = self.config.is_some() || self.settings.any();
        let base = match (self.resume, given) {
            (true, false) => return Ok(None),
            // Errors of the run are reported when it is opened.
            (true, true) => match runner::settings(&run.join("run.toml")) {
                Ok(settings) => settings,
                Err(_) => return Ok(None),
            },
            (false, _) => TrainConfig::default(),
        };
        let mut config = match &self.config {
            Some(path) => runner::settings_over(&base, path)?,
            None => base,
        };
        self.settings.set(&mut config);
        Ok(Some(config))
    }
}

fn print_ending(run: &Path, finished: bool, resume: &str) {
    output::put_line("");
    output::put_line(&format!("run        {}", run.display()));
    output::put_line(&format!("curves     {}", run.join("curves.svg").display()));
    if finished {
        output::put_line(&format!("chat       {}", runner::command_on(&["chat"], run)));
    } else {
        output::put_line(&format!("resume     {resume}"));
    }
}

/// Prints events as text with a progress bar, or as JSON.
struct TrainView {
    json: bool,
    bar: Option<ProgressBar>,
    speed: Speed,
    /// Tokens per step, and steps of the run.
    tokens: u64,
    steps: u64,
}

impl TrainView {
    fn new(json: bool) -> Self {
        Self { json, bar: None, speed: Speed::default(), tokens: 0, steps: 0 }
    }

    fn show(&mut self, event: &Event) {
        if self.json {
            return output::put_json(event);
        }
        match event {
            Event::Train(event) => self.train(event),
            Event::Note { text } => self.line(text),
            Event::Progress { done, of, note } => data::advance(self.bar.get_or_insert_with(data::bar), *done, *of, note),
            event => output::tuning(event),
        }
    }

    fn train(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Begun { step, steps, tokens, summary, .. } => {
                // A bar exists if the run resumes after a device loss.
                self.close();
                self.line(summary);
                let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").expect("a fixed template");
                self.bar = Some(ProgressBar::new(*steps).with_style(style).with_position(*step));
                (self.speed, self.tokens, self.steps) = (Speed::default(), *tokens, *steps);
            }
            TrainEvent::Step(metrics) => self.step(metrics),
            TrainEvent::Sample { step, text } => self.line(&format!("step {step}: {text}")),
            event => event.line().iter().for_each(|line| self.line(line)),
        }
    }

    fn step(&mut self, metrics: &Metrics) {
        self.speed.add(metrics.tokens_per_s);
        let rate = self.speed.tokens_per_s().unwrap_or_default();
        let left = self.speed.seconds(self.steps.saturating_sub(metrics.step) * self.tokens);
        let left = left.map_or(String::new(), |seconds| format!(", {} left", output::time(seconds)));
        let kl = metrics.kl.map_or(String::new(), |kl| format!(" KL {kl:.3}"));
        let message = format!("loss {:.3}{kl} flips {:.2e} {rate:.0} tok/s{left}", metrics.loss, metrics.flip_ratio);
        if let Some(bar) = &self.bar {
            bar.set_message(message.clone());
            bar.set_position(metrics.step);
            // Without a terminal, a line every 50 steps.
            if bar.is_hidden() && metrics.step.is_multiple_of(50) {
                output::put_line(&format!("step {}: {message}", metrics.step));
            }
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => output::put_line(text),
        }
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
