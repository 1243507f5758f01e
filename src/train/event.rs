//! What a run tells while it trains.

use super::losses::Losses;
use super::metrics::Metrics;
use crate::model::Rounding;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What the guard did about something it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "guard")]
pub enum GuardAction {
    /// Nothing yet.
    Watched,
    /// The step was not taken.
    Skipped,
    /// It went back to a checkpoint, and on past the data.
    RolledBack {
        /// Step of the checkpoint.
        to: u64,
        /// Rollbacks so far.
        rollbacks: usize,
    },
    /// There were too many rollbacks: the run stops.
    GaveUp,
}

/// What follows in a sentence upon what was seen.
impl fmt::Display for GuardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuardAction::Watched => Ok(()),
            GuardAction::Skipped => f.write_str("; the step was not taken"),
            GuardAction::RolledBack { to, rollbacks } => {
                write!(f, "; rolled back to step {to} (rollback {rollbacks}), going on past the data that caused it")
            }
            GuardAction::GaveUp => f.write_str("; too many rollbacks, the run stops"),
        }
    }
}

/// A student as it was after a step, to be opened with `ModelFile::from_snapshot`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// After this step.
    pub step: u64,
    /// A packed file; not part of it as text.
    #[serde(skip)]
    pub bytes: Arc<Vec<u8>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of step {}, {} bytes", self.step, self.bytes.len())
    }
}

/// What happens while a run trains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "train")]
pub enum TrainEvent {
    /// The run begins, or goes on, at a step.
    Begun {
        /// Steps done already.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// What is trained on what, for a person.
        summary: String,
        /// What the teacher's weights lost by the way they are stored.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        teacher: Option<Rounding>,
        /// Where it is computed.
        device: String,
        /// Bytes of the device's memory that it holds.
        memory: u64,
        /// Tokens of a step.
        tokens: u64,
        /// The schedule's highest learning rate, as it is now.
        lr: f64,
        /// What samples continue, as it is now.
        sample_prompt: String,
        /// Name and weights of each binarized matrix, in the order of [`Metrics::flips`].
        matrices: Vec<(String, usize)>,
    },
    /// An optimizer step.
    Step(Box<Metrics>),
    /// Losses on held-out text.
    HeldOut {
        /// After this step.
        step: u64,
        /// The losses.
        losses: Losses,
    },
    /// A sample of text.
    Sample {
        /// After this step.
        step: u64,
        /// Prompt and continuation.
        text: String,
    },
    /// The device is gone; the run goes on from its last checkpoint once the device is back.
    Lost {
        /// What happened.
        reason: String,
        /// Which try this is, since the run last got further.
        attempt: u32,
        /// Tries there are.
        of: u32,
        /// Seconds until it.
        pause: f64,
    },
    /// A checkpoint is on disk.
    Saved {
        /// Of this step.
        step: u64,
        /// Where.
        path: String,
    },
    /// The guard saw something.
    Guard {
        /// In the report of this step.
        step: u64,
        /// What it saw.
        what: String,
        /// What it did.
        action: GuardAction,
    },
    /// The run rests, as it was told to.
    Paused {
        /// After this step.
        step: u64,
    },
    /// The run goes on after a rest.
    WentOn {
        /// After this step.
        step: u64,
    },
    /// The student as a packed model.
    Snapshot {
        /// After this step.
        step: u64,
        /// Seconds for which the training waited.
        seconds: f64,
        /// The file's bytes; not part of the event as text.
        #[serde(skip)]
        bytes: Arc<Vec<u8>>,
    },
    /// Something for the log: a stop, an order that could not be obeyed.
    Note {
        /// In words.
        text: String,
    },
}

impl TrainEvent {
    /// The event as a line of a log; none of those that are shown otherwise: beginnings, steps, samples, snapshots.
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::HeldOut { step, losses } => {
                let kl = if losses.ad() > 0.0 { format!(", KL {:.4}", losses.kl()) } else { String::new() };
                format!("step {step}: held-out perplexity {:.2}{kl}", losses.ar().exp())
            }
            Self::Lost { reason, attempt, of, pause } => format!("{reason}; going on from the last checkpoint in {pause:.0} s (try {attempt} of {of})"),
            Self::Saved { step, .. } => format!("step {step}: checkpoint saved"),
            Self::Guard { what, action, .. } => format!("guard: {what}{action}"),
            Self::Paused { step } => format!("step {step}: paused"),
            Self::WentOn { step } => format!("step {step}: resumed"),
            Self::Note { text } => text.clone(),
            Self::Begun { .. } | Self::Step(_) | Self::Sample { .. } | Self::Snapshot { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Term;

    #[test]
    fn an_event_is_a_line_unless_it_is_shown_otherwise() {
        let held_out = |terms: &[(Term, f64)]| TrainEvent::HeldOut { step: 5, losses: Losses::new(terms.iter().copied()) }.line().unwrap();
        assert_eq!(held_out(&[(Term::Ar, 2.0)]), "step 5: held-out perplexity 7.39");
        assert_eq!(held_out(&[(Term::Ad, 2.5), (Term::Ar, 2.0), (Term::KL, 0.5)]), "step 5: held-out perplexity 7.39, KL 0.5000");
        let rolled_back = GuardAction::RolledBack { to: 3, rollbacks: 1 };
        let guard = TrainEvent::Guard { step: 5, what: "the loss rose".into(), action: rolled_back }.line().unwrap();
        assert_eq!(guard, "guard: the loss rose; rolled back to step 3 (rollback 1), going on past the data that caused it");
        assert_eq!(TrainEvent::Sample { step: 5, text: "Once".into() }.line(), None);
    }
}
