//! Tests, `value is test`.

use super::arguments::Arguments;
use super::ast::{BinaryOp, CompareOp};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::object::Object;
use super::operators::{binary, compare, equal};
use super::runtime::Runtime;
use super::value::Value;
use super::{filters, print, str_methods};

/// All tests.
pub(super) const TESTS: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

/// Applies a test to a value.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<bool> {
    let comparison = match name {
        "==" | "eq" | "equalto" => Some(CompareOp::Eq),
        "!=" | "ne" => Some(CompareOp::Ne),
        ">" | "gt" | "greaterthan" => Some(CompareOp::Gt),
        ">=" | "ge" => Some(CompareOp::Ge),
        "<" | "lt" | "lessthan" => Some(CompareOp::Lt),
        "<=" | "le" => Some(CompareOp::Le),
        "in" => Some(CompareOp::In),
        _ => None,
    };
    if let Some(comparison) = comparison {
        let [other] = arguments.bind(name, [if name == "in" { "seq" } else { "" }], 1)?;
        return compare(comparison, &value, &other.unwrap_or(Value::None), runtime.meter());
    }
    match name {
        "divisibleby" => {
            let [number] = arguments.bind(name, ["num"], 1)?;
            return remainder_is(&value, &number.unwrap_or(Value::None), 0, runtime.meter());
        }
        "sameas" => {
            let [other] = arguments.bind(name, ["other"], 1)?;
            return Ok(value.same(&other.unwrap_or(Value::None)));
        }
        _ => arguments.none(name)?,
    }
    Ok(match name {
        "odd" => remainder_is(&value, &Value::Int(2), 1, runtime.meter())?,
        "even" => remainder_is(&value, &Value::Int(2), 0, runtime.meter())?,
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "filter" | "test" if value.key(runtime.meter()).is_err() => return Err(JinjaError::new(format!("unhashable type: '{}'", value.type_name()))),
        "filter" => value.as_str().is_some_and(|name| filters::is_known(name, runtime.options())),
        "test" => value.as_str().is_some_and(|name| TESTS.contains(&name)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "lower" => str_methods::is(&print::text(&value, runtime.meter())?, "islower"),
        "upper" => str_methods::is(&print::text(&value, runtime.meter())?, "isupper"),
        "escaped" => value.is_safe(),
        "sequence" => {
            matches!(value, Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Range(_) | Value::Undefined(_))
        }
        "iterable" => match &value {
            Value::Object(_) => matches!(value.as_object(), Some(Object::Generator(..) | Object::Loop(_) | Object::Template(_))),
            other => !matches!(other, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        },
        // An undefined value is callable: the call then fails.
        "callable" => value.is_undefined() || value.as_object().is_some_and(Object::is_callable),
        _ => return Err(JinjaError::new(format!("there is no test '{name}'"))),
    })
}

/// Returns true if the remainder of a division has a value.
fn remainder_is(value: &Value, divisor: &Value, rest: i128, meter: &Meter) -> Result<bool> {
    let found = binary(BinaryOp::Mod, value, divisor, meter)?;
    equal(&found, &Value::Int(rest), meter)
}
