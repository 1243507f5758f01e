//! Refusals of settings, by name. Pure.

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {name}: {problem}")]
pub struct SettingError {
    /// Its name; those of the guard begin with `guard.`.
    pub name: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// The refusal of a setting.
pub(in crate::train) fn refuse(name: &'static str, problem: String) -> Result<(), SettingError> {
    Err(SettingError { name, problem })
}

/// Refuses a value that is not in a range.
pub(in crate::train) fn between<T: PartialOrd + std::fmt::Debug>(name: &'static str, value: T, least: T, most: T) -> Result<(), SettingError> {
    // A NaN is in no range.
    if value >= least && value <= most { Ok(()) } else { refuse(name, format!("{value:?} is not between {least:?} and {most:?}")) }
}
