//! Values of settings, and their conversion from and to fields of [`TrainConfig`](super::TrainConfig). Pure.

use super::super::train_config::{Init, Loss, ModelSource, Precision, Recomputation};
use crate::model::{MatrixStorage, Moments};
use crate::ops::Divergence;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::path::PathBuf;

/// The text for no path.
pub const NONE: &str = "none";

/// A value of any setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A boolean.
    Flag(bool),
    /// An integer.
    Whole(u64),
    /// A real number.
    Real(f64),
    /// A text, or a named value.
    Text(String),
    /// An optional path.
    Path(Option<PathBuf>),
    /// A list of paths.
    Paths(Vec<PathBuf>),
}

impl SettingValue {
    /// Converts the value to TOML; none for no path, which has no line.
    pub(in crate::train) fn in_toml(&self) -> Option<toml::Value> {
        let text = |path: &PathBuf| toml::Value::String(path.display().to_string());
        Some(match self {
            Self::Flag(value) => toml::Value::Boolean(*value),
            // Larger values are out of range.
            Self::Whole(value) => toml::Value::Integer(i64::try_from(*value).unwrap_or(i64::MAX)),
            Self::Real(value) => toml::Value::Float(*value),
            Self::Text(value) => toml::Value::String(value.clone()),
            Self::Path(path) => text(path.as_ref()?),
            Self::Paths(paths) => toml::Value::Array(paths.iter().map(text).collect()),
        })
    }
}

impl From<f64> for SettingValue {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<String> for SettingValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Display for SettingValue {
    /// Formats the value as [`Setting::parse`](super::Setting::parse) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => f.write_str(&short(*value)),
            Self::Text(text) => f.write_str(text),
            Self::Path(None) => f.write_str(NONE),
            Self::Path(Some(path)) => path.display().fmt(f),
            Self::Paths(paths) => f.write_str(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")),
        }
    }
}

/// Formats a number in decimal or scientific notation, whichever is shorter.
fn short(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if plain.len() > scientific.len() + 1 { scientific } else { plain }
}

/// A field of a setting's type.
pub(super) trait SettingField {
    /// Returns its value.
    fn get(&self) -> SettingValue;
    /// Replaces its value; an error for a value of another type.
    fn set(&mut self, value: SettingValue) -> Result<(), String>;
}

/// Implements [`SettingField`]: `$to` converts `$value` of `SettingValue::$kind` to the field's type, `$from` converts `$field` back.
macro_rules! fields {
    ($($kind:ident $type:ty: $value:ident => $to:expr, $field:ident => $from:expr;)*) => { $(
        impl SettingField for $type {
            fn get(&self) -> SettingValue {
                let $field = self;
                SettingValue::$kind($from)
            }

            fn set(&mut self, value: SettingValue) -> Result<(), String> {
                match value {
                    SettingValue::$kind($value) => *self = $to,
                    other => return Err(format!("{other} has the wrong type")),
                }
                Ok(())
            }
        }
    )* };
}

fields! {
    Flag bool: value => value, field => *field;
    Whole u64: value => value, field => *field;
    // usize has 32 bits in WebAssembly.
    Whole usize: value => usize::try_from(value).map_err(|_| format!("{value} does not fit in {} bits", usize::BITS))?, field => *field as u64;
    Real f64: value => value, field => *field;
    Real f32: value => value as f32, field => f64::from(*field);
    Text String: text => text, field => field.clone();
    Text ModelSource: text => text.into(), field => field.clone().into();
    Text Init: text => text.into(), field => field.clone().into();
    Path Option<PathBuf>: path => path, field => field.clone();
    Paths Vec<PathBuf>: paths => paths, field => field.clone();
    Text Loss: text => parse_name(&text)?, field => name_of(field);
    Text Divergence: text => parse_name(&text)?, field => name_of(field);
    Text Recomputation: text => parse_name(&text)?, field => name_of(field);
    Text Moments: text => parse_name(&text)?, field => name_of(field);
    Text MatrixStorage: text => parse_name(&text)?, field => name_of(field);
    Text Precision: text => parse_name(&text)?, field => name_of(field);
}

/// Parses a named value of an enum, as in TOML; an error lists the names.
fn parse_name<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    let text: StrDeserializer<'a, Error> = text.into_deserializer();
    T::deserialize(text).map_err(|error| error.to_string())
}

/// Returns the name of an enum's value, as in TOML.
fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("a choice is a name, not {other:?}"),
    }
}
