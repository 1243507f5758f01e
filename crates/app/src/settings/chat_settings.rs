//! Settings of the chat: model, device, sampling.

use serde::{Deserialize, Serialize};
use signet::runner::Request;

/// The chat's settings, stored between starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatSettings {
    /// `embedded`, a file, or a directory.
    pub model: String,
    /// True for replies side by side with a teacher.
    pub side_by_side: bool,
    /// The teacher: `embedded`, a file, or a directory.
    pub teacher: String,
    /// `auto`, `cpu`, or an adapter's index.
    pub device: String,
    /// The system prompt.
    pub system: String,
    /// Sampling parameters.
    pub request: Request,
    /// True to refresh the snapshot of a model in training before every reply.
    pub follow: bool,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            model: "embedded".into(),
            side_by_side: false,
            teacher: "embedded".into(),
            device: "auto".into(),
            system: String::new(),
            request: Request::default(),
            follow: false,
        }
    }
}
