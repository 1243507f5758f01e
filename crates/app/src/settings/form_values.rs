//! The form of a new run: the typed text of each setting, kept even if invalid, and the parsed settings.

use serde::{Deserialize, Serialize};
use signet::runner::{SETTINGS, Setting, SettingError, SettingKind, SettingValue, TrainConfig, setting};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings with a field: all but the list of text files.
fn fields() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.kind != SettingKind::Paths)
}

/// The form's content, stored between starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// Name of the run; empty for the first unused one.
    pub name: String,
    /// Compute device: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Text files; the embedded corpus if there are none.
    pub data: Vec<PathBuf>,
    /// Typed text of settings that differ from the default, by name.
    pub typed: BTreeMap<String, String>,
}

impl Default for Form {
    fn default() -> Self {
        Self { name: String::new(), device: "auto".into(), data: Vec::new(), typed: BTreeMap::new() }
    }
}

/// The form's parsed settings and their errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckedForm {
    /// The settings; invalid ones have their default.
    pub(crate) config: TrainConfig,
    /// Errors by the names of settings.
    pub(crate) problems: BTreeMap<String, String>,
}

impl Form {
    /// Creates the form of `config`.
    pub(crate) fn of(config: &TrainConfig, name: String, device: String) -> Self {
        let differs = fields().filter(|field| field.get(config) != field.default());
        let typed = differs.map(|field| (field.name.to_string(), field.get(config).to_string())).collect();
        Self { name, device, data: config.data.clone(), typed }
    }

    /// The text of a field.
    pub(crate) fn text(&self, field: &Setting) -> String {
        self.typed.get(field.name).cloned().unwrap_or_else(|| field.default().to_string())
    }

    /// Adds a text file, unless it is listed already.
    pub(crate) fn add_text(&mut self, path: PathBuf) {
        if !self.data.contains(&path) {
            self.data.push(path);
        }
    }

    /// Sets the text of a field.
    pub(crate) fn set(&mut self, field: &Setting, text: String) {
        if text == field.default().to_string() {
            self.typed.remove(field.name);
        } else {
            self.typed.insert(field.name.into(), text);
        }
    }

    /// Parses and validates the settings; collects all errors.
    pub(crate) fn check(&self) -> CheckedForm {
        let (mut config, mut problems) = (TrainConfig { data: self.data.clone(), ..TrainConfig::default() }, BTreeMap::new());
        for field in fields() {
            let Some(typed) = self.typed.get(field.name) else { continue };
            if let Err(problem) = parse_into(&mut config, field, typed) {
                problems.insert(field.name.to_string(), problem);
            }
        }
        // `check` returns one error at a time: reset that setting to its default to find the next.
        while let Err(SettingError { name, problem }) = config.check() {
            let reset = setting(name).is_some_and(|setting| setting.set(&mut config, setting.default()).is_ok());
            if problems.insert(name.into(), problem).is_some() || !reset {
                break;
            }
        }
        CheckedForm { config, problems }
    }
}

/// Parses typed text into a setting.
fn parse_into(config: &mut TrainConfig, field: &Setting, typed: &str) -> Result<(), String> {
    set_value(config, field, field.parse(typed)?)
}

/// Sets a setting to a value that may not fit its type: `usize` has 32 bits in a browser.
fn set_value(config: &mut TrainConfig, field: &Setting, value: SettingValue) -> Result<(), String> {
    field.set(config, value.clone()).map_err(|problem| format!("cannot set {value}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet::runner::{Init, Loss, ModelSource, Moments};

    #[test]
    fn every_setting_has_a_field_and_every_field_a_setting() {
        // Typed text other than the default reaches the settings; the default's text is not stored.
        for field in fields() {
            let other = match field.kind {
                SettingKind::Flag => (field.default().to_string() != "true").to_string(),
                SettingKind::Whole(..) => "7".into(),
                SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => "0.25".into(),
                SettingKind::Choice(words) => words.iter().map(|(word, _)| word.to_string()).find(|word| *word != field.default().to_string()).unwrap(),
                _ => "other".into(),
            };
            let mut form = Form::default();
            form.set(field, other.clone());
            let mut config = TrainConfig::default();
            parse_into(&mut config, field, &form.typed[field.name]).unwrap();
            assert_eq!(field.get(&config).to_string(), other, "{}", field.name);
            assert_eq!(Form::of(&config, String::new(), "auto".into()), form, "{}", field.name);
            form.set(field, field.default().to_string());
            assert_eq!(form, Form::default(), "{}", field.name);
        }
        let left: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).filter(|name| fields().all(|field| field.name != *name)).collect();
        assert_eq!(left, ["data"], "a setting that is not typed needs a place of its own in the form");
    }

    #[test]
    fn settings_round_trip_through_the_form() {
        let mut config =
            TrainConfig { lr: 1e-5, loss: Loss::Mix, moments: Moments::Q8, init: Init::Model("a".into()), data: vec!["b".into()], ..Default::default() };
        config.teacher = ModelSource::Path("t".into());
        config.teacher_cache = Some("c".into());
        config.guard.window = 99;
        let form = Form::of(&config, String::new(), "cpu".into());
        let checked = form.check();
        assert!(checked.problems.is_empty(), "{:?}", checked.problems);
        assert_eq!(checked.config, config);
        assert_eq!(form.typed["lr"], "1e-5");
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_alone() {
        let [batch, window] = ["batch", "guard.window"].map(|name| setting(name).unwrap());
        let mut config = TrainConfig::default();
        assert_eq!((parse_into(&mut config, batch, "7"), config.batch), (Ok(()), 7));
        assert_eq!((parse_into(&mut config, window, "9"), config.guard.window), (Ok(()), 9));
        let before = config.clone();
        // Stands for 5000000000 in 32 bits, in a browser; here a value of the wrong type.
        for field in [batch, window] {
            let refused = set_value(&mut config, field, SettingValue::Text("many".into())).unwrap_err();
            assert!(refused.starts_with("cannot set many: "), "{refused}");
            assert!(parse_into(&mut config, field, "-1").unwrap_err().contains("not a whole number"));
        }
        assert_eq!(config, before);
    }

    #[test]
    fn all_errors_are_reported_and_typed_text_is_kept() {
        let mut form = Form::default();
        for (name, typed) in [("lr", "fast"), ("steps", "-3"), ("batch", "1e9"), ("guard.window", "0"), ("warmup", "5000"), ("seed", "1e3")] {
            form.set(setting(name).unwrap(), typed.into());
        }
        let checked = form.check();
        let refused: Vec<&str> = checked.problems.keys().map(String::as_str).collect();
        assert_eq!(refused, ["batch", "guard.window", "lr", "steps", "warmup"], "{:?}", checked.problems);
        assert_eq!((checked.config.seed, form.typed["lr"].as_str()), (1000, "fast"));
    }
}
