//! `signet train`.

use super::{choice, data, output};
use crate::runner::{
    self, Command, Divergence, Event, Loss, MatrixStorage, Metrics, Moments, PlanTrainRequest, Precision, Recomputation, Runner, TrainConfig, TrainEvent,
    TrainRequest,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Train a model. Without arguments: the embedded default, on the best device there is.
#[derive(Args)]
pub(super) struct Train {
    /// Name of the run; it lives in runs/NAME. Without one, the first free of run-1, run-2, …
    #[arg(long)]
    name: Option<String>,
    /// Folder of the runs.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Go on with the run of this name; settings given must be those it was started with.
    #[arg(long)]
    resume: bool,
    /// With --resume: resume from the checkpoint of this step; later ones are moved aside.
    #[arg(long, requires = "resume", value_name = "STEP")]
    from_step: Option<u64>,
    /// Settings from a TOML file (the same as a run's run.toml); options given here come on top.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it is computed: auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "auto")]
    device: String,
    /// Only say what memory the run would take, part by part; nothing is reserved.
    #[arg(long)]
    plan: bool,
    /// With --plan: a teacher that need not exist; SmolLM2-135M, SmolLM2-360M, TinyLlama-1.1B, LLaMA2-7B, or the path of a config.json.
    #[arg(long, requires = "plan", value_name = "NAME")]
    teacher_shape: Option<String>,
    /// Memory to plan with (8GB), in the place of what the device says it has.
    #[arg(long, value_name = "SIZE", value_parser = output::bytes)]
    memory: Option<u64>,
    /// One JSON object per event instead of a progress bar.
    #[arg(long)]
    json: bool,
    /// tiny, 5M, 130M, 1.3B, 7B, 13B, or the path of a config.json.
    #[arg(long)]
    model: Option<String>,
    /// Keep the linear layers in full precision: a teacher, or a baseline.
    #[arg(long)]
    full_precision: bool,
    /// The teacher: embedded, none, a model directory, or its name on Hugging Face (owner/name).
    #[arg(long)]
    teacher: Option<String>,
    /// Learn from this cache of the teacher, made by `signet teach`, in place of the teacher itself.
    #[arg(long, value_name = "DIR")]
    teacher_cache: Option<PathBuf>,
    /// With a cache: measure held-out text against the teacher itself, which takes its memory.
    #[arg(long)]
    eval_teacher: bool,
    /// How the teacher's matrices are kept on the device: f16, f32, or q8 (8-bit blocks).
    #[arg(long, value_parser = choice::<MatrixStorage>)]
    teacher_storage: Option<MatrixStorage>,
    /// embedded, or the path of a tokenizer.json.
    #[arg(long)]
    tokenizer: Option<String>,
    /// Files of text to train on, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'; the embedded corpus without any.
    #[arg(long, num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    text: data::TextOptions,
    /// First weights: scratch, teacher, or a model directory.
    #[arg(long)]
    init: Option<String>,
    /// ad (the teacher's distribution), ar (the next token), or mix (half of each).
    #[arg(long)]
    loss: Option<String>,
    /// With ad and mix, how far from the teacher is measured: forward (KL of the student from the teacher, the paper's),
    /// reverse (KL of the teacher from the student), or js (Jensen–Shannon, between the two).
    #[arg(long, value_parser = choice::<Divergence>)]
    divergence: Option<Divergence>,
    /// Temperature of the distillation: divides the logits of both.
    #[arg(long)]
    temperature: Option<f64>,
    /// f32, or f16: whether dense products may hold their factors in f16 on a GPU.
    #[arg(long)]
    precision: Option<String>,
    /// Decides initial weights and the order of data.
    #[arg(long)]
    seed: Option<u64>,
    /// Sequences in a micro-step.
    #[arg(long)]
    batch: Option<usize>,
    /// Tokens in a sequence.
    #[arg(long)]
    seq: Option<usize>,
    /// Micro-steps in an optimizer step.
    #[arg(long)]
    accumulate: Option<usize>,
    /// Compute activations again instead of holding them: auto (as little as makes the run fit), light (norms and SwiGLU only), on, or off.
    #[arg(long)]
    recompute: Option<String>,
    /// Optimizer steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Highest learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Learning rate at the end.
    #[arg(long)]
    end_lr: Option<f64>,
    /// Steps of warm-up.
    #[arg(long)]
    warmup: Option<u64>,
    /// How AdamW's moments are stored: f32, or q8 (blocks of 8-bit codes).
    #[arg(long, value_parser = choice::<Moments>)]
    moments: Option<Moments>,
    /// Weight decay.
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Largest gradient norm.
    #[arg(long)]
    clip: Option<f64>,
    /// β₂ of AdamW.
    #[arg(long)]
    beta2: Option<f64>,
    /// Steps between evaluations on held-out text.
    #[arg(long)]
    eval_every: Option<u64>,
    /// Held-out batches looked at.
    #[arg(long)]
    eval_batches: Option<usize>,
    /// Steps between samples of text; 0 for none.
    #[arg(long)]
    sample_every: Option<u64>,
    /// What samples continue.
    #[arg(long)]
    sample_prompt: Option<String>,
    /// Steps between checkpoints; 0 for one at the end.
    #[arg(long)]
    checkpoint_every: Option<u64>,
    /// Checkpoints kept, besides the best.
    #[arg(long)]
    keep: Option<usize>,
}

impl Train {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let run = self.run_path()?;
        let config = self.settings()?;
        let given = self.config.is_some() || config != TrainConfig::default();
        let (config, device) = ((given || !self.resume).then_some(config), self.device.clone());
        let request = TrainRequest { run: run.clone(), config, resume: self.resume, from_step: self.from_step, device, memory: self.memory };
        if self.plan {
            return self.print_plan(request, runner);
        }
        let mut view = View::new(self.json);
        let mut finished = true;
        let result = runner.run(Command::Train(Box::new(request)), &mut |event| {
            if let Event::TrainEnded { finished: all } = event {
                finished = all;
            }
            view.show(&event);
        });
        view.close();
        result?;
        if !self.json {
            print_ending(&run, finished);
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

    fn run_path(&self) -> Result<PathBuf> {
        match &self.name {
            Some(name) => {
                runner::check_name(name).context("--name")?;
                Ok(self.runs.join(name))
            }
            None if self.resume => bail!("--resume needs --name: which run is to go on?"),
            None => runner::free_run(&self.runs).context("no free name is left; give --name"),
        }
    }

    fn settings(&self) -> Result<TrainConfig> {
        let mut config = match &self.config {
            Some(path) => runner::settings(path)?,
            None => TrainConfig::default(),
        };
        macro_rules! set {
            ($($name:ident),*) => { $(if let Some(value) = self.$name.clone() { config.$name = value; })* };
        }
        set!(model, teacher_storage, divergence, temperature, seed, batch, seq, accumulate, steps, lr, end_lr, warmup, moments, weight_decay, clip, beta2);
        set!(eval_every, eval_batches, sample_every, sample_prompt, checkpoint_every, keep);
        if let Some(dir) = &self.teacher_cache {
            config.teacher_cache = Some(dir.clone());
        }
        config.eval_teacher |= self.eval_teacher;
        if self.full_precision {
            config.binary = false;
        }
        if !self.data.is_empty() {
            config.data = self.data.clone();
        }
        self.text.set(&mut config);
        if let Some(name) = &self.teacher {
            config.teacher = name.clone().into();
        }
        if let Some(name) = &self.tokenizer {
            config.tokenizer = name.clone().into();
        }
        if let Some(name) = &self.init {
            config.init = name.clone().into();
        }
        match self.loss.as_deref() {
            None => {}
            Some("ad") => config.loss = Loss::Ad,
            Some("ar") => config.loss = Loss::Ar,
            Some("mix") => config.loss = Loss::Mix,
            Some(other) => bail!("--loss {other:?}: there are ad, ar and mix"),
        }
        match self.precision.as_deref() {
            None => {}
            Some("f32") => config.precision = Precision::F32,
            Some("f16") => config.precision = Precision::F16,
            Some(other) => bail!("--precision {other:?}: there are f32 and f16"),
        }
        match self.recompute.as_deref() {
            None => {}
            Some("auto") => config.recompute = Recomputation::Auto,
            Some("on") => config.recompute = Recomputation::On,
            Some("light") => config.recompute = Recomputation::Light,
            Some("off") => config.recompute = Recomputation::Off,
            Some(other) => bail!("--recompute {other:?}: there are auto, on, light and off"),
        }
        Ok(config)
    }
}

fn print_ending(run: &std::path::Path, finished: bool) {
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    println!();
    println!("run        {}", run.display());
    println!("curves     {}", run.join("curves.svg").display());
    if finished {
        println!("chat       cargo run --release -- chat {}", run.display());
    } else {
        println!("go on      cargo run --release -- train --resume --name {name}");
    }
}

/// Events as a person or a program sees them.
struct View {
    json: bool,
    bar: Option<ProgressBar>,
    rate: Option<f64>,
}

impl View {
    fn new(json: bool) -> Self {
        Self { json, bar: None, rate: None }
    }

    fn show(&mut self, event: &Event) {
        if self.json {
            println!("{}", serde_json::to_string(event).expect("events are plain data"));
            return;
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
            TrainEvent::Begun { step, steps, summary, .. } => {
                // There is one already if the run goes on after its device was lost.
                self.close();
                self.line(summary);
                let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} eta {eta}").expect("a fixed template");
                let bar = ProgressBar::new(*steps).with_style(style).with_position(*step);
                bar.reset_eta();
                self.bar = Some(bar);
            }
            TrainEvent::Step(metrics) => self.step(metrics),
            TrainEvent::HeldOut { step, losses } => {
                let kl = if losses.ad > 0.0 { format!(", KL {:.4}", losses.kl) } else { String::new() };
                self.line(&format!("step {step}: held-out perplexity {:.2}{kl}", losses.ar.exp()));
            }
            TrainEvent::Sample { step, text } => self.line(&format!("step {step}: {text}")),
            TrainEvent::Lost { reason, attempt, of, pause } => {
                self.line(&format!("{reason}; going on from the last checkpoint in {pause:.0} s (try {attempt} of {of})"));
            }
            TrainEvent::Saved { step, .. } => self.line(&format!("step {step}: checkpoint saved")),
            TrainEvent::Guard { what, action, .. } => self.line(&format!("guard: {what}{action}")),
            TrainEvent::Paused { step } => self.line(&format!("step {step}: paused")),
            TrainEvent::WentOn { .. } | TrainEvent::Snapshot { .. } => {}
            TrainEvent::Note { text } => self.line(text),
        }
    }

    fn step(&mut self, metrics: &Metrics) {
        let rate = self.rate.map_or(metrics.tokens_per_s, |rate| 0.9 * rate + 0.1 * metrics.tokens_per_s);
        self.rate = Some(rate);
        let kl = metrics.kl.map_or(String::new(), |kl| format!(" KL {kl:.3}"));
        let message = format!("loss {:.3}{kl} flips {:.2e} {rate:.0} tok/s", metrics.loss, metrics.flip_ratio);
        if let Some(bar) = &self.bar {
            bar.set_message(message.clone());
            bar.set_position(metrics.step);
            // Where there is no terminal, a line now and then.
            if bar.is_hidden() && metrics.step.is_multiple_of(50) {
                println!("step {}: {message}", metrics.step);
            }
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => println!("{text}"),
        }
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
