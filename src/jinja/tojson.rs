//! JSON output, as Python's `json.dumps` formats it.

use super::arguments::{Arguments, expect_text, is_true};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::number::float_repr;
use super::operators::less;
use super::runtime::Runtime;
use super::value::{Dict, Value};

/// The format of JSON output.
struct JsonLayout {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sorted: bool,
}

/// The filter `tojson`: transformers' version, or jinja2's own for HTML.
pub(super) fn filter(value: &Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let mut out = String::new();
    if !runtime.options().chat {
        let [indent] = arguments.bind("tojson", ["indent"], 0)?;
        let layout = JsonLayout { ascii: true, indent: indentation(indent)?, item: ", ".into(), key: ": ".into(), sorted: true };
        layout.write(value, 0, &mut out, runtime.meter())?;
        let out = out.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
        return Ok(Value::text(out, true));
    }
    let [ascii, indent, separators, sorted] = arguments.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
    let indent = indentation(indent)?;
    let [item, key] = match separators {
        None | Some(Value::None) => [if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()],
        Some(pair) => {
            let pair = <[Value; 2]>::try_from(runtime.iterate(&pair)?).map_err(|_| JinjaError::new("tojson expects two separators: of items and of keys"))?;
            let [item, key] = pair.map(|separator| expect_text(Some(separator), "tojson").map(|text| text.text.to_string()));
            [item?, key?]
        }
    };
    JsonLayout { ascii: is_true(ascii), indent, item, key, sorted: is_true(sorted) }.write(value, 0, &mut out, runtime.meter())?;
    Ok(out.into())
}

fn indentation(indent: Option<Value>) -> Result<Option<String>> {
    match indent {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text.text.to_string())),
        Some(other) => {
            let width = other.as_int().ok_or_else(|| JinjaError::new("an indentation must be a number or a text"))?;
            let width = usize::try_from(width.max(0)).ok().filter(|&width| width <= 1024).ok_or_else(|| JinjaError::new("the indentation is too wide"))?;
            Ok(Some(" ".repeat(width)))
        }
    }
}

impl JsonLayout {
    fn line(&self, level: usize, out: &mut String, meter: &Meter) -> Result<()> {
        if let Some(indent) = &self.indent {
            meter.memory(1 + level * indent.len())?;
            out.push('\n');
            out.push_str(&indent.repeat(level));
        }
        Ok(())
    }

    fn write(&self, value: &Value, level: usize, out: &mut String, meter: &Meter) -> Result<()> {
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Float(value) => out.push_str(&number(*value)),
            Value::Str(text) => self.string(&text.text, out, meter)?,
            Value::List(items) | Value::Tuple(items) => {
                let items = &items.items;
                out.push('[');
                meter.deeper(|| {
                    for (n, item) in items.iter().enumerate() {
                        out.push_str(if n > 0 { &self.item } else { "" });
                        self.line(level + 1, out, meter)?;
                        self.write(item, level + 1, out, meter)?;
                        meter.memory(self.item.len())?;
                    }
                    if items.is_empty() { Ok(()) } else { self.line(level, out, meter) }
                })?;
                out.push(']');
            }
            Value::Dict(dict) => self.dict(dict, level, out, meter)?,
            other => return Err(JinjaError::new(format!("a '{}' cannot be written as JSON", other.type_name()))),
        }
        meter.memory(8)
    }

    fn dict(&self, dict: &Dict, level: usize, out: &mut String, meter: &Meter) -> Result<()> {
        let mut entries: Vec<&(Value, Value)> = dict.entries.iter().collect();
        if self.sorted {
            entries = sorted(entries, meter)?;
        }
        out.push('{');
        meter.deeper(|| {
            for (n, (key, value)) in entries.iter().enumerate() {
                out.push_str(if n > 0 { &self.item } else { "" });
                self.line(level + 1, out, meter)?;
                match key {
                    Value::Str(text) => self.string(&text.text, out, meter)?,
                    Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                        out.push('"');
                        self.write(key, level, out, meter)?;
                        out.push('"');
                    }
                    other => return Err(JinjaError::new(format!("a '{}' cannot be a key of JSON", other.type_name()))),
                }
                out.push_str(&self.key);
                self.write(value, level + 1, out, meter)?;
                meter.memory(self.item.len() + self.key.len())?;
            }
            if entries.is_empty() { Ok(()) } else { self.line(level, out, meter) }
        })?;
        out.push('}');
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String, meter: &Meter) -> Result<()> {
        meter.memory(2 + text.len())?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                c if c < ' ' || self.ascii && !(' '..='~').contains(&c) => {
                    meter.memory(12)?;
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

fn number(value: f64) -> String {
    match float_repr(value).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.into(),
    }
}

/// Sorts entries by key.
fn sorted<'a>(mut entries: Vec<&'a (Value, Value)>, meter: &Meter) -> Result<Vec<&'a (Value, Value)>> {
    let mut ordered: Vec<&(Value, Value)> = Vec::with_capacity(entries.len());
    for entry in entries.drain(..) {
        let (mut low, mut high) = (0, ordered.len());
        while low < high {
            let middle = (low + high) / 2;
            if less(&entry.0, &ordered[middle].0, meter)? { high = middle } else { low = middle + 1 }
        }
        meter.steps(1 + (ordered.len() - low) / 64)?;
        ordered.insert(low, entry);
    }
    Ok(ordered)
}
