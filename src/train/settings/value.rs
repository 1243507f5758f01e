//! The value of a setting as faces give and show it, and the fields of [`TrainConfig`](super::TrainConfig) that hold one. Pure.

use super::super::config::{Init, Loss, Precision, Recomputation, Source};
use crate::model::{MatrixStorage, Moments};
use crate::ops::Divergence;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::path::PathBuf;

/// The word for no path.
pub const NONE: &str = "none";

/// A value of any setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(u64),
    /// A number.
    Real(f64),
    /// A text, or one of some words.
    Text(String),
    /// A path, or none.
    Path(Option<PathBuf>),
    /// Any number of paths.
    Paths(Vec<PathBuf>),
}

impl SettingValue {
    /// The value as TOML has it; none for no path, which has no line.
    pub(in crate::train) fn in_toml(&self) -> Option<toml::Value> {
        let text = |path: &PathBuf| toml::Value::String(path.display().to_string());
        Some(match self {
            Self::Flag(value) => toml::Value::Boolean(*value),
            // Larger ones are refused by their ranges.
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
    /// Writes it as it is typed.
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

/// A number as briefly as it can be typed.
fn short(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if plain.len() > scientific.len() + 1 { scientific } else { plain }
}

/// A field that holds a setting.
pub(super) trait Field {
    /// Returns its value.
    fn get(&self) -> SettingValue;
    /// Replaces its value; an error says why it cannot hold this one.
    fn set(&mut self, value: SettingValue) -> Result<(), String>;
}

/// Fields of one kind: `$value` of `SettingValue::$kind` as the field's type, and back.
macro_rules! fields {
    ($($kind:ident $type:ty: $value:ident => $to:expr, $field:ident => $from:expr;)*) => { $(
        impl Field for $type {
            fn get(&self) -> SettingValue {
                let $field = self;
                SettingValue::$kind($from)
            }

            fn set(&mut self, value: SettingValue) -> Result<(), String> {
                match value {
                    SettingValue::$kind($value) => *self = $to,
                    other => return Err(format!("{other} is of another type")),
                }
                Ok(())
            }
        }
    )* };
}

fields! {
    Flag bool: value => value, field => *field;
    Whole u64: value => value, field => *field;
    // A page has fewer bits.
    Whole usize: value => usize::try_from(value).map_err(|_| format!("{value} is more than fits into {} bits", usize::BITS))?, field => *field as u64;
    Real f64: value => value, field => *field;
    Real f32: value => value as f32, field => f64::from(*field);
    Text String: text => text, field => field.clone();
    Text Source: text => text.into(), field => field.clone().into();
    Text Init: text => text.into(), field => field.clone().into();
    Path Option<PathBuf>: path => path, field => field.clone();
    Paths Vec<PathBuf>: paths => paths, field => field.clone();
    Text Loss: text => word(&text)?, field => word_of(field);
    Text Divergence: text => word(&text)?, field => word_of(field);
    Text Recomputation: text => word(&text)?, field => word_of(field);
    Text Moments: text => word(&text)?, field => word_of(field);
    Text MatrixStorage: text => word(&text)?, field => word_of(field);
    Text Precision: text => word(&text)?, field => word_of(field);
}

/// One of a type's words, as TOML has them; an error lists them.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    let text: StrDeserializer<'a, Error> = text.into_deserializer();
    T::deserialize(text).map_err(|error| error.to_string())
}

fn word_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a choice is one word, not {other:?}"),
    }
}
