//! The settings of the chat: the model, the device, and how replies are drawn.

use serde::{Deserialize, Serialize};
use signet::runner::Request;

/// The chat, as it is remembered between starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatSettings {
    /// `embedded`, a file, or a directory.
    pub model: String,
    /// Whether a teacher replies beside it.
    pub side_by_side: bool,
    /// The teacher: `embedded`, a file, or a directory.
    pub teacher: String,
    /// `auto`, `cpu`, or an adapter's index.
    pub device: String,
    /// What the system says first.
    pub system: String,
    /// How replies are made.
    pub request: Request,
    /// Whether a model in training is taken anew before every reply.
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
