//! Lazy filters, which run when their items are requested, as Python's generators do.

use super::arguments::{Arguments, expect_int, expect_text, is_true};
use super::getter::Getter;
use super::jinja_error::{JinjaError, Result};
use super::object::{LazyItems, Object};
use super::operators::{self, equal, less};
use super::runtime::Runtime;
use super::value::{DictView, Value};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// The lazy filters.
pub(super) const NAMES: [&str; 9] = ["map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "items"];

/// Runs a lazy filter.
pub(super) fn generate(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    match name {
        "map" => map(value, arguments, runtime),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, value, arguments, runtime),
        "unique" => unique(value, arguments, runtime),
        "batch" => batch(value, arguments, runtime),
        "slice" => slices(value, arguments, runtime),
        "reversed" => {
            let mut items = runtime.iterate(&value)?;
            items.reverse();
            Ok(items)
        }
        _ => {
            arguments.none(name)?;
            match value {
                Value::Undefined(_) => Ok(Vec::new()),
                Value::Dict(dict) => runtime.iterate(&Value::View(dict, DictView::Items)),
                other => Err(JinjaError::new(format!("items expects a mapping, not '{}'", other.type_name()))),
            }
        }
    }
}

/// Reverses items lazily, as Python's `reversed` does.
pub(super) fn reversed(value: Value, runtime: &mut dyn Runtime) -> Result<Value> {
    match &value {
        Value::Str(_) => {
            let reversed = operators::slice(&value, &[None, None, Some(Value::Int(-1))], runtime.meter())?;
            Ok(reversed.unwrap_or(value))
        }
        Value::Object(_) if matches!(value.as_object(), Some(Object::Generator(..))) => {
            let items = generate("reversed", value.clone(), Arguments::default(), runtime)?;
            Value::list(items, runtime.meter())
        }
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Object(_) => {
            Err(JinjaError::new(format!("reverse expects items, not '{}'", value.type_name())))
        }
        Value::Undefined(_) => runtime.object(Object::Generator(LazyItems::Items(VecDeque::new()).into(), "generator")),
        _ => runtime.object(Object::Generator(LazyItems::Waiting("reversed", value, Arguments::default()).into(), "list_reverseiterator")),
    }
}

/// `map`: an attribute of each item, or a filter applied to each.
fn map(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    if !value.truth() {
        return Ok(Vec::new());
    }
    let Arguments { mut positional, mut named } = arguments;
    if positional.is_empty() && named.iter().any(|(name, _)| &**name == "attribute") {
        let mut remove = |key: &str| named.iter().position(|(name, _)| **name == *key).map(|at| named.remove(at).1);
        let (attribute, default) = (remove("attribute"), remove("default"));
        if let Some((name, _)) = named.first() {
            return Err(JinjaError::new(format!("map has no argument '{name}'")));
        }
        let getter = Getter::new(attribute, false, default)?;
        let items = runtime.iterate(&value)?;
        return items.iter().map(|item| getter.get(item, runtime)).collect();
    }
    if positional.is_empty() {
        return Err(JinjaError::new("map expects a filter or an attribute"));
    }
    let name = expect_text(Some(positional.remove(0)), "map")?.text;
    let arguments = Arguments { positional, named };
    let items = runtime.iterate(&value)?;
    items.into_iter().map(|item| runtime.filter(&name, item, arguments.clone())).collect()
}

/// `select`, `reject`, `selectattr` and `rejectattr`.
fn select(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    if !value.truth() {
        return Ok(Vec::new());
    }
    let Arguments { positional, named } = arguments;
    let mut positional = positional.into_iter();
    let getter = match name.ends_with("attr") {
        true => Getter::new(Some(positional.next().ok_or_else(|| JinjaError::new(format!("{name} expects an attribute")))?), false, None)?,
        false => Getter::new(None, false, None)?,
    };
    let test: Option<Arc<str>> = positional.next().map(|test| expect_text(Some(test), name)).transpose()?.map(|text| text.text);
    let arguments = Arguments { positional: positional.collect(), named };
    let mut selected = Vec::new();
    for item in runtime.iterate(&value)? {
        let subject = getter.get(&item, runtime)?;
        let passes = match &test {
            Some(test) => runtime.test(test, subject, arguments.clone())?,
            None => subject.truth(),
        };
        if passes == name.starts_with("select") {
            selected.push(item);
        }
    }
    Ok(selected)
}

/// `unique`: the first of equal items.
fn unique(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    let [case_sensitive, attribute] = arguments.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute, !is_true(case_sensitive), None)?;
    let (mut seen, mut selected) = (HashSet::new(), Vec::new());
    for item in runtime.iterate(&value)? {
        runtime.meter().memory(64)?;
        if seen.insert(getter.get(&item, runtime)?.key(runtime.meter())?) {
            selected.push(item);
        }
    }
    Ok(selected)
}

/// `batch`: lists of `count` items. As in Python, a list is full when its length equals `count`, whatever its type.
fn batch(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    let [count, fill] = arguments.bind("batch", ["linecount", "fill_with"], 1)?;
    let count = count.unwrap_or(Value::None);
    let mut lists = Vec::new();
    let mut list = Vec::new();
    for item in runtime.iterate(&value)? {
        if equal(&list.len().into(), &count, runtime.meter())? {
            lists.push(Value::list(std::mem::take(&mut list), runtime.meter())?);
        }
        list.push(item);
    }
    if let Some(fill) = fill.filter(|fill| !list.is_empty() && !matches!(fill, Value::None))
        && less(&list.len().into(), &count, runtime.meter())?
    {
        let count = usize::try_from(expect_int(Some(count), 0, "batch")?).unwrap_or(0);
        runtime.meter().text(count.checked_mul(size_of::<Value>()))?;
        list.resize(count, fill);
    }
    if !list.is_empty() {
        lists.push(Value::list(list, runtime.meter())?);
    }
    Ok(lists)
}

/// `slice`: splits items into `count` lists.
fn slices(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Vec<Value>> {
    let [count, fill] = arguments.bind("slice", ["slices", "fill_with"], 1)?;
    let count = expect_int(count, 0, "slice")?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let items = runtime.iterate(&value)?;
    if count == 0 {
        return Err(JinjaError::new("slice cannot make 0 lists"));
    }
    let count = usize::try_from(count).unwrap_or(0);
    runtime.meter().text(count.checked_mul(size_of::<Value>()))?;
    let (size, more) = (items.len() / count.max(1), items.len() % count.max(1));
    let mut rest = &items[..];
    let mut lists = Vec::new();
    for n in 0..count {
        let (list, after) = rest.split_at(size + usize::from(n < more));
        let fill = fill.clone().filter(|_| n >= more);
        lists.push(Value::list(list.iter().cloned().chain(fill).collect(), runtime.meter())?);
        rest = after;
    }
    Ok(lists)
}
