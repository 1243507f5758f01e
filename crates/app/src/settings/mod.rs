//! What the app remembers between starts, as JSON in the user's data folder.

mod chat;
mod form;

pub use chat::ChatSettings;
pub(crate) use form::Checked;
pub use form::Form;

use super::Tab;
use super::plots::Look;
use eframe::egui;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The tab that is shown.
    pub tab: Tab,
    /// Folder of the runs.
    pub runs: PathBuf,
    /// The run that was trained last.
    pub last_run: Option<PathBuf>,
    /// The form of a new run.
    pub form: Form,
    /// The chat.
    pub chat: ChatSettings,
    /// How curves are drawn.
    pub look: Look,
    /// Light, dark, or as the system has it.
    pub theme: egui::ThemePreference,
    /// Size of everything, 1 as the system has it.
    pub zoom: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tab: Tab::default(),
            runs: "runs".into(),
            last_run: None,
            form: Form::default(),
            chat: ChatSettings::default(),
            look: Look::default(),
            theme: egui::ThemePreference::System,
            zoom: 1.0,
        }
    }
}

impl Settings {
    /// What was remembered; what cannot be read is as at the first start.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// As it is remembered; none where a path is no text.
    pub fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_and_broken_ones_are_as_at_first() {
        let settings = Settings { tab: Tab::Chat, zoom: 1.5, ..Settings::default() };
        assert_eq!(Settings::from_json(&settings.to_json().unwrap()), settings);
        assert_eq!(Settings::from_json("{\"tab\": \"Nowhere\"}"), Settings::default());
        assert_eq!(Settings::from_json("{\"zoom\": 2.0}").zoom, 2.0);
    }

    /// A renamed field would forget what people have set.
    #[test]
    fn names_of_what_is_remembered_stay() {
        let form = r#"{"name":"","device":"auto","data":[],"typed":{}}"#;
        let sampling = r#"{"temperature":0.7,"top_k":40,"top_p":0.95,"min_p":0.0,"repetition_penalty":1.1,"seed":0}"#;
        let request = format!(r#"{{"max_tokens":256,"sampling":{sampling},"stop_tokens":[],"stop_strings":[]}}"#);
        let chat =
            format!(r#"{{"model":"embedded","side_by_side":false,"teacher":"embedded","device":"auto","system":"","request":{request},"follow":false}}"#);
        let look = r#"{"logarithmic":true,"smoothing":0.0}"#;
        let kept = format!(r#"{{"tab":"Train","runs":"runs","last_run":null,"form":{form},"chat":{chat},"look":{look},"theme":"System","zoom":1.0}}"#);
        assert_eq!(Settings::default().to_json().unwrap(), kept);
    }
}
