//! The training loop: reads batches, runs steps, lets the guard judge them, and emits events.

mod between_steps;
mod change;
mod due;
mod finish_step;
mod rollback;

use super::baseline::{constant_losses, unigram};
use super::changes::Changes;
use super::checkpoint::{Checkpoint, TrainState, restore};
use super::curves::{Axis, Curves};
use super::guard::Guard;
use super::orders::Orders;
use super::record::RunRecord;
use super::run_dir::RunDir;
use super::schedule::Schedule;
use super::setup::Setup;
use super::speed::StepSpan;
use super::step::{PendingReport, Step};
use super::train_config::TrainConfig;
use super::train_error::TrainError;
use super::train_event::TrainEvent;
use crate::data::{Batch, Batches, Corpus, TeacherCache, Tokenizer, held_out};
use crate::graph::Machine;
use crate::infer::Engine;
use crate::model::{BinaryGroup, ChatFormat, Rounding};
use crate::ops::Control;
use crate::platform::Clock;
use change::check_changes;
pub use rollback::{close, last_scheduled};
use rollback::{damaged_metrics, with_taken_steps};

/// The way in which training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Finished,
    /// It was stopped; a checkpoint is saved.
    Stopped,
}

/// A function that writes the student's first weights; a rollback to the beginning calls it a second time.
pub type FirstWeights = Box<dyn FnMut(&mut Machine, &Step) -> Result<(), TrainError>>;

/// A run that is ready to train.
pub struct Trainer {
    machine: Machine,
    step: Step,
    config: TrainConfig,
    rounding: Option<Rounding>,
    corpus: Corpus,
    cache: Option<TeacherCache>,
    tokenizer: Tokenizer,
    /// The chat format.
    chat: ChatFormat,
    run: RunDir,
    changes: Changes,
    state: TrainState,
    first_state: TrainState,
    batches: Batches,
    held_out_batches: Vec<Batch>,
    sizes: Vec<usize>,
    curves: Curves,
    sampler: Option<(Engine, Vec<u32>)>,
    clock: Clock,
    /// Time when the step before was done, in seconds of this session.
    last_done: f64,
    /// Seconds of earlier sessions.
    earlier: f64,
    /// Seconds of this session in which it was paused.
    paused_seconds: f64,
    /// The step after which it emitted that it is paused, until it resumes.
    paused_at: Option<u64>,
    /// True if a checkpoint is to be written between the next two steps, since the run's directory was recreated.
    save_requested: bool,
    /// The checkpoint last written or restored.
    saved: Option<SavedCheckpoint>,
    /// True if the run was rolled back since: the guard and the position in the data differ from that checkpoint.
    rolled_back: bool,
    /// The last step, if its report is outstanding.
    outstanding: Option<Outstanding>,
    device: String,
    first_weights: FirstWeights,
    /// Notes that are logged when training begins.
    notes: Vec<String>,
}

/// The parts of a trainer.
pub struct TrainerParts {
    /// The machine, with everything of `setup` on it.
    pub machine: Machine,
    /// The models' tensors and the programs.
    pub setup: Setup,
    /// The settings.
    pub config: TrainConfig,
    /// The rounding of the teacher's weights by their storage.
    pub rounding: Option<Rounding>,
    /// Text.
    pub corpus: Corpus,
    /// The teacher cache, if the student is trained from one.
    pub cache: Option<TeacherCache>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The chat format: that of the teacher with this tokenizer.
    pub chat: ChatFormat,
    /// The run's directory.
    pub run: RunDir,
    /// The step of the checkpoint to resume from, or none for the newest. Later ones are renamed.
    pub from_step: Option<u64>,
    /// Description of the device.
    pub device: String,
    /// Writes the student's first weights.
    pub first_weights: FirstWeights,
}

/// A launched step.
#[derive(Clone, Copy)]
struct Launched {
    step: u64,
    cursor: u64,
    tokens: u64,
    lr: f64,
    threshold: f32,
    loss_scale: f32,
    span: StepSpan,
}

/// A checkpoint that a trainer wrote or restored.
#[derive(Clone, Copy)]
struct SavedCheckpoint {
    step: u64,
    /// True if a rollback may go back to it.
    scheduled: bool,
}

/// A step whose report is outstanding.
struct Outstanding {
    launched: Launched,
    report: PendingReport,
}

type Emit<'a> = dyn FnMut(TrainEvent) + 'a;

impl Trainer {
    /// Creates the trainer of a run; it resumes from its last checkpoint if it has one.
    pub async fn new(parts: TrainerParts) -> Result<Self, TrainError> {
        let TrainerParts { mut machine, setup, config, rounding, corpus, cache, tokenizer, chat, mut run, from_step, device, mut first_weights } = parts;
        let Setup { step, sampler } = setup;
        let first_state = TrainState {
            cache: cache.as_ref().map(TeacherCache::identity).transpose()?,
            ..TrainState::new(Guard::new(config.guard, config.loss_scale), &device)
        };
        let last = from_step.or(run.checkpoints()?.last().copied());
        let (state, record) = match last {
            Some(last) => {
                let Checkpoint { state, run: record, .. } = restore(&run.checkpoint(last), &mut machine, &step.student)?;
                (with_taken_steps(state, &run)?, record)
            }
            None => {
                first_weights(&mut machine, &step)?;
                (first_state.clone(), None)
            }
        };
        let state = TrainState { device: device.clone(), ..state };
        if let (Some(cache), Some(then)) = (&cache, &state.cache) {
            cache.expect(then)?;
        }
        let then = record.as_ref().map(RunRecord::changes);
        let changes = run.changes(then.as_ref(), state.step, |changes| check_changes(changes, &config, &tokenizer, sampler.as_ref()))?;
        let mut notes = Vec::new();
        if then.is_some_and(|then| !then.is_part_of(&changes)) {
            notes.push(format!("changes.jsonl: after step {} it differs from the checkpoint: it was edited or is damaged", state.step));
        }
        if let Some(step) = from_step {
            let moved = run.set_aside(step)?;
            notes.extend(
                moved
                    .iter()
                    .map(|name| format!("resumed from step {step}: a later checkpoint was renamed to checkpoints/{name}; delete it if you do not need it")),
            );
        }
        notes.extend(damaged_metrics(&mut run, state.step, record.as_ref())?);
        let shape = step.shape();
        let order = if cache.is_some() { Batches::aligned } else { Batches::new };
        let mut held_out_batches = held_out(corpus.held_out.len(), shape.batch, shape.seq, config.eval_batches, |range| corpus.held_out.read(range))?;
        for (n, batch) in held_out_batches.iter_mut().enumerate() {
            if let Some(cache) = &cache {
                cache.set_top_k(batch, (0..shape.batch).map(|row| cache.grid().held_out_window(n * shape.batch + row)))?;
            }
        }
        let sizes: Vec<usize> = step.student.binary.iter().flat_map(BinaryGroup::layers).map(|(_, signs)| signs.spec.elements()).collect();
        Ok(Self {
            curves: Curves::new("", &sizes, Axis::Steps),
            sizes,
            batches: order(config.seed, corpus.train.len(), shape.batch, shape.seq),
            held_out_batches,
            earlier: state.seconds,
            clock: Clock::start(),
            last_done: 0.0,
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
            paused_seconds: 0.0,
            paused_at: None,
            save_requested: false,
            saved: last.map(|step| SavedCheckpoint { step, scheduled: false }),
            rolled_back: false,
            outstanding: None,
            device,
            first_weights,
            notes,
        })
    }

    /// The run's settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The current peak learning rate: that of the settings, or a changed one.
    pub fn rate(&self) -> f64 {
        self.schedule().peak
    }

    /// Trains until all steps are done or `stop` returns true; handles `orders` between steps.
    pub async fn train(&mut self, stop: &dyn Fn() -> bool, orders: &Orders, emit: &mut Emit<'_>) -> Result<Ending, TrainError> {
        self.begin(emit).await?;
        while self.state.step < self.config.steps {
            self.handle_orders(orders, stop, emit).await?;
            if stop() {
                self.finish_last_step(emit).await?;
                self.save(false, emit).await?;
                self.note(&format!("stopped at step {} of {}; resume the run to continue", self.state.step, self.config.steps), emit)?;
                return Ok(Ending::Stopped);
            }
            // The report of the step before is awaited only now, while the device computes this one.
            let launched = self.launch()?;
            if let Some(earlier) = self.outstanding.replace(launched)
                && self.finish_step(earlier, emit).await?
            {
                self.outstanding = None;
                continue;
            }
            let due = self.due();
            if let Some(last) = self.outstanding.take_if(|_| due.any()) {
                self.run_due(due, last, emit).await?;
            }
        }
        Ok(Ending::Finished)
    }

    /// Emits the start of the run; measures the baseline of a new run.
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
            sample_prompt: self.now().sample_prompt,
            matrices: self.step.student.binary.iter().flat_map(BinaryGroup::layers).map(|(name, signs)| (name.into(), signs.spec.elements())).collect(),
        });
        self.run.log(&format!("started at step {} of {}: {summary}", self.state.step, self.config.steps))?;
        for note in std::mem::take(&mut self.notes) {
            self.note(&note, emit)?;
        }
        if self.state.step > 0 {
            return Ok(());
        }
        if let (Some(teacher), [first, ..]) = (&self.step.teacher, &self.held_out_batches[..]) {
            let unigram = unigram(&self.corpus.train, teacher.config.vocab_size)?;
            let shape = self.step.shape();
            let losses = constant_losses(&mut self.machine, teacher, &unigram, first, (shape.batch, shape.seq)).await?;
            self.note(&format!("unigram baseline: KL(teacher‖unigram) = {:.4} on held-out text; a student should get below it", losses.kl()), emit)?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let config = &self.step.student.config;
        let kind = if self.config.binary { "binarized" } else { "full-precision" };
        let mut teacher = match (&self.cache, &self.step.teacher) {
            (Some(cache), _) => format!("a teacher cache with the top {} tokens", cache.top()),
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
        let (begun, accumulate) = (self.clock.seconds(), self.config.accumulate);
        self.step.begin(&mut self.machine)?;
        let scale = self.state.guard.loss_scale(self.state.step + 1);
        for part in 0..accumulate as u64 {
            let index = self.state.cursor + part;
            let mut batch = self.batches.batch(index, |range| self.corpus.train.read(range))?;
            if let Some(cache) = &self.cache {
                cache.set_top_k(&mut batch, self.batches.starts(index).into_iter().map(|start| cache.grid().train_window(start)))?;
            }
            self.step.micro(&mut self.machine, &batch, accumulate, scale)?;
        }
        let lr = self.schedule().rate((self.state.step + 1) * accumulate as u64 - 1);
        let threshold = self.state.threshold.take().unwrap_or_else(|| self.state.guard.threshold(self.state.step + 1));
        let control = self.control(lr, threshold);
        let report = self.step.update(&mut self.machine, &control)?;
        let launched = self.clock.seconds();
        let span = StepSpan { begun, launched, done: self.machine.has_waited().then_some(launched) };
        self.state.step += 1;
        self.state.cursor += accumulate as u64;
        self.state.tokens += self.config.tokens_per_step();
        let TrainState { step, cursor, tokens, .. } = self.state;
        Ok(Outstanding { launched: Launched { step, cursor, tokens, lr, threshold, loss_scale: scale, span }, report })
    }

    /// Returns the settings for the next step: those of the run with all changes. Code that uses a live setting must read it
    /// here.
    fn now(&self) -> TrainConfig {
        self.changes.over(&self.config, self.state.step + 1)
    }

    /// Returns the learning rate schedule for the next step.
    fn schedule(&self) -> Schedule {
        self.now().schedule()
    }

    fn control(&self, lr: f64, threshold: f32) -> Control<f32> {
        let config = &self.config;
        let taken = self.state.taken.expect("counted where a state is made or read");
        let (correction1, correction2) = Control::corrections([config.beta1, config.beta2], taken, self.outstanding.is_some());
        Control {
            rate: lr as f32,
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            epsilon: config.epsilon as f32,
            decay: config.weight_decay as f32,
            correction1,
            correction2,
            clip: config.clip as f32,
            inverse_scale: 1.0 / self.state.guard.loss_scale(self.state.step + 1),
            threshold,
            step: (self.state.step + 1).min(1 << 30) as f32,
        }
    }

    fn note(&mut self, text: &str, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        self.run.log(text)?;
        emit(TrainEvent::Note { text: text.into() });
        Ok(())
    }
}
