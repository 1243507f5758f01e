//! Chat templates of a model, and the special tokens that they refer to by name.

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
    /// The name of the template for a conversation with tools.
    pub const TOOLS: &str = "tool_use";

    /// Makes templates by name; a single one called `default` becomes [`Templates::One`]. `None` if there are none.
    pub fn named(mut named: BTreeMap<String, String>) -> Option<Self> {
        match named.len() {
            0 => None,
            1 if named.contains_key(Self::DEFAULT) => named.remove(Self::DEFAULT).map(Self::One),
            _ => Some(Self::Named(named)),
        }
    }

    /// Parses `chat_template` of a `tokenizer_config.json`: a string, a list of objects with `name` and `template`, or an
    /// object that maps names to templates.
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

    /// The template for conversations without tools.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::One(template) => Some(template),
            Self::Named(named) => named.get(Self::DEFAULT).map(String::as_str),
        }
    }
}

/// The chat format that a model's files declare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFormat {
    /// Jinja templates over `messages`, as in Hugging Face models.
    pub template: Option<Templates>,
    /// Texts of special tokens by their names, such as `eos_token`.
    pub special_tokens: BTreeMap<String, String>,
}

impl ChatFormat {
    /// Makes a format with a single template, for tests and fuzz targets.
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
    fn parses_every_form_of_chat_template() {
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
