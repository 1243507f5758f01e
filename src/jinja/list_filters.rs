//! Filters of lists and mappings.

use super::arguments::{Arguments, expect_text, is_true};
use super::ast::BinaryOp;
use super::getter::Getter;
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::object::{LazyItems, Object};
use super::operators::{binary, equal, less};
use super::runtime::Runtime;
use super::value::Value;
use super::{lazy_filters, markup, print};
use std::collections::VecDeque;
use std::sync::Arc;

/// Applies a filter to a value.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    match name {
        "first" => {
            arguments.none(name)?;
            Ok(first(&value, runtime)?.unwrap_or_else(|| Value::missing("there is no first item: the list is empty")))
        }
        "last" => {
            arguments.none(name)?;
            if matches!(value.as_object(), Some(Object::Generator(..))) {
                return Err(JinjaError::new("last expects a list, not a generator; apply the filter list before it"));
            }
            let last = runtime.iterate(&value)?.pop();
            Ok(last.unwrap_or_else(|| Value::missing("there is no last item: the list is empty")))
        }
        "list" => {
            arguments.none(name)?;
            let items = runtime.iterate(&value)?;
            Value::list(items, runtime.meter())
        }
        "reverse" => {
            arguments.none(name)?;
            lazy_filters::reversed(value, runtime)
        }
        "random" => {
            arguments.none(name)?;
            let items = runtime.iterate(&value)?;
            match &items[..] {
                [] => Ok(Value::missing("there is no random item: the list is empty")),
                [only] => Ok(only.clone()),
                _ => Err(JinjaError::new("random is not deterministic, so it is not supported")),
            }
        }
        "join" => join(value, arguments, runtime),
        "sum" => {
            let [attribute, start] = arguments.bind(name, ["attribute", "start"], 0)?;
            let getter = Getter::new(attribute, false, None)?;
            let mut items = runtime.iterate(&value)?;
            for item in &mut items {
                *item = getter.get(item, runtime)?;
            }
            sum(items, start.unwrap_or(Value::Int(0)), runtime.meter())
        }
        "min" | "max" => extreme(name, value, arguments, runtime),
        "sort" => sort(value, arguments, runtime),
        "dictsort" => sort_dict(value, arguments, runtime),
        _ => group(value, arguments, runtime),
    }
}

/// The first item; consumes only that one of a generator.
fn first(value: &Value, runtime: &mut dyn Runtime) -> Result<Option<Value>> {
    let mut items: VecDeque<Value> = runtime.iterate(value)?.into();
    let first = items.pop_front();
    if let Some(Object::Generator(generator, _)) = value.as_object() {
        *generator.borrow_mut() = LazyItems::Items(items);
    }
    Ok(first)
}

/// Adds items to a start value.
fn sum(items: Vec<Value>, start: Value, meter: &Meter) -> Result<Value> {
    if matches!(start, Value::Str(_) | Value::Bytes(_)) {
        return Err(JinjaError::new("sum cannot add texts; use join"));
    }
    items.into_iter().try_fold(start, |sum, item| binary(BinaryOp::Add, &sum, &item, meter))
}

/// A stable merge sort that uses only `<`, like Python's.
fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool, meter: &Meter) -> Result<Vec<(Value, Value)>> {
    if reverse {
        keyed.reverse();
    }
    let mut width = 1;
    while width < keyed.len() {
        let mut merged = Vec::with_capacity(keyed.len());
        for run in keyed.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([a, ..], [b, ..]) = (left, right) {
                meter.steps(1)?;
                let from = if less(&b.0, &a.0, meter)? { &mut right } else { &mut left };
                merged.push(from[0].clone());
                *from = &from[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        keyed = merged;
        width *= 2;
    }
    if reverse {
        keyed.reverse();
    }
    Ok(keyed)
}

fn sort(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [reverse, case_sensitive, attribute] = arguments.bind("sort", ["reverse", "case_sensitive", "attribute"], 0)?;
    let lower = !is_true(case_sensitive);
    let getters = match attribute {
        Some(Value::Str(text)) => text.text.split(',').map(|part| Getter::new(Some(part.into()), lower, None)).collect::<Result<Vec<_>>>()?,
        other => vec![Getter::new(other, lower, None)?],
    };
    let mut keyed = Vec::new();
    for item in runtime.iterate(&value)? {
        let key = getters.iter().map(|getter| getter.get(&item, runtime)).collect::<Result<Vec<_>>>()?;
        keyed.push((Value::list(key, runtime.meter())?, item));
    }
    let sorted = sorted(keyed, is_true(reverse), runtime.meter())?;
    Value::list(sorted.into_iter().map(|(_, item)| item).collect(), runtime.meter())
}

fn sort_dict(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [case_sensitive, by, reverse] = arguments.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let by = by.map_or(Ok("key".into()), |by| expect_text(Some(by), "dictsort").map(|text| text.text))?;
    let index = match &*by {
        "key" => 0,
        "value" => 1,
        _ => return Err(JinjaError::new("dictsort sorts by key or by value")),
    };
    let Value::Dict(dict) = &value else { return Err(value.mismatch("dictsort expects a mapping")) };
    let getter = Getter::new(Some(Value::Int(index)), !is_true(case_sensitive), None)?;
    let mut keyed = Vec::new();
    for (key, value) in &dict.entries {
        let pair = Value::tuple(vec![key.clone(), value.clone()], runtime.meter())?;
        keyed.push((getter.get(&pair, runtime)?, pair));
    }
    let sorted = sorted(keyed, is_true(reverse), runtime.meter())?;
    Value::list(sorted.into_iter().map(|(_, pair)| pair).collect(), runtime.meter())
}

fn extreme(name: &str, value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [case_sensitive, attribute] = arguments.bind(name, ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute, !is_true(case_sensitive), None)?;
    let mut best: Option<(Value, Value)> = None;
    for item in runtime.iterate(&value)? {
        let key = getter.get(&item, runtime)?;
        let better = match &best {
            None => true,
            Some((other, _)) if name == "min" => less(&key, other, runtime.meter())?,
            Some((other, _)) => less(other, &key, runtime.meter())?,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::missing("there is no such item: the list is empty"), |(_, item)| item))
}

fn group(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [attribute, default, case_sensitive] = arguments.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let lower = !is_true(case_sensitive);
    let getter = Getter::new(attribute.clone(), lower, default.clone())?;
    let named = Getter::new(attribute, false, default)?;
    let mut keyed = Vec::new();
    for item in runtime.iterate(&value)? {
        keyed.push((getter.get(&item, runtime)?, item));
    }
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in sorted(keyed, false, runtime.meter())? {
        match groups.last_mut() {
            Some((other, items)) if equal(other, &key, runtime.meter())? => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut out = Vec::new();
    for (key, items) in groups {
        // The key as the first item has it.
        let key = if lower { named.get(&items[0], runtime)? } else { key };
        let items = Value::list(items, runtime.meter())?;
        out.push(Value::group(vec![key, items], runtime.meter())?);
    }
    Value::list(out, runtime.meter())
}

fn join(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [separator, attribute] = arguments.bind("join", ["d", "attribute"], 0)?;
    let separator = separator.unwrap_or_else(|| "".into());
    let getter = Getter::new(attribute, false, None)?;
    let mut items = runtime.iterate(&value)?;
    for item in &mut items {
        *item = getter.get(item, runtime)?;
    }
    let safe = runtime.escapes_calls() && (separator.is_safe() || items.iter().any(Value::is_safe));
    let text = |value: &Value| if safe { markup::escape_value(value, runtime.meter()) } else { Ok(value.clone()) };
    let separator = text(&separator)?;
    let mut out = String::new();
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            print::write(&separator, &mut out, runtime.meter())?;
        }
        print::write(&text(item)?, &mut out, runtime.meter())?;
    }
    let joined: Arc<str> = out.into();
    runtime.meter().track_text(&joined, joined.len())?;
    Ok(Value::text(joined, safe))
}
