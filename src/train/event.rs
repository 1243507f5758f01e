//! What a run tells while it trains.

use super::metrics::Metrics;
use super::step::Losses;
use crate::model::Rounding;
use serde::{Deserialize, Serialize};

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
    /// Something for the log: the guard's doings, a stop.
    Note {
        /// In words.
        text: String,
    },
}
