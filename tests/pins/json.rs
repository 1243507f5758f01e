//! The names in JSON: every path to a value, with the kinds of values that were seen there.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// Paths, each with its kinds of values.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, BTreeSet<&'static str>>);

impl Names {
    /// The names in lines of JSON, or in one document.
    pub(super) fn of(text: &str) -> Self {
        let mut names = Self::default();
        names.add("", text);
        names
    }

    /// Adds the names in what `command` printed.
    pub(super) fn lines(&mut self, command: &str, text: &str) {
        let before = self.0.len();
        self.add(&format!("{command}: "), text);
        assert!(self.0.len() > before, "{command} prints no JSON: {text}");
    }

    fn add(&mut self, start: &str, text: &str) {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for value in values {
            let value = value.unwrap_or_else(|error| panic!("{start}{error}: {text}"));
            // An event is known by its tags.
            let tags = ["event", "train"].map(|tag| value.get(tag).and_then(Value::as_str));
            let event: String = tags.into_iter().flatten().map(|tag| format!("{tag} ")).collect();
            self.walk(&format!("{start}{event}"), &value);
        }
    }

    fn walk(&mut self, path: &str, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(values) => {
                values.iter().for_each(|value| self.walk(&format!("{path}[]"), value));
                "array"
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| self.walk(&format!("{path}.{name}"), value));
                "object"
            }
        };
        self.0.entry(any_layer(path)).or_default().insert(kind);
    }
}

/// A name with `N` in the place of a layer's number.
fn any_layer(name: &str) -> String {
    let mut parts = name.split("layers.");
    let mut all = parts.next().unwrap_or_default().to_string();
    for part in parts {
        all += "layers.";
        all += &part.find('.').map_or(part.into(), |end| format!("N{}", &part[end..]));
    }
    all
}

impl Display for Names {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, kinds)| writeln!(f, "{path} {}", kinds.iter().copied().collect::<Vec<_>>().join("|")))
    }
}

/// A safetensors file's metadata and tensors: names, types and shapes.
pub(super) fn tensors(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let tensor = |(name, value): (&String, &Value)| match name.as_str() {
        "__metadata__" => value.as_object().unwrap().keys().map(|key| format!("metadata {key}\n")).collect(),
        _ => format!("{} {} {}\n", any_layer(name), value["dtype"].as_str().unwrap(), value["shape"]),
    };
    header.as_object().unwrap().iter().map(tensor).collect::<BTreeSet<String>>().into_iter().collect()
}
