//! JSON values as input and output of templates, with ordered keys.

use super::jinja_error::Result;
use super::meter::Meter;
use super::print;
use super::value::Value;
use crate::formats::json;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::HashMap;
use std::fmt::{self, Formatter};

/// A JSON value. Mappings keep the order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// A mapping; a duplicate key has its last value.
    Map(Vec<(String, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.into())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(value) => Json::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Json::Int(value.into()),
                (_, Some(value)) => Json::Int(value.into()),
                _ => Json::Float(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => json::integer(text).map_or_else(|| text.as_str().into(), Json::Int),
            serde_json::Value::Array(items) => Json::List(items.iter().map(Json::from).collect()),
            serde_json::Value::Object(entries) => Json::Map(entries.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
        }
    }
}

impl fmt::Display for Json {
    /// Formats it as Python does.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let meter = Meter::new(1 << 20, 1 << 20);
        let text = self.value(&meter).and_then(|value| print::text(&value, &meter));
        f.write_str(text.as_deref().unwrap_or("…"))
    }
}

impl Json {
    /// The value of a key, if it is a mapping with that key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }

    /// The name of its type, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Int(_) | Json::Float(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Map(_) => "an object",
        }
    }

    /// Its approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        64 + match self {
            Json::Text(text) => text.len(),
            Json::List(items) => items.iter().map(Json::size).sum(),
            Json::Map(entries) => entries.iter().map(|(key, value)| 128 + key.len() + value.size()).sum(),
            _ => 0,
        }
    }

    pub(super) fn value(&self, meter: &Meter) -> Result<Value> {
        Ok(match self {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Int(value) => Value::Int(*value),
            Json::Float(value) => Value::Float(*value),
            Json::Text(text) => text.as_str().into(),
            Json::List(items) => Value::list(items.iter().map(|item| item.value(meter)).collect::<Result<_>>()?, meter)?,
            Json::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.as_str().into(), value.value(meter)?)));
                Value::dict(entries.collect::<Result<Vec<_>>>()?, meter)?
            }
        })
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("a value of JSON")
    }

    fn visit_unit<E: de::Error>(self) -> std::result::Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> std::result::Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Json, E> {
        Ok(match json::special_number(text) {
            None => json::integer(text).map_or_else(|| Json::Text(text.into()), Json::Int),
            Some("NaN") => Json::Float(f64::NAN),
            Some(name) => Json::Float(if name.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        let mut positions = HashMap::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            match positions.get(&key) {
                Some(&position) => entries[position as usize].1 = value,
                None => {
                    positions.insert(key.clone(), entries.len() as u32);
                    entries.push((key, value));
                }
            }
        }
        Ok(Json::Map(entries))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_i128(*value),
            },
            Json::Float(value) => serializer.serialize_f64(*value),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
