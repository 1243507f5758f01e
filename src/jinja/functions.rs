//! Global functions of templates.

use super::arguments::{Arguments, expect_text};
use super::ast::Name;
use super::clock;
use super::jinja_error::{ErrorKind, JinjaError, Result};
use super::object::Object;
use super::print;
use super::runtime::Runtime;
use super::value::{Range, Value};
use std::cell::{Cell, RefCell};

/// Functions of every template.
pub(super) const NAMES: [&str; 6] = ["range", "dict", "lipsum", "cycler", "joiner", "namespace"];
/// Functions that transformers adds.
pub(super) const CHAT: [&str; 2] = ["raise_exception", "strftime_now"];

/// The longest range in jinja2's sandbox.
const MAX_RANGE: i128 = 100_000;

/// Calls a function.
pub(super) fn call(name: &str, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    match name {
        "range" => range(arguments),
        "dict" => {
            let entries = entries(name, arguments, runtime)?;
            Value::dict(entries, runtime.meter())
        }
        "namespace" => namespace(arguments, runtime),
        "cycler" => {
            let Arguments { positional, named } = arguments;
            Arguments { positional: Vec::new(), named }.none(name)?;
            if positional.is_empty() {
                return Err(JinjaError::new("cycler expects items"));
            }
            runtime.object(Object::Cycler(positional, Cell::new(0)))
        }
        "joiner" => {
            let [separator] = arguments.bind(name, ["sep"], 0)?;
            runtime.object(Object::Joiner(separator.unwrap_or_else(|| ", ".into()), Cell::new(false)))
        }
        "lipsum" => {
            let [count, html, ..] = arguments.bind(name, ["n", "html", "min", "max"], 0)?;
            match count.as_ref().and_then(Value::as_int) {
                Some(..=0) => Ok(Value::text("", html.is_none_or(|html| html.truth()))),
                _ => Err(JinjaError::new("lipsum is random, which is not supported")),
            }
        }
        "raise_exception" => {
            let [message] = arguments.bind(name, ["message"], 1)?;
            let message = print::text(&message.unwrap_or(Value::None), runtime.meter())?;
            Err(JinjaError { kind: ErrorKind::Raised, ..JinjaError::new(&*message) })
        }
        _ => {
            let [format] = arguments.bind(name, ["format"], 1)?;
            let format = expect_text(format, name)?;
            clock::format(&format.text, (runtime.options().now)(), runtime.meter()).map(Value::from)
        }
    }
}

fn range(arguments: Arguments) -> Result<Value> {
    let [first, second, step] = arguments.bind("range", ["", "", ""], 1)?;
    let int = |value: Option<Value>, default: i128| match value {
        None => Ok(default),
        Some(value) => {
            let int = value.as_int().filter(|int| int.unsigned_abs() < 1 << 100);
            int.ok_or_else(|| value.mismatch("range expects integers"))
        }
    };
    let (start, stop) = match second {
        None => (0, int(first, 0)?),
        some => (int(first, 0)?, int(some, 0)?),
    };
    let range = Range { start, stop, step: int(step, 1)? };
    match range.step {
        0 => Err(JinjaError::new("a range's step cannot be zero")),
        _ if range.len() > MAX_RANGE => Err(JinjaError::new(format!("a range has at most {MAX_RANGE} numbers"))),
        _ => Ok(Value::Range(range)),
    }
}

/// The entries of `dict(…)`: of a mapping or of pairs, then of keyword arguments.
fn entries(name: &str, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<(Value, Value)>> {
    let Arguments { positional, named } = arguments;
    let [mapping] = Arguments::of(positional).bind(name, [""], 0)?;
    let mut entries = match mapping {
        None => Vec::new(),
        Some(Value::Dict(dict)) => dict.entries.clone(),
        Some(pairs) => {
            let mut entries = Vec::new();
            for pair in runtime.iterate(&pairs)? {
                let pair = runtime.iterate(&pair)?;
                let [key, value] = <[Value; 2]>::try_from(pair).map_err(|_| JinjaError::new(format!("{name} expects pairs")))?;
                entries.push((key, value));
            }
            entries
        }
    };
    entries.extend(named.into_iter().map(|(name, value)| ((&name).into(), value)));
    Ok(entries)
}

fn namespace(arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let mut attributes = Vec::new();
    for (key, value) in entries("namespace", arguments, runtime)? {
        let Value::Str(name) = key else { return Err(JinjaError::new("a namespace's attribute names must be texts")) };
        namespace_name(&name.text)?;
        set_attribute(&mut attributes, &name.text, value);
    }
    runtime.meter().memory(attributes.len() * size_of::<(Name, Value)>())?;
    runtime.object(Object::Namespace(RefCell::new(attributes)))
}

/// Fails for a name that transformers does not allow.
pub(super) fn namespace_name(name: &str) -> Result<()> {
    if name.starts_with('_') { Err(JinjaError::new(format!("a namespace's attribute cannot begin with an underscore: '{name}'"))) } else { Ok(()) }
}

/// Sets an attribute of a namespace.
pub(super) fn set_attribute(attributes: &mut Vec<(Name, Value)>, name: &Name, value: Value) {
    match attributes.iter_mut().find(|(found, _)| found == name) {
        Some((_, old)) => *old = value,
        None => attributes.push((name.clone(), value)),
    }
}
