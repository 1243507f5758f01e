//! The settings of a run, one row each in [`SETTINGS`]: name, type, range, position in the form, help, option, whether it can
//! change during training, and its value in runs older than the setting. `run.toml`, range checks, the command line, the form
//! of the app, and docs/settings.md are generated from the rows. Pure.
//!
//! A new setting needs a row in `table.rs`, a field in [`TrainConfig`] with its default, and code that uses it.

mod setting_error;
mod setting_value;
mod settings_table;
#[cfg(test)]
pub(super) mod tests;

use super::train_config::TrainConfig;
pub use setting_error::SettingError;
pub(super) use setting_error::{between, refuse};
pub use setting_value::{NONE, SettingValue};
pub use settings_table::SETTINGS;
use std::sync::LazyLock;

/// Named values with their descriptions.
pub type Words = &'static [(&'static str, &'static str)];

/// The type of a setting, with the range of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingKind {
    /// A boolean.
    Flag,
    /// An integer between two bounds, inclusive.
    Whole(u64, u64),
    /// A real number between two bounds, inclusive.
    Real(f64, f64),
    /// A power of two between 2^-n and 2^n.
    PowerOfTwo(u8),
    /// Any text.
    Text,
    /// One of several named values.
    Choice(Words),
    /// One of several named values, or a path.
    Named(Words, PathKind),
    /// An optional path, with the description of none.
    Path(Words, PathKind),
    /// A list of paths.
    Paths,
}

/// Kind of a path in a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A file or a folder.
    FileOrFolder,
}

/// A group of settings: a section of the form and of docs/settings.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingGroup {
    /// The student.
    Model,
    /// Teacher, text and loss.
    Teacher,
    /// Steps and learning rate.
    Schedule,
    /// Tokens per step.
    Batch,
    /// AdamW and seeds.
    Optimizer,
    /// Memory and precision.
    Memory,
    /// Evaluation, samples, checkpoints.
    Evaluation,
    /// The guard against loss and gradient spikes.
    Guard,
    /// Initial weights, teacher cache, and reading of text.
    Start,
}

impl SettingGroup {
    /// All groups, in the order of the form.
    pub const ALL: [Self; 9] =
        [Self::Model, Self::Teacher, Self::Schedule, Self::Batch, Self::Optimizer, Self::Memory, Self::Evaluation, Self::Guard, Self::Start];

    /// Returns its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Teacher => "Teacher and loss",
            Self::Schedule => "Schedule",
            Self::Batch => "Batch",
            Self::Optimizer => "Optimizer",
            Self::Memory => "Memory and precision",
            Self::Evaluation => "Evaluation, samples, checkpoints",
            Self::Guard => "Guard against spikes",
            Self::Start => "Start and teacher cache",
        }
    }

    /// Returns true if the form collapses it by default.
    pub fn is_advanced(self) -> bool {
        self >= Self::Optimizer
    }

    /// Returns its settings, in the order of the form.
    pub fn settings(self) -> impl Iterator<Item = &'static Setting> {
        let mut rows: Vec<&Setting> = SETTINGS.iter().filter(|setting| setting.group == self).collect();
        rows.sort_by_key(|setting| setting.position);
        rows.into_iter()
    }
}

/// A setting.
pub struct Setting {
    /// Its name in TOML, with `guard.` before those of the guard.
    pub name: &'static str,
    /// Its type and range.
    pub kind: SettingKind,
    /// Its group.
    pub group: SettingGroup,
    /// Its position in the group, from 1.
    pub position: u8,
    /// Its label in the form.
    pub label: &'static str,
    /// Its help text in the form and in docs/settings.md, one line.
    pub help: &'static str,
    /// The help text of its option, one line.
    pub option_help: &'static str,
    /// The placeholder of its value in `--help`; its name in capitals if none.
    pub value_name: Option<&'static str>,
    /// True if it can change during training.
    pub live: bool,
    /// Its value, as text, in runs older than the setting, whose `run.toml` lacks it. None if every `run.toml` has it.
    pub before: Option<&'static str>,
    /// The name of its option, if it differs from its name with dashes.
    long: Option<&'static str>,
    /// True if its option sets the opposite value.
    pub inverted: bool,
    get: fn(&TrainConfig) -> SettingValue,
    set: fn(&mut TrainConfig, SettingValue) -> Result<(), String>,
}

/// Returns the setting with a name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// Returns its value in `config`.
    pub fn get(&self, config: &TrainConfig) -> SettingValue {
        (self.get)(config)
    }

    /// Returns its default value.
    pub fn default(&self) -> SettingValue {
        static DEFAULTS: LazyLock<TrainConfig> = LazyLock::new(TrainConfig::default);
        self.get(&DEFAULTS)
    }

    /// Sets its value in `config`; an error for a value of another type. [`TrainConfig::check`] checks ranges.
    pub fn set(&self, config: &mut TrainConfig, value: SettingValue) -> Result<(), String> {
        (self.set)(config, value)
    }

    /// Returns the name of its option, without leading dashes.
    pub fn option(&self) -> String {
        self.long.map_or_else(|| self.name.replace(['.', '_'], "-"), String::from)
    }

    /// Parses a value entered as text.
    pub fn parse(&self, typed: &str) -> Result<SettingValue, String> {
        let number = typed.trim().replace('_', "");
        Ok(match self.kind {
            SettingKind::Flag => SettingValue::Flag(typed.parse().map_err(|_| format!("{typed:?} is neither true nor false"))?),
            SettingKind::Whole(..) => {
                let whole = number.parse::<u64>().ok().or_else(|| {
                    let value = number.parse::<f64>().ok()?;
                    (value >= 0.0 && value.fract() == 0.0 && value <= 2f64.powi(53)).then_some(value as u64)
                });
                SettingValue::Whole(whole.ok_or_else(|| format!("{typed:?} is not a whole number; write 1000 or 1e3"))?)
            }
            SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => {
                let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
                SettingValue::Real(value.ok_or_else(|| format!("{typed:?} is not a number; write 0.0002 or 2e-4"))?)
            }
            SettingKind::Choice(choices) if !choices.iter().any(|(name, _)| *name == typed) => {
                return Err(format!("{typed:?} is not one of {}", choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")));
            }
            SettingKind::Choice(_) | SettingKind::Text | SettingKind::Named(..) => SettingValue::Text(typed.into()),
            SettingKind::Path(..) => SettingValue::Path((typed != NONE).then(|| typed.into())),
            SettingKind::Paths => SettingValue::Paths(typed.split_whitespace().map(Into::into).collect()),
        })
    }

    /// Converts a JSON value; none if it has another type.
    pub(super) fn read_json(&self, value: &serde_json::Value) -> Option<SettingValue> {
        Some(match self.kind {
            SettingKind::Flag => SettingValue::Flag(value.as_bool()?),
            SettingKind::Whole(..) => SettingValue::Whole(value.as_u64()?),
            SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => SettingValue::Real(value.as_f64()?),
            SettingKind::Text | SettingKind::Choice(_) | SettingKind::Named(..) => SettingValue::Text(value.as_str()?.into()),
            SettingKind::Path(..) => SettingValue::Path(Some(value.as_str()?.into())),
            SettingKind::Paths => SettingValue::Paths(value.as_array()?.iter().map(|path| path.as_str().map(Into::into)).collect::<Option<_>>()?),
        })
    }

    /// Returns an error if its value in `config` is out of range.
    pub(super) fn check(&self, config: &TrainConfig) -> Result<(), SettingError> {
        match (self.kind, self.get(config)) {
            (SettingKind::Whole(min, max), SettingValue::Whole(value)) => between(self.name, value, min, max),
            (SettingKind::Real(min, max), SettingValue::Real(value)) => between(self.name, value, min, max),
            (SettingKind::PowerOfTwo(max), SettingValue::Real(value)) => {
                let exponent = value.log2();
                let is_one = value.is_normal() && exponent.fract() == 0.0 && exponent.abs() <= f64::from(max);
                if is_one { Ok(()) } else { refuse(self.name, format!("must be a power of two between 2^-{max} and 2^{max}, not {}", value as f32)) }
            }
            _ => Ok(()),
        }
    }
}
