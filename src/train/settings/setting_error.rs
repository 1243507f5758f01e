//! The error of an invalid setting. Pure.

/// An error of a setting: an invalid value, or a conflict with other settings or inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {name}: {problem}")]
pub struct SettingError {
    /// Name of the setting in TOML, with `guard.` before those of the guard.
    pub name: &'static str,
    /// The problem, and the values that are allowed.
    pub problem: String,
}

/// Returns the error of a setting.
pub(in crate::train) fn refuse(name: &'static str, problem: String) -> Result<(), SettingError> {
    Err(SettingError { name, problem })
}

/// Returns an error unless `min <= value <= max`.
pub(in crate::train) fn between<T: PartialOrd + std::fmt::Debug>(name: &'static str, value: T, min: T, max: T) -> Result<(), SettingError> {
    // False for NaN.
    if value >= min && value <= max { Ok(()) } else { refuse(name, format!("must be between {} and {}, not {}", plain(min), plain(max), plain(value))) }
}

/// Formats a number, without `.0` for integers.
fn plain(number: impl std::fmt::Debug) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map_or(text.clone(), String::from)
}
