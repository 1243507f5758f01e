//! What the form holds: for each setting the text that was typed, so that nothing typed is lost, and
//! the settings that it makes.

use super::fields::{FIELDS, Field, Kind, NONE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use signet::runner::{SettingError, TrainConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

/// All settings as by default.
static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(|| values(&TrainConfig::default()));

/// The form's contents, remembered between starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// Name of the run; empty for the first that is free.
    pub name: String,
    /// Where it is computed: `auto`, `cpu`, or an adapter.
    pub device: String,
    /// Text files; the embedded corpus if there are none.
    pub data: Vec<PathBuf>,
    /// What was typed for settings that are not as by default, by their names.
    pub typed: BTreeMap<String, String>,
}

impl Default for Form {
    fn default() -> Self {
        Self { name: String::new(), device: "auto".into(), data: Vec::new(), typed: BTreeMap::new() }
    }
}

/// What the form's settings are, and why some cannot be.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    /// The settings; those that were refused are as by default.
    pub(super) config: TrainConfig,
    /// What is wrong, by the names of settings.
    pub(super) problems: BTreeMap<String, String>,
}

impl Form {
    /// The form of some settings.
    pub(super) fn of(config: &TrainConfig, name: String, device: String) -> Self {
        let values = values(config);
        let differs = FIELDS.iter().filter(|field| part(&values, field.name) != part(&DEFAULTS, field.name));
        let typed = differs.map(|field| (field.name.to_string(), text(part(&values, field.name)))).collect();
        Self { name, device, data: config.data.clone(), typed }
    }

    /// What stands in a field.
    pub(super) fn text(&self, field: &Field) -> String {
        self.typed.get(field.name).cloned().unwrap_or_else(|| default_text(field))
    }

    /// Adds a text file, unless it is there.
    pub(super) fn add_text(&mut self, path: PathBuf) {
        if !self.data.contains(&path) {
            self.data.push(path);
        }
    }

    /// Puts something into a field.
    pub(super) fn set(&mut self, field: &Field, text: String) {
        if text == default_text(field) {
            self.typed.remove(field.name);
        } else {
            self.typed.insert(field.name.into(), text);
        }
    }

    /// Its settings, and all that is wrong with them.
    pub(super) fn check(&self) -> Checked {
        let mut problems = BTreeMap::new();
        let mut values = DEFAULTS.clone();
        for field in FIELDS {
            let Some(typed) = self.typed.get(field.name) else { continue };
            match value(field.kind, typed).and_then(|value| check_type(field.name, value)) {
                Ok(value) => put(&mut values, field.name, value),
                Err(problem) => _ = problems.insert(field.name.to_string(), problem),
            }
        }
        let mut config: TrainConfig = serde_json::from_value(Value::Object(values)).unwrap_or_default();
        config.data = self.data.clone();
        // Each refusal is found by putting the one before back to its default.
        while let Err(SettingError { name, problem }) = config.check() {
            if problems.insert(name.into(), problem).is_some() {
                break;
            }
            let mut values = self::values(&config);
            put(&mut values, name, part(&DEFAULTS, name).clone());
            config = serde_json::from_value(Value::Object(values)).unwrap_or_default();
        }
        Checked { config, problems }
    }
}

fn values(config: &TrainConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(values)) => values,
        // A path that is not UTF-8: it is refused where it is given.
        _ => Map::new(),
    }
}

fn part<'a>(values: &'a Map<String, Value>, name: &str) -> &'a Value {
    let found = match name.split_once('.') {
        Some((outer, inner)) => values.get(outer).and_then(|outer| outer.get(inner)),
        None => values.get(name),
    };
    found.unwrap_or(&Value::Null)
}

fn put(values: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        Some((outer, inner)) => {
            if let Some(Value::Object(outer)) = values.get_mut(outer) {
                outer.insert(inner.into(), value);
            }
        }
        None => _ = values.insert(name.into(), value),
    }
}

/// What stands in a field at first.
pub(super) fn default_text(field: &Field) -> String {
    text(part(&DEFAULTS, field.name))
}

/// A value as it is typed.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => NONE.into(),
        Value::Number(number) if number.is_f64() => short(number.as_f64().unwrap_or_default()),
        value => value.to_string(),
    }
}

/// A number as briefly as it can be typed.
fn short(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if plain.len() > scientific.len() + 1 { scientific } else { plain }
}

/// What was typed as a value; an error says what is wrong with the text.
fn value(kind: Kind, typed: &str) -> Result<Value, String> {
    let number = typed.trim().replace('_', "");
    match kind {
        Kind::Whole => {
            let whole = number.parse::<u64>().ok().or_else(|| {
                let value = number.parse::<f64>().ok()?;
                (value >= 0.0 && value.fract() == 0.0 && value <= 2f64.powi(53)).then_some(value as u64)
            });
            whole.map(Value::from).ok_or_else(|| format!("{typed:?} is no whole number from 0 on; write 1000 or 1e3"))
        }
        Kind::Real => {
            let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
            value.map(Value::from).ok_or_else(|| format!("{typed:?} is no number; write 0.0002 or 2e-4"))
        }
        Kind::Flag => Ok(Value::Bool(typed == "true")),
        Kind::Choice(choices) if !choices.iter().any(|(name, _)| *name == typed) => Err(format!("{typed:?} is none of the choices")),
        // Of what may be none, these have no word of their own for it.
        Kind::Named(_, signet::runner::InputKind::TeacherCache | signet::runner::InputKind::Text) if typed == NONE => Ok(Value::Null),
        Kind::Choice(_) | Kind::Text | Kind::Named(..) => Ok(Value::from(typed)),
    }
}

/// A setting's value, if the settings can have it: whole numbers have fewer bits in a page.
fn check_type(name: &str, value: Value) -> Result<Value, String> {
    let mut values = DEFAULTS.clone();
    put(&mut values, name, value.clone());
    match serde_json::from_value::<TrainConfig>(Value::Object(values)) {
        Ok(_) => Ok(value),
        Err(error) => Err(format!("it cannot be {}: {error}", text(&value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet::runner::{Init, Loss, Moments, Source};

    #[test]
    fn every_setting_has_a_field_and_every_field_a_setting() {
        let mut values = values(&TrainConfig::default());
        for field in FIELDS {
            assert_eq!(value(field.kind, &default_text(field)).as_ref(), Ok(part(&values, field.name)), "{}", field.name);
        }
        for field in FIELDS {
            match field.name.split_once('.') {
                Some((outer, inner)) => _ = values[outer].as_object_mut().unwrap().remove(inner),
                None => _ = values.remove(field.name),
            }
        }
        assert_eq!(Value::Object(values), serde_json::json!({ "data": [], "guard": {} }));
    }

    #[test]
    fn settings_survive_the_form() {
        let mut config =
            TrainConfig { lr: 1e-5, loss: Loss::Mix, moments: Moments::Q8, init: Init::Model("a".into()), data: vec!["b".into()], ..Default::default() };
        config.teacher = Source::Path("t".into());
        config.teacher_cache = Some("c".into());
        config.guard.window = 99;
        let form = Form::of(&config, String::new(), "cpu".into());
        let checked = form.check();
        assert!(checked.problems.is_empty(), "{:?}", checked.problems);
        assert_eq!(checked.config, config);
        assert_eq!(form.typed["lr"], "1e-5");
    }

    #[test]
    fn a_value_that_no_setting_can_hold_is_refused_alone() {
        // As 5000000000 of 32 bits in a page.
        assert!(check_type("batch", Value::from(-1)).unwrap_err().contains("it cannot be -1"));
        assert_eq!(check_type("batch", Value::from(7)), Ok(Value::from(7)));
        assert_eq!(check_type("guard.window", Value::from(9)), Ok(Value::from(9)));
    }

    #[test]
    fn all_that_is_wrong_is_told_and_nothing_typed_is_lost() {
        let mut form = Form::default();
        for (name, typed) in [("lr", "fast"), ("steps", "-3"), ("batch", "1e9"), ("guard.window", "0"), ("warmup", "5000"), ("seed", "1e3")] {
            form.set(FIELDS.iter().find(|field| field.name == name).unwrap(), typed.into());
        }
        let checked = form.check();
        let refused: Vec<&str> = checked.problems.keys().map(String::as_str).collect();
        assert_eq!(refused, ["batch", "guard.window", "lr", "steps", "warmup"], "{:?}", checked.problems);
        assert_eq!((checked.config.seed, form.typed["lr"].as_str()), (1000, "fast"));
    }
}
