//! Python's `str` and `repr` of values.

use super::jinja_error::Result;
use super::lexer::escaped;
use super::meter::Meter;
use super::number::float_repr;
use super::object::{LoopObject, Object};
use super::unicode::is_printable;
use super::value::{AnyObject, Dict, DictView, Items, Text, Value};
use std::sync::Arc;

/// Returns a value's `str`.
pub(super) fn text(value: &Value, meter: &Meter) -> Result<Arc<str>> {
    match value {
        Value::Str(text) => Ok(text.text.clone()),
        Value::Undefined(_) => Ok("".into()),
        other => Ok(repr(other, meter)?.into()),
    }
}

/// Appends a value's `str`.
pub(super) fn write(value: &Value, out: &mut String, meter: &Meter) -> Result<()> {
    match value {
        Value::Str(text) => {
            meter.memory(text.text.len())?;
            out.push_str(&text.text);
            Ok(())
        }
        Value::Undefined(_) => Ok(()),
        other => write_repr(other, out, meter),
    }
}

/// Returns a value's `repr`.
pub(super) fn repr(value: &Value, meter: &Meter) -> Result<String> {
    let mut out = String::new();
    write_repr(value, &mut out, meter)?;
    Ok(out)
}

fn write_repr(value: &Value, out: &mut String, meter: &Meter) -> Result<()> {
    let before = out.len();
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float_repr(*value)),
        Value::Str(Text { text, safe: true }) => out.push_str(&format!("Markup({})", string_repr(text))),
        Value::Str(text) => out.push_str(&string_repr(&text.text)),
        Value::Bytes(bytes) => out.push_str(&bytes_repr(bytes)),
        Value::List(items) => write_items(items, ["[", "]"], out, meter)?,
        Value::Tuple(items) => write_items(items, ["(", if items.items.len() == 1 { ",)" } else { ")" }], out, meter)?,
        Value::Dict(dict) => write_dict(dict, out, meter)?,
        Value::View(dict, view) => write_view(dict, *view, out, meter)?,
        Value::Range(range) if range.step == 1 => out.push_str(&format!("range({}, {})", range.start, range.stop)),
        Value::Range(range) => out.push_str(&format!("range({}, {}, {})", range.start, range.stop, range.step)),
        Value::Object(_) => value.as_object().map_or(Ok(()), |object| write_object(object, out, meter))?,
    }
    meter.memory(out.len() - before)
}

fn write_items(items: &Items, [open, close]: [&str; 2], out: &mut String, meter: &Meter) -> Result<()> {
    out.push_str(open);
    meter.deeper(|| {
        for (n, item) in items.items.iter().enumerate() {
            out.push_str(if n > 0 { ", " } else { "" });
            write_repr(item, out, meter)?;
        }
        Ok(())
    })?;
    out.push_str(close);
    Ok(())
}

fn write_dict(dict: &Dict, out: &mut String, meter: &Meter) -> Result<()> {
    out.push('{');
    meter.deeper(|| {
        for (n, (key, value)) in dict.entries.iter().enumerate() {
            out.push_str(if n > 0 { ", " } else { "" });
            write_repr(key, out, meter)?;
            out.push_str(": ");
            write_repr(value, out, meter)?;
        }
        Ok(())
    })?;
    out.push('}');
    Ok(())
}

fn write_view(dict: &Dict, view: DictView, out: &mut String, meter: &Meter) -> Result<()> {
    out.push_str(match view {
        DictView::Keys => "dict_keys([",
        DictView::Values => "dict_values([",
        DictView::Items => "dict_items([",
    });
    meter.deeper(|| {
        for (n, (key, value)) in dict.entries.iter().enumerate() {
            out.push_str(if n > 0 { ", " } else { "" });
            match view {
                DictView::Keys => write_repr(key, out, meter)?,
                DictView::Values => write_repr(value, out, meter)?,
                DictView::Items => {
                    out.push('(');
                    write_repr(key, out, meter)?;
                    out.push_str(", ");
                    write_repr(value, out, meter)?;
                    out.push(')');
                }
            }
        }
        Ok(())
    })?;
    out.push_str("])");
    Ok(())
}

/// Writes an object, without the address that Python writes.
fn write_object(object: &Object, out: &mut String, meter: &Meter) -> Result<()> {
    match object {
        Object::Namespace(attributes) => {
            let pairs = attributes.borrow().clone();
            out.push_str("<Namespace {");
            meter.deeper(|| {
                for (n, (name, value)) in pairs.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    out.push_str(&string_repr(name));
                    out.push_str(": ");
                    write_repr(value, out, meter)?;
                }
                Ok(())
            })?;
            out.push_str("}>");
        }
        Object::Macro(object) if object.definition.name.is_empty() => out.push_str("<Macro anonymous>"),
        Object::Macro(object) => out.push_str(&format!("<Macro {}>", string_repr(&object.definition.name))),
        Object::Loop(state) => out.push_str(&format!("<LoopContext {}/{}>", state.index.get() + 1, loop_length(state))),
        Object::Function(name) => out.push_str(&format!("<function {name}>")),
        Object::Template(_) => out.push_str("<TemplateReference None>"),
        Object::Method(value, name) => out.push_str(&format!("<built-in method {name} of {} object>", value.type_name())),
        other => out.push_str(&format!("<{} object>", other.type_name())),
    }
    Ok(())
}

/// The length of a loop without a test.
fn loop_length(state: &LoopObject) -> usize {
    state.length.get().unwrap_or_else(|| state.index.get() + 1 + state.ready.borrow().len() + state.source.borrow().len())
}

/// A quoted string.
pub(super) fn string_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&escaped(c)),
        }
    }
    out.push(quote);
    out
}

/// A quoted string in ASCII.
pub(super) fn ascii_repr(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect()
}

fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for &byte in bytes {
        match char::from(byte) {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c @ ' '..='~' => out.push(c),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote);
    out
}
