//! Filters: what stands behind `|`. Those of lists are in `list_filters`, those of texts in
//! `text_filters`.

use super::arguments::Arguments;
use super::interpret::Interpreter;
use super::number::{parse_float, parse_int, round_float, round_int, too_large};
use super::object::{Generator, Object};
use super::operators::{self, binary, length};
use super::text::{wants_int, wants_text};
use super::value::Value;
use super::{Error, Options, Result, ast::Binary, json, list_filters, markup, pretty, print, text_filters};
use std::collections::VecDeque;

/// All filters but the program's own.
pub(super) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "items",
    "map",
    "min",
    "max",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
    "tojson",
];

/// Returns true if there is a filter of a name.
pub(super) fn is_known(name: &str, options: &Options) -> bool {
    FILTERS.contains(&name) || options.filters.iter().any(|(known, _)| *known == name)
}

/// Filters that work when their items are asked for.
const LAZY: [&str; 9] = ["map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "items"];

/// Filters that jinja2 does not apply before a template runs.
pub(super) const OF_CONTEXT: [&str; 6] = ["map", "select", "reject", "selectattr", "rejectattr", "random"];

/// A value through a filter.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    if let Some(lazy) = LAZY.iter().find(|lazy| **lazy == name) {
        return interpreter.object(Object::Generator(Generator::Waiting(lazy, value, arguments).into(), "generator"));
    }
    let meter = &interpreter.meter;
    match name {
        "abs" => {
            arguments.none(name)?;
            match &value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                other => {
                    other.as_int().map(|number| number.checked_abs().ok_or_else(too_large)).transpose()?.map(Value::Int).ok_or_else(|| no_number(name, other))
                }
            }
        }
        "attr" => {
            let [attribute] = arguments.bind(name, ["name"], 1)?;
            let attribute = wants_text(attribute, name)?.text;
            if value.is_undefined() && !attribute.starts_with("__") {
                return Err(operators::undefined(&value));
            }
            interpreter.attribute_only(&value, &attribute)
        }
        "default" | "d" => {
            let [default, boolean] = arguments.bind(name, ["default_value", "boolean"], 0)?;
            let absent = value.is_undefined() || boolean.is_some_and(|boolean| boolean.truth()) && !value.truth();
            Ok(if absent { default.unwrap_or_else(|| "".into()) } else { value })
        }
        "count" | "length" => {
            arguments.none(name)?;
            match &value {
                Value::Object(object) => match &**object {
                    Object::Loop(state) => interpreter.loop_attribute(state, "length").map(|length| length.unwrap_or(Value::None)),
                    _ => length(&value).map(Value::from),
                },
                _ => length(&value).map(Value::from),
            }
        }
        "e" | "escape" => {
            arguments.none(name)?;
            markup::escape_value(&value, meter)
        }
        "forceescape" => {
            arguments.none(name)?;
            let text = print::text(&value, meter)?;
            meter.memory(6 * text.len())?;
            Ok(Value::text(markup::escape(&text), true))
        }
        "safe" => {
            arguments.none(name)?;
            Ok(Value::text(print::text(&value, meter)?, true))
        }
        "string" => {
            arguments.none(name)?;
            match value {
                Value::Str(_) => Ok(value),
                other => Ok(Value::text(print::text(&other, meter)?, false)),
            }
        }
        "int" => int(value, arguments),
        "float" => {
            let [default] = arguments.bind(name, ["default"], 0)?;
            Ok(float(&value)?.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "round" => round(&value, arguments),
        "filesizeformat" => file_size(&value, arguments),
        "pprint" => {
            arguments.none(name)?;
            pretty::pretty(&value, meter).map(Value::from)
        }
        "tojson" => json::filter(&value, arguments, interpreter),
        "dictsort" | "first" | "last" | "groupby" | "join" | "list" | "min" | "max" | "random" | "reverse" | "sort" | "sum" => {
            list_filters::apply(name, value, arguments, interpreter)
        }
        _ if FILTERS.contains(&name) => text_filters::apply(name, value, arguments, interpreter),
        _ => Err(Error::new(format!("there is no filter '{name}'"))),
    }
}

fn no_number(name: &str, value: &Value) -> Error {
    if value.is_undefined() { operators::undefined(value) } else { Error::new(format!("{name} wants a number, not '{}'", value.type_name())) }
}

fn int(value: Value, arguments: Arguments) -> Result<Value> {
    let [default, base] = arguments.bind("int", ["default", "base"], 0)?;
    let base = wants_int(base, 10, "int")?;
    let base = u32::try_from(base).ok().filter(|base| *base == 0 || (2..=36).contains(base)).ok_or_else(|| Error::new("a base is 0, or 2 to 36"))?;
    let whole = |number: f64| (number.is_finite() && number.abs() < 1.7e38).then_some(number.trunc() as i128);
    let found = match &value {
        Value::Str(text) => parse_int(&text.text, base).or_else(|| parse_float(&text.text).and_then(whole)),
        Value::Float(number) if number.is_infinite() => return Err(Error::new("infinity is no integer")),
        Value::Float(number) if !number.is_nan() => Some(whole(*number).ok_or_else(too_large)?),
        Value::Bytes(bytes) => digits(bytes).and_then(|text| parse_int(text, 10).or_else(|| parse_float(text).and_then(whole))),
        Value::Undefined(_) => return Err(operators::undefined(&value)),
        other => other.as_int(),
    };
    Ok(found.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
}

/// Bytes as a text that may be a number: those of ASCII.
fn digits(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

fn float(value: &Value) -> Result<Option<f64>> {
    match value {
        Value::Float(number) => Ok(Some(*number)),
        Value::Str(text) => Ok(parse_float(&text.text)),
        Value::Bytes(bytes) => Ok(digits(bytes).and_then(parse_float)),
        Value::Undefined(_) => Err(operators::undefined(value)),
        other => Ok(other.as_int().map(|number| number as f64)),
    }
}

fn round(value: &Value, arguments: Arguments) -> Result<Value> {
    let [precision, method] = arguments.bind("round", ["precision", "method"], 0)?;
    let precision = wants_int(precision, 0, "round")?;
    let method = method.map_or(Ok("common".into()), |method| wants_text(Some(method), "round").map(|text| text.text))?;
    let number = match value {
        Value::Float(number) => *number,
        other => other.as_int().ok_or_else(|| no_number("round", other))? as f64,
    };
    match (&*method, value) {
        ("common", Value::Float(_)) => Ok(Value::Float(round_float(number, precision))),
        ("common", other) => round_int(other.as_int().unwrap_or(0), precision).map(Value::Int),
        ("ceil" | "floor", _) => {
            let unit = 10_f64.powi(precision.clamp(-400, 400) as i32);
            let scaled = number * unit;
            let whole = if &*method == "ceil" { scaled.ceil() } else { scaled.floor() };
            if !whole.is_finite() || unit == 0.0 {
                return Err(Error::new("the number cannot be rounded so"));
            }
            // Python divides an integer, which has no negative zero.
            Ok(Value::Float(whole / unit + 0.0))
        }
        _ => Err(Error::new("round's method is common, ceil or floor")),
    }
}

fn file_size(value: &Value, arguments: Arguments) -> Result<Value> {
    let [binary] = arguments.bind("filesizeformat", ["binary"], 0)?;
    let binary = binary.is_some_and(|binary| binary.truth());
    let bytes = float(value)?.ok_or_else(|| no_number("filesizeformat", value))?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok("1 Byte".into());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc() as i128).into());
    }
    let mut unit = base;
    for (n, prefix) in ["k", "M", "G", "T", "P", "E", "Z", "Y"].into_iter().enumerate() {
        unit *= base;
        if bytes < unit || n == 7 {
            let prefix = if binary { prefix.to_uppercase() + "i" } else { prefix.into() };
            return Ok(format!("{:.1} {prefix}B", base * bytes / unit).into());
        }
    }
    Ok(Value::None)
}

/// The items of a filter that waited until they were asked for.
pub(super) fn generate(name: &str, value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    match name {
        "map" => list_filters::map(value, arguments, interpreter),
        "select" | "reject" | "selectattr" | "rejectattr" => list_filters::select(name, value, arguments, interpreter),
        "unique" => list_filters::unique(value, arguments, interpreter),
        "batch" => list_filters::batch(value, arguments, interpreter),
        "slice" => list_filters::slices(value, arguments, interpreter),
        "reversed" => {
            let mut items = interpreter.iterate(&value)?;
            items.reverse();
            Ok(items)
        }
        _ => {
            arguments.none(name)?;
            match value {
                Value::Undefined(_) => Ok(Vec::new()),
                Value::Dict(dict) => interpreter.iterate(&Value::View(dict, super::value::View::Items)),
                other => Err(Error::new(format!("items wants a mapping, not '{}'", other.type_name()))),
            }
        }
    }
}

/// An iterator over items, as Python's `reversed` gives it.
pub(super) fn reversed(value: Value, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    match &value {
        Value::Str(_) => {
            let reversed = operators::slice(&value, &[None, None, Some(Value::Int(-1))], &interpreter.meter)?;
            Ok(reversed.unwrap_or(value))
        }
        Value::Object(object) if matches!(**object, Object::Generator(..)) => {
            let items = generate("reversed", value.clone(), Arguments::default(), interpreter)?;
            Value::list(items, &interpreter.meter)
        }
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Object(_) => {
            Err(Error::new(format!("reverse wants items, and a '{}' has none", value.type_name())))
        }
        Value::Undefined(_) => interpreter.object(Object::Generator(Generator::Items(VecDeque::new()).into(), "generator")),
        _ => interpreter.object(Object::Generator(Generator::Waiting("reversed", value, Arguments::default()).into(), "list_reverseiterator")),
    }
}

/// A sum, from a value on.
pub(super) fn sum(items: Vec<Value>, start: Value, interpreter: &Interpreter<'_>) -> Result<Value> {
    if matches!(start, Value::Str(_) | Value::Bytes(_)) {
        return Err(Error::new("sum does not join texts; join does"));
    }
    items.into_iter().try_fold(start, |sum, item| binary(Binary::Add, &sum, &item, &interpreter.meter))
}
