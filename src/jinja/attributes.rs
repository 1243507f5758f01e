//! Attributes of values: Python's, as far as the sandbox allows.

use super::ast::Name;
use super::jinja_error::Result;
use super::object::Object;
use super::runtime::Runtime;
use super::value::{DictView, Value};
use super::{operators, print};

/// An existing attribute: a value, or one that the sandbox forbids.
enum Lookup {
    Value(Value),
    Unsafe,
}

/// Methods of strings.
pub(super) const TEXT: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
/// Further methods of safe strings.
const SAFE_TEXT: [&str; 3] = ["escape", "striptags", "unescape"];
const LIST: [&str; 3] = ["copy", "count", "index"];
/// Methods that would modify a list or a mapping.
const LIST_CHANGES: [&str; 8] = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];
const DICT: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const INT: [&str; 5] = ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "to_bytes"];
const FLOAT: [&str; 4] = ["as_integer_ratio", "conjugate", "hex", "is_integer"];

/// Dunder names of every object.
const DUNDERS: [&str; 26] = [
    "class",
    "delattr",
    "dir",
    "doc",
    "eq",
    "format",
    "ge",
    "getattribute",
    "getstate",
    "gt",
    "hash",
    "init",
    "init_subclass",
    "le",
    "lt",
    "ne",
    "new",
    "reduce",
    "reduce_ex",
    "repr",
    "setattr",
    "sizeof",
    "str",
    "subclasshook",
    "module",
    "dict",
];
/// Dunder names of containers and numbers.
const MORE_DUNDERS: [&str; 16] =
    ["len", "getitem", "iter", "contains", "add", "mul", "rmul", "mod", "rmod", "setitem", "delitem", "reversed", "getnewargs", "bool", "int", "call"];

fn is_dunder(value: &Value, name: &str) -> bool {
    let Some(inner) = name.strip_prefix("__").and_then(|name| name.strip_suffix("__")) else { return false };
    let plain = matches!(value, Value::None | Value::Undefined(_));
    DUNDERS.contains(&inner) || !plain && MORE_DUNDERS.contains(&inner) || matches!(value, Value::Object(_)) && inner == "globals"
}

/// `value.name`: the attribute, or else the item.
pub(super) fn attribute(value: &Value, name: &Name, runtime: &mut dyn Runtime) -> Result<Value> {
    match find_attribute(value, name, runtime)? {
        Some(Lookup::Value(found)) => Ok(found),
        Some(Lookup::Unsafe) => Ok(forbidden(value, name)),
        None => match operators::item(value, &name.into(), runtime.meter())? {
            Some(item) => Ok(item),
            None => Ok(Value::missing(format!("{} has no attribute '{name}'", value.described()))),
        },
    }
}

/// `value[index]`: the item, or else the attribute.
pub(super) fn item(value: &Value, index: &Value, runtime: &mut dyn Runtime) -> Result<Value> {
    if let Some(item) = operators::item(value, index, runtime.meter())? {
        return Ok(item);
    }
    let Value::Str(name) = index else {
        return Ok(Value::missing(format!("{} has no element {}", value.described(), print::repr(index, runtime.meter())?)));
    };
    match find_attribute(value, &name.text, runtime)? {
        Some(Lookup::Value(found)) => Ok(found),
        Some(Lookup::Unsafe) => Ok(forbidden(value, &name.text)),
        None => Ok(Value::missing(format!("{} has no attribute '{}'", value.described(), name.text))),
    }
}

/// The attribute alone, for the filter `attr`.
pub(super) fn attribute_only(value: &Value, name: &Name, runtime: &mut dyn Runtime) -> Result<Value> {
    Ok(match find_attribute(value, name, runtime)? {
        Some(Lookup::Value(found)) => found,
        Some(Lookup::Unsafe) => forbidden(value, name),
        None => Value::missing(format!("{} has no attribute '{name}'", value.described())),
    })
}

fn find_attribute(value: &Value, name: &Name, runtime: &mut dyn Runtime) -> Result<Option<Lookup>> {
    if let Some(Object::Namespace(attributes)) = value.as_object() {
        let found = attributes.borrow().iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        return Ok(found.map(Lookup::Value).or_else(|| (&**name == "__class__").then_some(Lookup::Unsafe)));
    }
    if is_dunder(value, name) {
        return Ok(Some(Lookup::Unsafe));
    }
    let is = |names: &[&str]| names.contains(&&**name);
    let method = match value {
        Value::Str(text) => is(&TEXT) || text.safe && is(&SAFE_TEXT),
        Value::Bytes(_) => is(&["decode", "hex"]),
        Value::List(_) if is(&LIST_CHANGES) => return Ok(Some(Lookup::Unsafe)),
        Value::List(_) => is(&LIST),
        Value::Tuple(items) if items.group && is(&["grouper", "list"]) => {
            return Ok(Some(Lookup::Value(items.items[usize::from(&**name == "list")].clone())));
        }
        Value::Tuple(_) => is(&["count", "index"]),
        Value::Dict(_) if is(&DICT_CHANGES) => return Ok(Some(Lookup::Unsafe)),
        Value::Dict(_) => is(&DICT),
        Value::View(dict, _) if is(&["mapping"]) => return Ok(Some(Lookup::Value(Value::Dict(dict.clone())))),
        Value::View(_, view) => *view != DictView::Values && is(&["isdisjoint"]),
        Value::Range(range) => match &**name {
            "start" => return Ok(Some(Lookup::Value(Value::Int(range.start)))),
            "stop" => return Ok(Some(Lookup::Value(Value::Int(range.stop)))),
            "step" => return Ok(Some(Lookup::Value(Value::Int(range.step)))),
            _ => is(&["count", "index"]),
        },
        Value::Bool(_) | Value::Int(_) => match &**name {
            "real" | "numerator" => return Ok(Some(Lookup::Value(Value::Int(value.as_int().unwrap_or(0))))),
            "imag" => return Ok(Some(Lookup::Value(Value::Int(0)))),
            "denominator" => return Ok(Some(Lookup::Value(Value::Int(1)))),
            _ => is(&INT),
        },
        Value::Float(_) => match &**name {
            "real" => return Ok(Some(Lookup::Value(value.clone()))),
            "imag" => return Ok(Some(Lookup::Value(Value::Float(0.0)))),
            _ => is(&FLOAT),
        },
        Value::Object(_) => return object_attribute(value, name, runtime),
        Value::Undefined(_) | Value::None => false,
    };
    if method {
        let bound = runtime.object(Object::Method(value.clone(), name.clone()))?;
        return Ok(Some(Lookup::Value(bound)));
    }
    Ok(None)
}

fn object_attribute(value: &Value, name: &Name, runtime: &mut dyn Runtime) -> Result<Option<Lookup>> {
    let Some(object) = value.as_object() else { return Ok(None) };
    let found = match (object, &**name) {
        (Object::Macro(object), _) => match &**name {
            "name" if object.definition.name.is_empty() => Value::None,
            "name" => (&object.definition.name).into(),
            "arguments" => Value::tuple(object.definition.parameters.iter().map(Value::from).collect(), runtime.meter())?,
            "catch_kwargs" => object.definition.kwargs.into(),
            "catch_varargs" => object.definition.varargs.into(),
            "caller" => object.definition.caller.into(),
            "explicit_caller" => object.definition.parameters.iter().any(|name| &**name == "caller").into(),
            _ => return Ok(None),
        },
        (Object::Loop(state), _) => match runtime.loop_attribute(state, name)? {
            Some(value) => value,
            None if matches!(&**name, "cycle" | "changed") => runtime.object(Object::Method(value.clone(), name.clone()))?,
            None => return Ok(None),
        },
        (Object::Cycler(items, at), "current") => items[at.get()].clone(),
        (Object::Cycler(_, at), "pos") => at.get().into(),
        (Object::Cycler(items, _), "items") => Value::tuple(items.clone(), runtime.meter())?,
        (Object::Cycler(..), "next" | "reset") | (Object::Function("dict"), "fromkeys") => runtime.object(Object::Method(value.clone(), name.clone()))?,
        (Object::Joiner(separator, _), "sep") => separator.clone(),
        (Object::Joiner(_, used), "used") => used.get().into(),
        (Object::Template(around), _) => match runtime.block(name) {
            Some(block) => runtime.object(Object::Block(block, around.clone()))?,
            None => return Ok(None),
        },
        (Object::Block(block, _), "name") => (&block.name).into(),
        (Object::Block(..), "super") => Value::missing("there is no parent block"),
        (Object::Generator(..), "gi_frame" | "gi_code") => return Ok(Some(Lookup::Unsafe)),
        _ => return Ok(None),
    };
    Ok(Some(Lookup::Value(found)))
}

/// A placeholder for an attribute that the sandbox forbids; using it is an error.
fn forbidden(value: &Value, name: &str) -> Value {
    Value::missing(format!("the attribute '{name}' of '{}' is unsafe or would modify the value", value.type_name()))
}
