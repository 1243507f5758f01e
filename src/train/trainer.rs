//! The training loop: batches in, events out, under the guard's eye.

mod boundary;
mod change;
mod serve;

use super::baseline::{constant_losses, unigram};
use super::changes::Changes;
use super::check::SettingError;
use super::checkpoint::{Checkpoint, CheckpointError, State, clear_gradients, restore};
use super::config::TrainConfig;
use super::curves::{Axis, Curves};
use super::event::{GuardAction, TrainEvent};
use super::guard::{Guard, Verdict};
use super::metrics::Metrics;
use super::orders::Orders;
use super::record::RunRecord;
use super::run_dir::{RunDir, RunError};
use super::schedule::Schedule;
use super::setup::Setup;
use super::step::{Losses, PendingReport, Step, StepError, StepReport};
use crate::data::{Batch, Batches, CacheError, Corpus, DataError, TeacherCache, Tokenizer, TokenizerError, held_out};
use crate::graph::Machine;
use crate::infer::{Engine, EngineError};
use crate::model::{BinaryGroup, ChatFormat, ModelError, Rounding};
use crate::ops::Control;
use crate::platform::Clock;
use change::possible;

/// Why training stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The run's directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] crate::graph::MachineError),
    /// The text.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The teacher cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A sample.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Spikes that rollbacks did not cure.
    #[error(
        "{0}. The run was rolled back as often as the guard allows; the last good checkpoint is kept. Lower lr, or raise guard.rollbacks, and go on with --resume"
    )]
    Diverged(String),
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Finished,
    /// It was asked to stop; everything is saved.
    Stopped,
}

/// Fills the student with its first weights; called again by a rollback to the beginning.
pub type FirstWeights = Box<dyn FnMut(&mut Machine, &Step) -> Result<(), ModelError>>;

/// A run that is ready to train.
pub struct Trainer {
    machine: Machine,
    step: Step,
    config: TrainConfig,
    rounding: Option<Rounding>,
    corpus: Corpus,
    cache: Option<TeacherCache>,
    tokenizer: Tokenizer,
    /// How conversations are written.
    chat: ChatFormat,
    run: RunDir,
    changes: Changes,
    state: State,
    first_state: State,
    batches: Batches,
    held: Vec<Batch>,
    sizes: Vec<usize>,
    curves: Curves,
    sampler: Option<(Engine, Vec<u32>)>,
    clock: Clock,
    /// Seconds on the clock when the last line was written.
    last_line: f64,
    /// Seconds of earlier sessions.
    earlier: f64,
    /// Seconds of this session in which it was told to rest.
    rested: f64,
    /// The step after which it said that it rests, until it goes on.
    rests_at: Option<u64>,
    /// Whether a checkpoint was asked for amid spikes.
    save_wanted: bool,
    /// The last step, if its report is still to come.
    outstanding: Option<Outstanding>,
    device: String,
    first_weights: FirstWeights,
    /// What is said when training begins.
    notes: Vec<String>,
}

/// What a trainer is made of.
pub struct Parts {
    /// The machine, with everything of `setup` on it.
    pub machine: Machine,
    /// The models' tensors and the programs.
    pub setup: Setup,
    /// The settings.
    pub config: TrainConfig,
    /// What the teacher's weights lost by the way they are stored.
    pub rounding: Option<Rounding>,
    /// Text.
    pub corpus: Corpus,
    /// What the teacher said of the text, where that is learnt from in its place.
    pub cache: Option<TeacherCache>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it wants conversations written: as the teacher whose tokenizer it is.
    pub chat: ChatFormat,
    /// Where the run lives.
    pub run: RunDir,
    /// The step of the checkpoint that it resumes from; without one, the newest. Later ones are moved aside.
    pub from_step: Option<u64>,
    /// The device, in words.
    pub device: String,
    /// Fills the student with its first weights.
    pub first_weights: FirstWeights,
}

/// A step whose report is still to come.
struct Outstanding {
    step: u64,
    cursor: u64,
    tokens: u64,
    lr: f64,
    threshold: f32,
    loss_scale: f32,
    report: PendingReport,
}

type Emit<'a> = dyn FnMut(TrainEvent) + 'a;

impl Trainer {
    /// Puts a run together; it goes on from its last checkpoint if it has one.
    pub async fn new(parts: Parts) -> Result<Self, TrainError> {
        let Parts { mut machine, setup, config, rounding, corpus, cache, tokenizer, chat, mut run, from_step, device, mut first_weights } = parts;
        let Setup { step, sampler } = setup;
        first_weights(&mut machine, &step)?;
        let first_state =
            State { cache: cache.as_ref().map(TeacherCache::identity).transpose()?, ..State::new(Guard::new(config.guard, config.loss_scale), &device) };
        let (state, record) = match from_step.or(run.checkpoints()?.last().copied()) {
            Some(last) => {
                let Checkpoint { state, run, .. } = restore(&run.checkpoint(last), &mut machine, &step.student)?;
                (state, run)
            }
            None => (first_state.clone(), None),
        };
        if let (Some(cache), Some(then)) = (&cache, &state.cache) {
            cache.expect(then)?;
        }
        let then = record.as_ref().map(RunRecord::changes);
        let changes = run.changes(then.as_ref(), state.step, |changes| possible(changes, &config, &tokenizer, sampler.as_ref()))?;
        let mut notes = Vec::new();
        if then.is_some_and(|then| !then.is_part_of(&changes)) {
            notes.push(format!("changes.jsonl: after step {} it is not what the checkpoint has: it was changed since, or is damaged", state.step));
        }
        if let Some(step) = from_step {
            let moved = run.set_aside(step)?;
            notes.extend(
                moved
                    .iter()
                    .map(|name| format!("resumed from step {step}: checkpoints/{name} is a later checkpoint, moved aside; delete it if you do not need it")),
            );
        }
        run.cut(state.step)?;
        if record.is_some_and(|record| !run.has_recorded(&record)) {
            notes.push(format!(
                "metrics.jsonl is damaged, or was changed: up to step {} it is not what was recorded. Training does not depend on it; curves may",
                state.step
            ));
        }
        let shape = step.shape();
        let order = if cache.is_some() { Batches::aligned } else { Batches::new };
        let mut held = held_out(corpus.held_out.len(), shape.batch, shape.seq, config.eval_batches, |range| corpus.held_out.read(range))?;
        for (n, batch) in held.iter_mut().enumerate() {
            if let Some(cache) = &cache {
                cache.teach(batch, (0..shape.batch).map(|row| cache.grid().of_held_out(n * shape.batch + row)))?;
            }
        }
        let sizes: Vec<usize> = step.student.binary.iter().flat_map(BinaryGroup::layers).map(|(_, signs)| signs.spec.elements()).collect();
        Ok(Self {
            curves: Curves::new("", &sizes, Axis::Steps),
            sizes,
            batches: order(config.seed, corpus.train.len(), shape.batch, shape.seq),
            held,
            earlier: state.seconds,
            clock: Clock::start(),
            last_line: 0.0,
            machine,
            step,
            config,
            rounding,
            corpus,
            cache,
            tokenizer,
            chat,
            run,
            changes,
            state,
            first_state,
            sampler,
            rested: 0.0,
            rests_at: None,
            save_wanted: false,
            outstanding: None,
            device,
            first_weights,
            notes,
        })
    }

    /// The machine, for what is said about it.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Trains until all steps are done or `stop` says so; obeys `orders` between steps.
    pub async fn train(&mut self, stop: &dyn Fn() -> bool, orders: &Orders, emit: &mut Emit<'_>) -> Result<Ending, TrainError> {
        self.begin(emit).await?;
        while self.state.step < self.config.steps {
            self.serve(orders, stop, emit).await?;
            if stop() {
                self.settle_early(emit).await?;
                self.save(emit).await?;
                self.note(&format!("stopped at step {} of {}; go on with --resume", self.state.step, self.config.steps), emit)?;
                return Ok(Ending::Stopped);
            }
            // The report of the step before is waited for only now, while the device works on this one.
            let launched = self.launch()?;
            if let Some(earlier) = self.outstanding.replace(launched)
                && self.settle(earlier, None, emit).await?
            {
                self.outstanding = None;
                continue;
            }
            let due = self.due();
            if let Some(last) = self.outstanding.take_if(|_| due.evaluate || due.sample || due.save) {
                self.boundary(due, last, emit).await?;
            }
        }
        Ok(Ending::Finished)
    }

    /// Tells what begins; measures the baseline of a new run.
    async fn begin(&mut self, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        let summary = self.summary();
        emit(TrainEvent::Begun {
            step: self.state.step,
            steps: self.config.steps,
            summary: summary.clone(),
            teacher: self.rounding,
            device: self.device.clone(),
            memory: self.machine.bytes(),
            tokens: self.config.tokens_per_step(),
            lr: self.schedule().peak,
            sample_prompt: self.changes.sample_prompt(self.state.step + 1).unwrap_or(&self.config.sample_prompt).into(),
            matrices: self.step.student.binary.iter().flat_map(BinaryGroup::layers).map(|(name, signs)| (name.into(), signs.spec.elements())).collect(),
        });
        self.run.log(&format!("begun at step {} of {}: {summary}", self.state.step, self.config.steps))?;
        for note in std::mem::take(&mut self.notes) {
            self.note(&note, emit)?;
        }
        if self.state.step > 0 {
            return Ok(());
        }
        if let (Some(teacher), [first, ..]) = (&self.step.teacher, &self.held[..]) {
            let unigram = unigram(&self.corpus.train, teacher.config.vocab_size)?;
            let shape = self.step.shape();
            let losses = constant_losses(&mut self.machine, teacher, &unigram, first, (shape.batch, shape.seq)).await?;
            self.note(&format!("KL of the corpus's unigram distribution from the teacher: {:.4} (held-out); a student must get below it", losses.kl), emit)?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let config = &self.step.student.config;
        let kind = if self.config.binary { "binarized" } else { "full-precision" };
        let mut teacher = match (&self.cache, &self.step.teacher) {
            (Some(cache), _) => format!("a cached teacher's {} likeliest tokens", cache.top()),
            (None, Some(teacher)) => format!("a teacher of {:.1}M", teacher.config.parameters() as f64 / 1e6),
            (None, None) => "no teacher".to_string(),
        };
        if let Some(rounding) = self.rounding {
            teacher += &format!(" in {rounding}");
        }
        let (parameters, tokens) = (config.parameters() as f64 / 1e6, self.corpus.train.len());
        format!(
            "{kind} model of {parameters:.1}M parameters, {teacher}, {tokens} tokens of text ({} held out), {}",
            self.corpus.held_out.len(),
            self.state.device
        )
    }

    /// Starts the next step on the device.
    fn launch(&mut self) -> Result<Outstanding, TrainError> {
        let accumulate = self.config.accumulate;
        self.step.begin(&mut self.machine)?;
        let scale = self.state.guard.loss_scale(self.state.step + 1);
        for part in 0..accumulate as u64 {
            let index = self.state.cursor + part;
            let mut batch = self.batches.batch(index, |range| self.corpus.train.read(range))?;
            if let Some(cache) = &self.cache {
                cache.teach(&mut batch, self.batches.starts(index).into_iter().map(|start| cache.grid().of_train(start)))?;
            }
            self.step.micro(&mut self.machine, &batch, accumulate, scale)?;
        }
        let lr = self.schedule().rate((self.state.step + 1) * accumulate as u64 - 1);
        let threshold = self.state.threshold.take().unwrap_or_else(|| self.state.guard.threshold(self.state.step + 1));
        let control = self.control(lr, threshold);
        let report = self.step.update(&mut self.machine, &control)?;
        self.state.step += 1;
        self.state.cursor += accumulate as u64;
        self.state.tokens += self.config.tokens_per_step();
        Ok(Outstanding { step: self.state.step, cursor: self.state.cursor, tokens: self.state.tokens, lr, threshold, loss_scale: scale, report })
    }

    /// The schedule that holds for the next step.
    fn schedule(&self) -> Schedule {
        let schedule = self.config.schedule();
        Schedule { peak: self.changes.lr(self.state.step + 1).unwrap_or(schedule.peak), ..schedule }
    }

    fn control(&self, lr: f64, threshold: f32) -> Control<f32> {
        let config = &self.config;
        let t = (self.state.step + 1).min(1 << 30) as i32;
        Control {
            rate: lr as f32,
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            epsilon: config.epsilon as f32,
            decay: config.weight_decay as f32,
            correction1: (1.0 - config.beta1.powi(t)) as f32,
            correction2: (1.0 - config.beta2.powi(t)).sqrt() as f32,
            clip: config.clip as f32,
            inverse_scale: 1.0 / self.state.guard.loss_scale(self.state.step + 1),
            threshold,
            step: t as f32,
        }
    }

    /// Waits for a step's report, records it and hears the guard; gives whether the run was rolled
    /// back.
    async fn settle(&mut self, launched: Outstanding, held_out: Option<Losses>, emit: &mut Emit<'_>) -> Result<bool, TrainError> {
        let Outstanding { step, cursor, tokens, lr, threshold, loss_scale, report } = launched;
        let report = report.wait().await?;
        let held_out_loss = held_out.map(|losses| losses.trained(self.config.objective()));
        let metrics = Metrics { held_out, held_out_loss, ..self.metrics(step, tokens, &report, lr, threshold, loss_scale) };
        self.keep_folder(emit)?;
        match self.run.record(&metrics) {
            // It went between the two.
            Err(_) if self.run.is_gone() => {
                self.keep_folder(emit)?;
                self.run.record(&metrics)?;
            }
            recorded => recorded?,
        }
        let loss = metrics.loss;
        emit(TrainEvent::Step(Box::new(metrics)));
        match self.state.guard.judge(step, loss, &report) {
            Verdict::Fine => Ok(false),
            Verdict::Skipped(what) => self.guarded(step, what, GuardAction::Skipped, emit).map(|()| false),
            Verdict::Spike(what) => self.guarded(step, what, GuardAction::Watched, emit).map(|()| false),
            Verdict::RollBack(what) => {
                self.roll_back(cursor)?;
                let action = GuardAction::RolledBack { to: self.state.step, rollbacks: self.state.guard.rollbacks };
                self.guarded(step, what, action, emit).map(|()| true)
            }
            Verdict::GiveUp(what) => {
                self.guarded(step, what.clone(), GuardAction::GaveUp, emit)?;
                Err(TrainError::Diverged(what))
            }
        }
    }

    fn guarded(&mut self, step: u64, what: String, action: GuardAction, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        self.run.log(&format!("guard: {what}{action}"))?;
        emit(TrainEvent::Guard { step, what, action });
        Ok(())
    }

    fn metrics(&mut self, step: u64, tokens: u64, report: &StepReport, lr: f64, threshold: f32, loss_scale: f32) -> Metrics {
        let now = self.clock.seconds() - self.rested;
        let since = (now - std::mem::replace(&mut self.last_line, now)).max(1e-9);
        self.state.seconds = self.earlier + now;
        let taught = self.step.is_taught();
        let flipped: u64 = report.flips.iter().map(|&flips| u64::from(flips)).sum();
        Metrics {
            step,
            tokens,
            loss: report.losses.trained(self.config.objective()),
            ad: taught.then_some(report.losses.ad),
            ar: report.losses.ar,
            kl: taught.then_some(report.losses.kl),
            norm: Some(report.norm).filter(|norm| norm.is_finite()),
            lr,
            flip_ratio: flipped as f64 / self.sizes.iter().sum::<usize>().max(1) as f64,
            flips: report.flips.iter().zip(&self.sizes).map(|(&flips, &size)| f64::from(flips) / size as f64).collect(),
            taken: report.taken,
            loss_scale,
            threshold: Some(f64::from(threshold)).filter(|&threshold| threshold < f64::from(f32::MAX)),
            tokens_per_s: self.config.tokens_per_step() as f64 / since,
            seconds: self.state.seconds,
            changed: self.changes.at(step).cloned(),
            held_out: None,
            held_out_loss: None,
        }
    }

    /// Goes back to the last good checkpoint (or the beginning), and on with the data after `past`.
    fn roll_back(&mut self, past: u64) -> Result<(), TrainError> {
        let earlier = match self.run.checkpoints()?.last() {
            Some(&last) => restore(&self.run.checkpoint(last), &mut self.machine, &self.step.student)?.state,
            None => {
                (self.first_weights)(&mut self.machine, &self.step)?;
                clear_moments(&mut self.machine, &self.step)?;
                clear_gradients(&mut self.machine, &self.step.student)?;
                self.first_state.clone()
            }
        };
        let mut guard = self.state.guard.clone();
        guard.rolled_back(earlier.guard.clone());
        self.state = State { guard, cursor: past, seconds: self.state.seconds, ..earlier };
        Ok(self.run.cut(self.state.step)?)
    }

    fn note(&mut self, text: &str, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        self.run.log(text)?;
        emit(TrainEvent::Note { text: text.into() });
        Ok(())
    }
}

/// Sets both moments of every parameter to zero.
fn clear_moments(machine: &mut Machine, step: &Step) -> Result<(), TrainError> {
    for home in step.student.moments().flat_map(|(_, homes)| homes) {
        machine.write(&home, &vec![0; home.spec.words()])?;
    }
    Ok(())
}
