//! The run that Resume would continue: its name, its progress, and whether it can be resumed.

use crate::shared::Shared;
use signet::runner::{Command, Event, Reply, RunInfo, Tuning, Wake, Worker};
use std::path::{Path, PathBuf};

/// Seconds between reads of the run's directory while the tab is shown.
const REFRESH: f64 = 2.0;

/// The last run and its description.
pub(super) struct LastRun {
    worker: Worker,
    /// The run that `found` describes.
    path: Option<PathBuf>,
    /// Its description; none until it was read. The inner option is none if the run does not exist.
    found: Option<Option<Box<RunInfo>>>,
    /// Time of the last read, on the frame clock.
    read: f64,
    /// True if it must be read again.
    stale: bool,
}

impl LastRun {
    pub(super) fn new(wake: &Wake) -> Self {
        Self { worker: Worker::spawn("last run", Tuning::Off, wake.clone()), path: None, found: None, read: 0.0, stale: false }
    }

    /// Handles the worker's replies, and requests a description if the last run changed or is stale.
    pub(super) fn poll(&mut self, shared: &Shared) {
        for reply in self.worker.poll() {
            if let Reply::Event(Event::Run { path, run }) = reply
                && self.path.as_ref() == Some(&path)
                && !self.stale
            {
                self.found = Some(run);
            }
        }
        if self.path != shared.settings.last_run {
            (self.path, self.found) = (shared.settings.last_run.clone(), None);
            self.stale = true;
        }
        if let Some(path) = self.path.clone().filter(|_| self.stale && !self.worker.busy()) {
            self.worker.send(Command::DescribeRun { path });
            self.stale = false;
        }
    }

    /// Discards the description, which is outdated after training.
    pub(super) fn refresh(&mut self) {
        (self.found, self.stale) = (None, true);
    }

    /// Marks the description as stale every `REFRESH` seconds; `now` is the frame clock.
    pub(super) fn drawn(&mut self, now: f64) {
        if now - self.read >= REFRESH {
            (self.read, self.stale) = (now, true);
        }
    }

    /// The reason why it cannot be resumed; none if it can, or if that is not known yet.
    pub(super) fn obstacle(&self) -> Option<String> {
        let Some(path) = &self.path else { return Some("There is no run to resume yet. The tab Runs lists those that others made".into()) };
        let (name, found) = (name(path), self.found.as_ref()?);
        let Some(run) = found else { return Some(format!("{name} is no longer in its folder")) };
        match &run.config {
            _ if run.training => Some(format!("{name} is being trained by another process")),
            None => Some(format!("The settings of {name} cannot be read: {}", run.problem.as_deref().unwrap_or("run.toml is missing"))),
            Some(config) if run.saved() >= config.steps => Some(format!("{name} is finished: all {} steps are done", config.steps)),
            Some(_) => None,
        }
    }

    /// Describes the effect of Resume, or the reason why it is not possible.
    pub(super) fn summary(&self) -> Option<String> {
        let path = self.path.as_ref()?;
        let run = self.found.as_ref()?.as_ref();
        Some(match (self.obstacle(), run.and_then(|run| Some((run.saved(), run.config.as_ref()?.steps)))) {
            (Some(obstacle), _) => obstacle,
            (None, Some((step, steps))) => format!("Resume continues {} from step {step} of {steps}", name(path)),
            (None, None) => return None,
        })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
