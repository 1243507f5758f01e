//! The settings of a run, one row each in [`SETTINGS`]: name, type, range, place in the form, help, option, whether a run can
//! change it while it trains, and its value in runs of before it existed. Every face is made from the rows: `run.toml`, the
//! checks of ranges, the command line, the form, and docs/settings.md. Pure.
//!
//! A new setting is a row in `table.rs`, a field in [`TrainConfig`] with its default, and the place that uses it.

mod error;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod value;

use super::config::TrainConfig;
pub use error::SettingError;
pub(super) use error::{between, refuse};
use std::sync::LazyLock;
pub use table::SETTINGS;
pub use value::{NONE, SettingValue};

/// Words with their meanings.
pub type Words = &'static [(&'static str, &'static str)];

/// The type of a setting, with the range of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingKind {
    /// Yes or no.
    Flag,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A number from the first to the second.
    Real(f64, f64),
    /// A power of two, with an exponent of at most so much either way.
    PowerOfTwo(u8),
    /// Any text.
    Text,
    /// One of some words.
    Choice(Words),
    /// One of some words, or a path.
    Named(Words, PathKind),
    /// A path, or none, with the meaning of none.
    Path(Words, PathKind),
    /// Any number of paths.
    Paths,
}

/// Things that a path of a setting may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// Either.
    FileOrFolder,
}

/// A part of the form, and a section of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingGroup {
    /// The student.
    Model,
    /// Teacher, text and loss.
    Teacher,
    /// Steps and learning rate.
    Schedule,
    /// Tokens in a step.
    Batch,
    /// AdamW and seeds.
    Optimizer,
    /// Memory and precision.
    Memory,
    /// Evaluation, samples, checkpoints.
    Evaluation,
    /// The guard against spikes.
    Guard,
    /// First weights, teacher cache, and how text is read.
    Start,
}

impl SettingGroup {
    /// Every group, in the order of the form.
    pub const ALL: [Self; 9] =
        [Self::Model, Self::Teacher, Self::Schedule, Self::Batch, Self::Optimizer, Self::Memory, Self::Evaluation, Self::Guard, Self::Start];

    /// Its title.
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

    /// Returns true if the form folds it away at first.
    pub fn is_advanced(self) -> bool {
        self >= Self::Optimizer
    }

    /// Its settings, in the order of the form.
    pub fn settings(self) -> impl Iterator<Item = &'static Setting> {
        let mut rows: Vec<&Setting> = SETTINGS.iter().filter(|setting| setting.group == self).collect();
        rows.sort_by_key(|setting| setting.place);
        rows.into_iter()
    }
}

/// A setting.
pub struct Setting {
    /// Its name in TOML; those of the guard begin with `guard.`.
    pub name: &'static str,
    /// Its type and range.
    pub kind: SettingKind,
    /// Its part of the form.
    pub group: SettingGroup,
    /// Its place in that part, from 1.
    pub place: u8,
    /// Its label in the form.
    pub label: &'static str,
    /// A line of help: in the form, in docs/settings.md, and of its option.
    pub help: &'static str,
    /// The help of its option, where that needs other words.
    pub option_help: &'static str,
    /// The placeholder of its value in the help of its option; none for its name.
    pub value_name: Option<&'static str>,
    /// True if a run can change it while it trains.
    pub live: bool,
    /// Its value, as it is typed, in runs that were begun before it existed: their `run.toml` lacks it. None if every
    /// `run.toml` has it.
    pub before: Option<&'static str>,
    /// The name of its option, if that is not its own with dashes.
    long: Option<&'static str>,
    /// True if its option sets the opposite.
    pub inverted: bool,
    get: fn(&TrainConfig) -> SettingValue,
    set: fn(&mut TrainConfig, SettingValue) -> Result<(), String>,
}

/// The setting of a name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// Returns its value in `config`.
    pub fn get(&self, config: &TrainConfig) -> SettingValue {
        (self.get)(config)
    }

    /// Its value by default.
    pub fn default(&self) -> SettingValue {
        static DEFAULTS: LazyLock<TrainConfig> = LazyLock::new(TrainConfig::default);
        self.get(&DEFAULTS)
    }

    /// Sets it in `config`; an error says why it cannot have this value. Ranges are the matter of [`TrainConfig::check`].
    pub fn set(&self, config: &mut TrainConfig, value: SettingValue) -> Result<(), String> {
        (self.set)(config, value)
    }

    /// The name of its option, without dashes in front.
    pub fn option(&self) -> String {
        self.long.map_or_else(|| self.name.replace(['.', '_'], "-"), String::from)
    }

    /// Parses a text that a person typed; an error says what is wrong with it.
    pub fn parse(&self, typed: &str) -> Result<SettingValue, String> {
        let number = typed.trim().replace('_', "");
        Ok(match self.kind {
            SettingKind::Flag => SettingValue::Flag(typed.parse().map_err(|_| format!("{typed:?} is neither true nor false"))?),
            SettingKind::Whole(..) => {
                let whole = number.parse::<u64>().ok().or_else(|| {
                    let value = number.parse::<f64>().ok()?;
                    (value >= 0.0 && value.fract() == 0.0 && value <= 2f64.powi(53)).then_some(value as u64)
                });
                SettingValue::Whole(whole.ok_or_else(|| format!("{typed:?} is no whole number from 0 on; write 1000 or 1e3"))?)
            }
            SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => {
                let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
                SettingValue::Real(value.ok_or_else(|| format!("{typed:?} is no number; write 0.0002 or 2e-4"))?)
            }
            SettingKind::Choice(choices) if !choices.iter().any(|(name, _)| *name == typed) => return Err(format!("{typed:?} is none of the choices")),
            SettingKind::Choice(_) | SettingKind::Text | SettingKind::Named(..) => SettingValue::Text(typed.into()),
            SettingKind::Path(..) => SettingValue::Path((typed != NONE).then(|| typed.into())),
            SettingKind::Paths => SettingValue::Paths(typed.split_whitespace().map(Into::into).collect()),
        })
    }

    /// The value that JSON has; none if it is of another type.
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

    /// Refuses a number that is out of its range.
    pub(super) fn check(&self, config: &TrainConfig) -> Result<(), SettingError> {
        match (self.kind, self.get(config)) {
            (SettingKind::Whole(least, most), SettingValue::Whole(value)) => between(self.name, value, least, most),
            (SettingKind::Real(least, most), SettingValue::Real(value)) => between(self.name, value, least, most),
            (SettingKind::PowerOfTwo(most), SettingValue::Real(value)) => {
                let exponent = value.log2();
                let is_one = value.is_normal() && exponent.fract() == 0.0 && exponent.abs() <= f64::from(most);
                if is_one { Ok(()) } else { refuse(self.name, format!("{} is not a power of two between 2^-{most} and 2^{most}", value as f32)) }
            }
            _ => Ok(()),
        }
    }
}
