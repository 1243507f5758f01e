//! Filters, `value | filter`. Those of lists are in `list_filters`, lazy ones in `lazy_filters`, and those of strings in
//! `text_filters`.

use super::arguments::{Arguments, expect_int, expect_text, is_true};
use super::jinja_error::{JinjaError, Result};
use super::number::{parse_float, parse_int, round_float, round_int, too_large};
use super::object::{LazyItems, Object};
use super::operators::length;
use super::options::Options;
use super::runtime::Runtime;
use super::value::Value;
use super::{attributes, lazy_filters, list_filters, markup, pretty, print, text_filters, tojson};

/// All built-in filters.
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

/// Returns true if a filter exists.
pub(super) fn is_known(name: &str, options: &Options) -> bool {
    FILTERS.contains(&name) || options.filters.iter().any(|(known, _)| *known == name)
}

/// Filters that jinja2 does not apply at compile time.
pub(super) const OF_CONTEXT: [&str; 6] = ["map", "select", "reject", "selectattr", "rejectattr", "random"];

/// Applies a filter to a value.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    if let Some(lazy) = lazy_filters::NAMES.iter().find(|lazy| **lazy == name) {
        return runtime.object(Object::Generator(LazyItems::Waiting(lazy, value, arguments).into(), "generator"));
    }
    let meter = runtime.meter();
    match name {
        "abs" => {
            arguments.none(name)?;
            match &value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                other => other
                    .as_int()
                    .map(|number| number.checked_abs().ok_or_else(too_large))
                    .transpose()?
                    .map(Value::Int)
                    .ok_or_else(|| not_a_number(name, other)),
            }
        }
        "attr" => {
            let [attribute] = arguments.bind(name, ["name"], 1)?;
            let attribute = expect_text(attribute, name)?.text;
            if value.is_undefined() && !attribute.starts_with("__") {
                return Err(value.undefined_error());
            }
            attributes::attribute_only(&value, &attribute, runtime)
        }
        "default" | "d" => {
            let [default, boolean] = arguments.bind(name, ["default_value", "boolean"], 0)?;
            let absent = value.is_undefined() || is_true(boolean) && !value.truth();
            Ok(if absent { default.unwrap_or_else(|| "".into()) } else { value })
        }
        "count" | "length" => {
            arguments.none(name)?;
            match value.as_object() {
                Some(Object::Loop(state)) => runtime.loop_attribute(state, "length").map(|length| length.unwrap_or(Value::None)),
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
        "tojson" => tojson::filter(&value, arguments, runtime),
        "dictsort" | "first" | "last" | "groupby" | "join" | "list" | "min" | "max" | "random" | "reverse" | "sort" | "sum" => {
            list_filters::apply(name, value, arguments, runtime)
        }
        _ if FILTERS.contains(&name) => text_filters::apply(name, value, arguments, runtime),
        _ => Err(JinjaError::new(format!("there is no filter '{name}'"))),
    }
}

fn not_a_number(name: &str, value: &Value) -> JinjaError {
    value.mismatch(format_args!("{name} expects a number"))
}

fn int(value: Value, arguments: Arguments) -> Result<Value> {
    let [default, base] = arguments.bind("int", ["default", "base"], 0)?;
    let base = expect_int(base, 10, "int")?;
    let base = u32::try_from(base).ok().filter(|base| *base == 0 || (2..=36).contains(base)).ok_or_else(|| JinjaError::new("a base must be 0, or 2 to 36"))?;
    let whole = |number: f64| (number.is_finite() && number.abs() < 1.7e38).then_some(number.trunc() as i128);
    let found = match &value {
        Value::Str(text) => parse_int(&text.text, base).or_else(|| parse_float(&text.text).and_then(whole)),
        Value::Float(number) if number.is_infinite() => return Err(JinjaError::new("infinity is not an integer")),
        Value::Float(number) if !number.is_nan() => Some(whole(*number).ok_or_else(too_large)?),
        Value::Bytes(bytes) => digits(bytes).and_then(|text| parse_int(text, 10).or_else(|| parse_float(text).and_then(whole))),
        Value::Undefined(_) => return Err(value.undefined_error()),
        other => other.as_int(),
    };
    Ok(found.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
}

/// ASCII bytes as text, which may be a number.
fn digits(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

fn float(value: &Value) -> Result<Option<f64>> {
    match value {
        Value::Float(number) => Ok(Some(*number)),
        Value::Str(text) => Ok(parse_float(&text.text)),
        Value::Bytes(bytes) => Ok(digits(bytes).and_then(parse_float)),
        Value::Undefined(_) => Err(value.undefined_error()),
        other => Ok(other.as_int().map(|number| number as f64)),
    }
}

fn round(value: &Value, arguments: Arguments) -> Result<Value> {
    let [precision, method] = arguments.bind("round", ["precision", "method"], 0)?;
    let precision = expect_int(precision, 0, "round")?;
    let method = method.map_or(Ok("common".into()), |method| expect_text(Some(method), "round").map(|text| text.text))?;
    let number = match value {
        Value::Float(number) => *number,
        other => other.as_int().ok_or_else(|| not_a_number("round", other))? as f64,
    };
    match (&*method, value) {
        ("common", Value::Float(_)) => Ok(Value::Float(round_float(number, precision))),
        ("common", other) => round_int(other.as_int().unwrap_or(0), precision).map(Value::Int),
        ("ceil" | "floor", _) => {
            let unit = 10_f64.powi(precision.clamp(-400, 400) as i32);
            let scaled = number * unit;
            let whole = if &*method == "ceil" { scaled.ceil() } else { scaled.floor() };
            if !whole.is_finite() || unit == 0.0 {
                return Err(JinjaError::new("round: the result is out of range"));
            }
            // Python divides an integer, which has no negative zero.
            Ok(Value::Float(whole / unit + 0.0))
        }
        _ => Err(JinjaError::new("round's method must be common, ceil or floor")),
    }
}

fn file_size(value: &Value, arguments: Arguments) -> Result<Value> {
    let [binary] = arguments.bind("filesizeformat", ["binary"], 0)?;
    let binary = is_true(binary);
    let bytes = float(value)?.ok_or_else(|| not_a_number("filesizeformat", value))?;
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
