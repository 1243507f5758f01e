//! The events of a run while it trains.

use super::losses::Losses;
use super::metrics::Metrics;
use crate::model::Rounding;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The action of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "guard")]
pub enum GuardAction {
    /// No action yet.
    Watched,
    /// The step was skipped.
    Skipped,
    /// The run went back to a checkpoint, and continues after the data that caused it.
    RolledBack {
        /// Step of the checkpoint.
        to: u64,
        /// Rollbacks so far.
        rollbacks: usize,
    },
    /// The run stops after too many rollbacks.
    GaveUp,
}

/// Formats the action as a continuation of the sentence about its cause.
impl fmt::Display for GuardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuardAction::Watched => Ok(()),
            GuardAction::Skipped => f.write_str("; the step was skipped"),
            GuardAction::RolledBack { to, rollbacks } => {
                write!(f, "; rolled back to step {to} (rollback {rollbacks}), continuing after the data that caused it")
            }
            GuardAction::GaveUp => f.write_str("; too many rollbacks, the run stops"),
        }
    }
}

/// A copy of the student after a step; open it with `ModelFile::from_snapshot`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// After this step.
    pub step: u64,
    /// A packed model file; not serialised.
    #[serde(skip)]
    pub bytes: Arc<Vec<u8>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of step {}, {} bytes", self.step, self.bytes.len())
    }
}

/// An event of a run in training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "train")]
pub enum TrainEvent {
    /// The run starts, or resumes, at a step.
    Begun {
        /// Steps already done.
        step: u64,
        /// Number of all steps.
        steps: u64,
        /// Description of student, teacher and text.
        summary: String,
        /// The rounding of the teacher's weights by their storage.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        teacher: Option<Rounding>,
        /// The device.
        device: String,
        /// Bytes of device memory in use.
        memory: u64,
        /// Tokens of a step.
        tokens: u64,
        /// The current peak learning rate.
        lr: f64,
        /// The current prompt of samples.
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
    /// The device was lost; the run resumes from its last checkpoint once the device is back.
    Lost {
        /// The reason.
        reason: String,
        /// Number of this attempt, since the run last made progress.
        attempt: u32,
        /// Most attempts.
        of: u32,
        /// Seconds until the attempt.
        pause: f64,
    },
    /// A checkpoint was saved.
    Saved {
        /// Of this step.
        step: u64,
        /// Its path.
        path: String,
    },
    /// The guard detected a spike or a gradient that is not finite.
    Guard {
        /// In the report of this step.
        step: u64,
        /// The cause.
        what: String,
        /// The action.
        action: GuardAction,
    },
    /// The run paused.
    Paused {
        /// After this step.
        step: u64,
    },
    /// The run resumed after a pause.
    #[serde(rename = "went_on")]
    Resumed {
        /// After this step.
        step: u64,
    },
    /// The student as a packed model.
    Snapshot {
        /// After this step.
        step: u64,
        /// Seconds by which training was delayed.
        seconds: f64,
        /// The file's bytes; not serialised.
        #[serde(skip)]
        bytes: Arc<Vec<u8>>,
    },
    /// A message for the log, such as a stop or an order that failed.
    Note {
        /// The message.
        text: String,
    },
}

impl TrainEvent {
    /// Formats the event as a line of a log; none for those that are shown in other ways: starts, steps, samples, snapshots.
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::HeldOut { step, losses } => {
                let kl = if losses.ad() > 0.0 { format!(", KL {:.4}", losses.kl()) } else { String::new() };
                format!("step {step}: held-out perplexity {:.2}{kl}", losses.ar().exp())
            }
            Self::Lost { reason, attempt, of, pause } => format!("{reason}; resuming from the last checkpoint in {pause:.0} s (attempt {attempt} of {of})"),
            Self::Saved { step, .. } => format!("step {step}: checkpoint saved"),
            Self::Guard { what, action, .. } => format!("guard: {what}{action}"),
            Self::Paused { step } => format!("step {step}: paused"),
            Self::Resumed { step } => format!("step {step}: resumed"),
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
        assert_eq!(guard, "guard: the loss rose; rolled back to step 3 (rollback 1), continuing after the data that caused it");
        assert_eq!(TrainEvent::Sample { step: 5, text: "Once".into() }.line(), None);
    }
}
