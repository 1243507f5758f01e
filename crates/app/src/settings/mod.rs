//! The app's settings, stored between starts as JSON in the user's data folder.

mod chat_settings;
mod form_values;

pub use chat_settings::ChatSettings;
pub(crate) use form_values::CheckedForm;
pub use form_values::Form;

use super::Tab;
use super::plots::Look;
use eframe::egui;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The app's stored settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The current tab.
    pub tab: Tab,
    /// Folder of the runs.
    pub runs: PathBuf,
    /// The run that was trained last.
    pub last_run: Option<PathBuf>,
    /// The form of a new run.
    pub form: Form,
    /// The chat.
    pub chat: ChatSettings,
    /// Display options of curves.
    pub look: Look,
    /// Light, dark, or the system's theme.
    pub theme: egui::ThemePreference,
    /// Zoom factor; 1 is the system's scale.
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
    /// Parses stored settings; returns the defaults if they are invalid.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Serializes the settings; none if a path is not UTF-8.
    pub fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip_and_invalid_ones_become_defaults() {
        let settings = Settings { tab: Tab::Chat, zoom: 1.5, ..Settings::default() };
        assert_eq!(Settings::from_json(&settings.to_json().unwrap()), settings);
        assert_eq!(Settings::from_json("{\"tab\": \"Nowhere\"}"), Settings::default());
        assert_eq!(Settings::from_json("{\"zoom\": 2.0}").zoom, 2.0);
    }

    /// Renaming a field would lose the user's stored value.
    #[test]
    fn stored_field_names_stay() {
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
