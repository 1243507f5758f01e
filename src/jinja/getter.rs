//! The argument `attribute` of filters: a path that is looked up in each item.

use super::attributes;
use super::jinja_error::Result;
use super::runtime::Runtime;
use super::value::{Text, Value};

/// The path of an `attribute` argument.
pub(super) struct Getter {
    path: Vec<Value>,
    /// True to lowercase strings for comparison.
    lower: bool,
    default: Option<Value>,
}

impl Getter {
    pub(super) fn new(attribute: Option<Value>, lower: bool, default: Option<Value>) -> Result<Self> {
        let path = match attribute {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Str(text)) => parts(&text.text),
            Some(other) => vec![other],
        };
        fn parts(path: &str) -> Vec<Value> {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            path.split('.').map(|part| part.parse::<i128>().ok().filter(|_| digits(part)).map_or_else(|| part.into(), Value::Int)).collect()
        }
        Ok(Self { path, lower, default: default.filter(|default| !matches!(default, Value::None)) })
    }

    /// Looks the path up in an item.
    pub(super) fn get(&self, item: &Value, runtime: &mut dyn Runtime) -> Result<Value> {
        let mut value = item.clone();
        for part in &self.path {
            value = attributes::item(&value, part, runtime)?;
            if let (true, Some(default)) = (value.is_undefined(), &self.default) {
                value = default.clone();
            }
        }
        match value {
            Value::Str(Text { text, safe }) if self.lower => {
                runtime.meter().memory(text.len())?;
                Ok(Value::text(text.to_lowercase(), safe))
            }
            other => Ok(other),
        }
    }
}
