//! Converts values to JSON.

use super::jinja_error::Result;
use super::json_value::Json;
use super::print;
use super::runtime::Runtime;
use super::value::Value;

/// Converts a value to JSON.
pub(super) fn json(value: &Value, runtime: &mut dyn Runtime) -> Result<Json> {
    runtime.meter().enter()?;
    runtime.meter().memory(64)?;
    let made = match value {
        Value::Undefined(_) => return Err(value.undefined_error()),
        Value::None => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Int(*value),
        Value::Float(value) => Json::Float(*value),
        Value::Str(text) => {
            runtime.meter().memory(text.text.len())?;
            Json::Text(text.text.to_string())
        }
        Value::Dict(dict) => {
            let mut entries = Vec::new();
            for (key, value) in &dict.entries {
                entries.push((print::text(key, runtime.meter())?.to_string(), json(value, runtime)?));
            }
            Json::Map(entries)
        }
        other => {
            let items = runtime.iterate(other)?;
            Json::List(items.iter().map(|item| json(item, runtime)).collect::<Result<_>>()?)
        }
    };
    runtime.meter().leave();
    Ok(made)
}
