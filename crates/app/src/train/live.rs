//! State of the current run, updated by its events.

use crate::plots::{History, View};
use crate::shared::{RunSnapshot, Shared, Training};
use signet::runner::{CommandError, Event, Metrics, Orders, Reply, Snapshot, Speed, TrainEvent};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The phase of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// No run.
    #[default]
    Idle,
    /// Preparing.
    Starting,
    /// Training.
    Training,
    /// Paused.
    Paused,
    /// Saving, before it stops.
    Saving,
    /// Stopped and saved.
    Stopped,
    /// All steps are done.
    Finished,
    /// Failed with this error.
    Failed(CommandError),
}

impl Phase {
    /// True while the worker has the run.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Phase::Starting | Phase::Training | Phase::Paused | Phase::Saving)
    }
}

/// Maximum number of samples and of log lines; the oldest are dropped.
const MAX_LINES: usize = 200;

/// The current run.
#[derive(Default)]
pub(super) struct Live {
    pub(super) phase: Phase,
    /// Its directory.
    pub(super) run: Option<PathBuf>,
    /// True once training has begun; from then on the run can be resumed.
    pub(super) begun: bool,
    pub(super) device: String,
    pub(super) step: u64,
    pub(super) steps: u64,
    /// Device memory in use, in bytes.
    pub(super) memory: u64,
    /// Tokens a step.
    tokens: u64,
    /// Training speed over the last steps.
    pub(super) pace: Speed,
    /// Names of the binarized matrices.
    pub(super) matrices: Vec<String>,
    /// Progress of the preparation; afterwards a summary of model and data.
    pub(super) status: String,
    pub(super) history: History,
    /// Marker and zoom of its curves.
    pub(super) view: View,
    /// Step and text of each sample, the newest last.
    pub(super) samples: VecDeque<(u64, String)>,
    pub(super) log: VecDeque<String>,
    /// Set if the run is to resume from its last checkpoint once its failed worker has ended; true if it was paused.
    pub(super) resume_pending: Option<bool>,
    /// The step of the last such resume; the same step is not retried.
    pub(super) resumed_at: Option<u64>,
    /// Peak learning rate and sample prompt that the run just reported, until the controls show them.
    pub(super) reported: Option<(f64, String)>,
}

impl Live {
    /// Resets the state for a run that is about to start or resume.
    pub(super) fn start(&mut self, run: PathBuf, resumed: bool) {
        if self.run.as_ref() != Some(&run) || !resumed {
            *self = Self::default();
        }
        self.phase = Phase::Starting;
        self.begun = resumed;
        self.run = Some(run);
        self.status = "Preparing…".into();
        self.pace = Speed::default();
    }

    /// Estimated seconds until the last step.
    pub(super) fn left(&self) -> Option<f64> {
        self.pace.seconds(self.steps.saturating_sub(self.step) * self.tokens)
    }

    /// Metrics of the last step.
    pub(super) fn last(&self) -> Option<&Metrics> {
        self.history.last.as_deref()
    }

    /// The state for the other tabs; none if no run is in training.
    pub(super) fn training(&self, orders: &Orders) -> Option<Training> {
        let (run, paused) = (self.run.clone().unwrap_or_default(), self.phase == Phase::Paused);
        let training =
            Training { run, step: self.step, steps: self.steps, tokens_per_s: self.pace.tokens_per_s().unwrap_or(0.0), paused, orders: orders.clone() };
        self.phase.runs().then_some(training)
    }

    /// Handles one reply.
    pub(super) fn handle(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(Event::Train(event)) => self.train(event, shared),
            Reply::Event(Event::RunCreated { path }) => self.run = Some(path),
            Reply::Event(Event::TrainEnded { finished }) => {
                // A run that was finished before sends no `Begun`, which would set the step.
                self.step = self.step.max(self.last().map_or(0, |last| last.step));
                self.phase = if finished { Phase::Finished } else { Phase::Stopped };
            }
            Reply::Event(event @ Event::Tuning { .. }) => self.status = event.line().unwrap_or_default(),
            Reply::Event(Event::Progress { done, of, note }) => self.status = format!("{done} of {of} MB: {note}"),
            Reply::Event(Event::Note { text }) => self.note(text),
            Reply::Event(_) => {}
            Reply::Restarted { why } => {
                if self.phase.runs() && self.phase != Phase::Saving && self.resumed_at != Some(self.step) {
                    self.resume_pending = Some(self.phase == Phase::Paused);
                }
                self.note(format!("{why}; what was saved is whole"));
            }
            Reply::Ended { error: Some(error) } => {
                self.note(format!("failed: {error}"));
                self.phase = Phase::Failed(error);
            }
            Reply::Ended { error: None } if self.phase.runs() => self.phase = Phase::Stopped,
            Reply::Ended { error: None } => {}
        }
    }

    fn train(&mut self, event: TrainEvent, shared: &mut Shared) {
        let line = event.line();
        if let Some(line) = &line {
            self.note(line.clone());
        }
        match event {
            TrainEvent::Begun { step, steps, summary, device, memory, tokens, lr, sample_prompt, matrices, .. } => {
                self.history.truncate(step);
                self.samples.retain(|(of, _)| *of <= step);
                self.note(format!("step {step} of {steps}: {summary}"));
                (self.phase, self.begun, self.step, self.steps) = (self.unless_saving(Phase::Training), true, step, steps);
                (self.status, self.device, self.memory, self.tokens) = (summary, device, memory, tokens);
                self.matrices = matrices.into_iter().map(|(name, _)| name).collect();
                (self.pace, self.reported) = (Speed::default(), Some((lr, sample_prompt)));
            }
            TrainEvent::Step(metrics) => self.step(&metrics),
            TrainEvent::Sample { step, text } => keep(&mut self.samples, (step, text)),
            TrainEvent::Lost { .. } => {
                self.history.mark(self.step, "device lost");
                self.status = line.unwrap_or_default();
            }
            TrainEvent::Guard { step, what, action } => self.history.mark(step, format!("{what}{action}")),
            TrainEvent::Paused { step } => (self.phase, self.step) = (self.unless_saving(Phase::Paused), step),
            TrainEvent::Resumed { .. } => self.phase = self.unless_saving(Phase::Training),
            TrainEvent::Snapshot { step, seconds, bytes } => {
                let run = self.run.clone().unwrap_or_default();
                shared.snapshot = Some(RunSnapshot { run, snapshot: Snapshot { step, bytes }, seconds });
            }
            TrainEvent::HeldOut { .. } | TrainEvent::Saved { .. } | TrainEvent::Note { .. } => {}
        }
    }

    /// Returns `phase`, or `Saving` if the run was asked to stop.
    fn unless_saving(&self, phase: Phase) -> Phase {
        if self.phase == Phase::Saving { Phase::Saving } else { phase }
    }

    fn step(&mut self, metrics: &Metrics) {
        self.step = metrics.step;
        self.pace.add(metrics.tokens_per_s);
        self.recorded(metrics);
    }

    /// Adds a step of this session or an earlier one.
    pub(super) fn recorded(&mut self, metrics: &Metrics) {
        self.history.mark_changes(metrics);
        self.history.push(metrics);
    }

    pub(super) fn note(&mut self, text: String) {
        keep(&mut self.log, text);
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MAX_LINES {
        list.pop_front();
    }
    list.push_back(item);
}
