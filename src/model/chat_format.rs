//! How a model wants conversations written: its chat templates, and the special tokens that they call by name.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The chat templates of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Templates {
    /// A single template.
    One(String),
    /// Templates by name.
    Named(BTreeMap<String, String>),
}

impl Templates {
    /// The name of the template for a conversation.
    pub const DEFAULT: &str = "default";
    /// The name of the template for a conversation with tools, where it is another.
    pub const TOOLS: &str = "tool_use";

    /// Templates by name; a default one alone is a single template. `None` if there are none.
    pub fn named(mut named: BTreeMap<String, String>) -> Option<Self> {
        match named.len() {
            0 => None,
            1 if named.contains_key(Self::DEFAULT) => named.remove(Self::DEFAULT).map(Self::One),
            _ => Some(Self::Named(named)),
        }
    }

    /// Reads a `chat_template` of a `tokenizer_config.json`: a text, a list of objects with `name` and `template`, or an
    /// object with a template for each name.
    pub fn from_json(json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_string);
        match json {
            Value::String(template) => Some(Self::One(template.clone())),
            Value::Array(list) => Self::named(list.iter().filter_map(|entry| Some((text(&entry["name"])?, text(&entry["template"])?))).collect()),
            Value::Object(fields) => Self::named(fields.iter().filter_map(|(name, template)| Some((name.clone(), text(template)?))).collect()),
            _ => None,
        }
    }

    /// The `chat_template` of a `tokenizer_config.json`, as transformers writes it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::One(template) => template.as_str().into(),
            Self::Named(named) => named.iter().map(|(name, template)| json!({ "name": name, "template": template })).collect(),
        }
    }

    /// The template of conversations without tools, if there is one.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::One(template) => Some(template),
            Self::Named(named) => named.get(Self::DEFAULT).map(String::as_str),
        }
    }
}

/// How a model wants conversations written, as its files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFormat {
    /// Jinja templates over `messages`, as Hugging Face has them.
    pub template: Option<Templates>,
    /// Texts of special tokens by their names, such as `eos_token`.
    pub special_tokens: BTreeMap<String, String>,
}

impl ChatFormat {
    /// A format of a single template, with these special tokens. For tests and fuzz targets: files are read into the fields.
    pub fn new(template: &str, special_tokens: &[(&str, &str)]) -> Self {
        let special_tokens = special_tokens.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        Self { template: Some(Templates::One(template.into())), special_tokens }
    }

    /// The text of a special token by its name.
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special_tokens.get(name).map(String::as_str)
    }

    /// The text of the token that begins a document.
    pub fn bos_token(&self) -> Option<&str> {
        self.special_token("bos_token")
    }

    /// The text of the token that ends a document.
    pub fn eos_token(&self) -> Option<&str> {
        self.special_token("eos_token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_in_every_form() {
        let named = |names: &[(&str, &str)]| Some(Templates::Named(names.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()));
        for (json, templates) in [
            (json!("x"), Some(Templates::One("x".into()))),
            (json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]), named(&[("default", "d"), ("tool_use", "t")])),
            (json!([{"name": "default", "template": "c"}, {"name": "default", "template": "d"}]), Some(Templates::One("d".into()))),
            (json!({"rag": "r"}), named(&[("rag", "r")])),
            (json!({"default": "d", "rag": "r"}), named(&[("default", "d"), ("rag", "r")])),
            (json!([]), None),
            (json!(null), None),
        ] {
            let read = Templates::from_json(&json);
            assert_eq!(read, templates, "{json}");
            assert_eq!(read.as_ref().and_then(|read| Templates::from_json(&read.to_json())), templates, "{json}");
        }
        assert_eq!(Templates::from_json(&json!({"rag": "r"})).unwrap().plain(), None);
    }
}
