//! Filters of strings.

use super::arguments::{Arguments, expect_int, expect_text, is_true};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::object::Object;
use super::operators;
use super::runtime::Runtime;
use super::str_methods;
use super::unicode::{is_space, is_word, split_lines};
use super::value::{DictView, Text, Value};
use super::{markup, percent, print, urlize, wrap};

/// Applies a filter to a value.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    match name {
        "urlencode" => return url_encode(value, arguments, runtime),
        "xmlattr" => return xml_attributes(value, arguments, runtime),
        "indent" => return indent(value, arguments, runtime),
        "truncate" => return truncate(value, arguments, runtime),
        "wordwrap" => return word_wrap(value, arguments, runtime),
        "replace" => return replace(value, arguments, runtime),
        "urlize" => return urlize::filter(value, arguments, runtime),
        _ => {}
    }
    // The others convert any value to text; safe text stays safe.
    let Text { text: whole, safe } = match value {
        Value::Str(text) => text,
        other => Text { text: print::text(&other, runtime.meter())?, safe: false },
    };
    let text = Text { text: whole.clone(), safe };
    match name {
        "upper" | "lower" | "capitalize" => str_methods::call(&text, name, arguments, runtime),
        "trim" => {
            let [chars] = arguments.bind(name, ["chars"], 0)?;
            str_methods::call(&text, "strip", Arguments::of(chars.into_iter().collect()), runtime)
        }
        "center" => {
            let [width] = arguments.bind(name, ["width"], 0)?;
            str_methods::call(&text, name, Arguments::of(vec![width.unwrap_or(Value::Int(80))]), runtime)
        }
        "format" => {
            let Arguments { positional, named } = arguments;
            if !positional.is_empty() && !named.is_empty() {
                return Err(JinjaError::new("format takes positional arguments or named ones, not both"));
            }
            let values = match named.is_empty() {
                true => Value::tuple(positional, runtime.meter())?,
                false => Value::dict(named.iter().map(|(name, value)| (name.into(), value.clone())), runtime.meter())?,
            };
            percent::format(&text, &values, runtime.meter())
        }
        "title" => {
            arguments.none(name)?;
            runtime.meter().memory(whole.len())?;
            Ok(title(&whole).into())
        }
        "striptags" => {
            arguments.none(name)?;
            runtime.meter().memory(whole.len())?;
            Ok(markup::strip_tags(&whole).into())
        }
        _ => {
            arguments.none(name)?;
            runtime.meter().steps(whole.len() / 64)?;
            Ok(whole.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count().into())
        }
    }
}

/// Capitalizes words, which follow spaces, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word_starts = true;
    let mut word = String::new();
    for c in text.chars() {
        let between = is_space(c) || "-({[<".contains(c);
        match (between, word_starts) {
            (true, _) => {
                out.push_str(&word.to_lowercase());
                word.clear();
                out.push(c);
            }
            (false, true) => out.extend(c.to_uppercase()),
            (false, false) => word.push(c),
        }
        word_starts = between;
    }
    out + &word.to_lowercase()
}

fn replace(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [old, new, count] = arguments.bind("replace", ["old", "new", "count"], 2)?;
    let count = match count {
        Some(Value::None) | None => -1,
        some => expect_int(some, -1, "replace")?,
    };
    let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
    let safe = runtime.escapes_calls() && (value.is_safe() || old.is_safe() || new.is_safe());
    let meter = runtime.meter();
    let plain = |value: &Value| print::text(value, meter);
    let whole = if safe && (old.is_safe() || new.is_safe()) { markup::escape_value(&value, meter)? } else { value };
    let new = if safe { markup::escape_value(&new, meter)? } else { new };
    let (whole, old, new) = (plain(&whole)?, plain(&old)?, plain(&new)?);
    str_methods::replaced(&whole, &old, &new, count, meter).map(|text| Value::text(text, safe))
}

fn truncate(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [length, kill, end, leeway] = arguments.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let length = expect_int(length, 255, "truncate")?;
    let end = end.map_or(Ok("...".into()), |end| expect_text(Some(end), "truncate").map(|end| end.text))?;
    let leeway = expect_int(leeway.filter(|leeway| !matches!(leeway, Value::None)), 5, "truncate")?;
    let tail = end.chars().count() as i128;
    if length < tail || leeway < 0 {
        return Err(JinjaError::new(format!("truncate expects a length of at least {tail}, and a leeway of at least 0")));
    }
    // Text that is short enough is unchanged.
    if operators::length(&value)? as i128 <= length.saturating_add(leeway) {
        return Ok(value);
    }
    let text = expect_text(Some(value), "truncate")?;
    runtime.meter().memory(text.text.len() + end.len())?;
    let mut cut: String = text.text.chars().take((length - tail) as usize).collect();
    if !is_true(kill) {
        cut.truncate(cut.rfind(' ').unwrap_or(cut.len()));
    }
    let end = if text.safe { markup::escape(&end) } else { end.to_string() };
    Ok(Value::text(cut + &end, text.safe))
}

fn indent(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [width, first, blank] = arguments.bind("indent", ["width", "first", "blank"], 0)?;
    let (first, blank) = (is_true(first), is_true(blank));
    let text = expect_text(Some(value), "indent")?;
    let indention = match width {
        Some(Value::Str(text)) => text.text.to_string(),
        other => {
            let width = usize::try_from(expect_int(other, 4, "indent")?.max(0)).ok();
            runtime.meter().text(width)?;
            " ".repeat(width.unwrap_or(0))
        }
    };
    let whole = format!("{}\n", text.text);
    let lines = split_lines(&whole, false);
    runtime.meter().text(lines.len().checked_mul(indention.len() + 1).and_then(|bytes| bytes.checked_add(whole.len())))?;
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        out.push_str(if n > 0 { "\n" } else { "" });
        if n == 0 && first || n > 0 && (blank || !line.is_empty()) {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(Value::text(out, text.safe))
}

fn word_wrap(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [width, long, between, hyphens] = arguments.bind("wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"], 0)?;
    let on = |value: Option<Value>| value.is_none_or(|value| value.truth());
    let width = expect_int(width, 79, "wordwrap")?;
    let text = expect_text(Some(value), "wordwrap")?;
    if width <= 0 && !text.text.is_empty() {
        return Err(JinjaError::new("wordwrap expects a width above 0"));
    }
    let between = match between {
        None | Some(Value::None) => "\n".into(),
        some => expect_text(some, "wordwrap")?.text,
    };
    let (long, hyphens) = (on(long), on(hyphens));
    // Each character, its place among the words, and what is put between lines.
    runtime.meter().text(text.text.len().checked_mul(between.len() + 24))?;
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let mut out = String::new();
    for (n, line) in split_lines(&text.text, false).into_iter().enumerate() {
        out.push_str(if n > 0 { &between } else { "" });
        wrap::wrap(line, width, long, hyphens, &between, &mut out);
    }
    Ok(out.into())
}

/// Percent-encodes all bytes except letters, digits, `_`, `.`, `-`, `~`, and `/` if `slash`.
fn quoted(bytes: &[u8], slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "_.-~".contains(c) || slash && c == '/' => out.push(c),
            ' ' if !slash => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Percent-encodes a value's text, or bytes.
fn quoted_value(value: &Value, slash: bool, meter: &Meter) -> Result<String> {
    if let Value::Bytes(bytes) = value {
        meter.memory(3 * bytes.len())?;
        return Ok(quoted(bytes, slash));
    }
    let text = print::text(value, meter)?;
    meter.memory(3 * text.len())?;
    Ok(quoted(text.as_bytes(), slash))
}

fn url_encode(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    arguments.none("urlencode")?;
    let looped = match &value {
        Value::Str(_) | Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        Value::Object(_) => matches!(value.as_object(), Some(Object::Generator(..) | Object::Loop(_))),
        _ => true,
    };
    if !looped {
        return quoted_value(&value, true, runtime.meter()).map(Value::from);
    }
    let pairs = match &value {
        Value::Dict(dict) => Value::View(dict.clone(), DictView::Items),
        _ => value,
    };
    let mut out = Vec::new();
    for pair in runtime.iterate(&pairs)? {
        let [key, value] = <[Value; 2]>::try_from(runtime.iterate(&pair)?).map_err(|_| JinjaError::new("urlencode expects pairs"))?;
        let meter = runtime.meter();
        out.push(format!("{}={}", quoted_value(&key, false, meter)?, quoted_value(&value, false, meter)?));
    }
    Ok(out.join("&").into())
}

fn xml_attributes(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [space] = arguments.bind("xmlattr", ["autospace"], 0)?;
    let Value::Dict(dict) = &value else { return Err(value.mismatch("xmlattr expects a mapping")) };
    let mut out = Vec::new();
    for (key, value) in &dict.entries {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let name = expect_text(Some(key.clone()), "xmlattr")?;
        if name.text.contains(|c: char| c.is_ascii_whitespace() || c == '\x0b' || "/>=".contains(c)) {
            return Err(JinjaError::new(format!("xmlattr does not allow an attribute named {}", print::string_repr(&name.text))));
        }
        let value = markup::escape_value(value, runtime.meter())?;
        out.push(format!("{}=\"{}\"", markup::escaped(&name), value.as_str().unwrap_or_default()));
    }
    let spaced = space.is_none_or(|space| space.truth()) && !out.is_empty();
    let text = format!("{}{}", if spaced { " " } else { "" }, out.join(" "));
    runtime.meter().memory(text.len())?;
    Ok(Value::text(text, runtime.escapes_calls()))
}
