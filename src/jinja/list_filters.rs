//! Filters of lists and mappings.

use super::arguments::Arguments;
use super::filters;
use super::interpret::Interpreter;
use super::object::Object;
use super::operators::{equal, less};
use super::text::{wants_int, wants_text};
use super::value::{Text, Value};
use super::{Error, Result, markup, print};
use std::collections::HashSet;
use std::sync::Arc;

/// A value through a filter.
pub(super) fn apply(name: &str, value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    match name {
        "first" => {
            arguments.none(name)?;
            let first = interpreter.first(&value)?;
            Ok(first.unwrap_or_else(|| Value::missing("there is no first item: the list is empty")))
        }
        "last" => {
            arguments.none(name)?;
            if matches!(&value, Value::Object(object) if matches!(**object, Object::Generator(..))) {
                return Err(Error::new("last wants a list, not a generator; put list in front of it"));
            }
            let last = interpreter.iterate(&value)?.pop();
            Ok(last.unwrap_or_else(|| Value::missing("there is no last item: the list is empty")))
        }
        "list" => {
            arguments.none(name)?;
            let items = interpreter.iterate(&value)?;
            Value::list(items, &interpreter.meter)
        }
        "reverse" => {
            arguments.none(name)?;
            filters::reversed(value, interpreter)
        }
        "random" => {
            arguments.none(name)?;
            let items = interpreter.iterate(&value)?;
            match &items[..] {
                [] => Ok(Value::missing("there is no random item: the list is empty")),
                [only] => Ok(only.clone()),
                _ => Err(Error::new("random gives another text each time, which is not supported")),
            }
        }
        "join" => join(value, arguments, interpreter),
        "sum" => {
            let [attribute, start] = arguments.bind(name, ["attribute", "start"], 0)?;
            let getter = Getter::new(attribute, false, None)?;
            let mut items = interpreter.iterate(&value)?;
            for item in &mut items {
                *item = getter.get(item, interpreter)?;
            }
            filters::sum(items, start.unwrap_or(Value::Int(0)), interpreter)
        }
        "min" | "max" => extreme(name, value, arguments, interpreter),
        "sort" => sort(value, arguments, interpreter),
        "dictsort" => sort_dict(value, arguments, interpreter),
        _ => group(value, arguments, interpreter),
    }
}

/// The path that an `attribute` argument looks up in items.
struct Getter {
    path: Vec<Value>,
    /// True if texts are compared in lower case.
    lower: bool,
    default: Option<Value>,
}

impl Getter {
    fn new(attribute: Option<Value>, lower: bool, default: Option<Value>) -> Result<Self> {
        let path = match attribute {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Str(text)) => parts(&text.text),
            Some(other) => vec![other],
        };
        fn parts(path: &str) -> Vec<Value> {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            path.split('.').map(|part| part.parse::<i128>().ok().filter(|_| digits(part)).map_or_else(|| part.into(), Value::Int)).collect()
        }
        Ok(Self { path, lower, default: default.filter(|default| !matches!(default, Value::None)) })
    }

    fn get(&self, item: &Value, interpreter: &mut Interpreter<'_>) -> Result<Value> {
        let mut value = item.clone();
        for part in &self.path {
            value = interpreter.item(&value, part)?;
            if let (true, Some(default)) = (value.is_undefined(), &self.default) {
                value = default.clone();
            }
        }
        match value {
            Value::Str(Text { text, safe }) if self.lower => {
                interpreter.meter.memory(text.len())?;
                Ok(Value::text(text.to_lowercase(), safe))
            }
            other => Ok(other),
        }
    }
}

/// Sorts as Python does: stable, and by `<` alone.
fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool, interpreter: &Interpreter<'_>) -> Result<Vec<(Value, Value)>> {
    if reverse {
        keyed.reverse();
    }
    let mut width = 1;
    while width < keyed.len() {
        let mut merged = Vec::with_capacity(keyed.len());
        for run in keyed.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([a, ..], [b, ..]) = (left, right) {
                interpreter.meter.steps(1)?;
                let from = if less(&b.0, &a.0, &interpreter.meter)? { &mut right } else { &mut left };
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

fn truth(value: Option<Value>) -> bool {
    value.is_some_and(|value| value.truth())
}

fn sort(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let [reverse, case_sensitive, attribute] = arguments.bind("sort", ["reverse", "case_sensitive", "attribute"], 0)?;
    let lower = !truth(case_sensitive);
    let getters = match attribute {
        Some(Value::Str(text)) => text.text.split(',').map(|part| Getter::new(Some(part.into()), lower, None)).collect::<Result<Vec<_>>>()?,
        other => vec![Getter::new(other, lower, None)?],
    };
    let mut keyed = Vec::new();
    for item in interpreter.iterate(&value)? {
        let key = getters.iter().map(|getter| getter.get(&item, interpreter)).collect::<Result<Vec<_>>>()?;
        keyed.push((Value::list(key, &interpreter.meter)?, item));
    }
    let sorted = sorted(keyed, truth(reverse), interpreter)?;
    Value::list(sorted.into_iter().map(|(_, item)| item).collect(), &interpreter.meter)
}

fn sort_dict(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let [case_sensitive, by, reverse] = arguments.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let by = by.map_or(Ok("key".into()), |by| wants_text(Some(by), "dictsort").map(|text| text.text))?;
    let place = match &*by {
        "key" => 0,
        "value" => 1,
        _ => return Err(Error::new("dictsort sorts by key or by value")),
    };
    let Value::Dict(dict) = &value else { return Err(no_mapping("dictsort", &value)) };
    let getter = Getter::new(Some(Value::Int(place)), !truth(case_sensitive), None)?;
    let mut keyed = Vec::new();
    for (key, value) in &dict.entries {
        let pair = Value::tuple(vec![key.clone(), value.clone()], &interpreter.meter)?;
        keyed.push((getter.get(&pair, interpreter)?, pair));
    }
    let sorted = sorted(keyed, truth(reverse), interpreter)?;
    Value::list(sorted.into_iter().map(|(_, pair)| pair).collect(), &interpreter.meter)
}

/// The error of a value that is no mapping.
pub(super) fn no_mapping(name: &str, value: &Value) -> Error {
    if value.is_undefined() { super::operators::undefined(value) } else { Error::new(format!("{name} wants a mapping, not '{}'", value.type_name())) }
}

fn extreme(name: &str, value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let [case_sensitive, attribute] = arguments.bind(name, ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute, !truth(case_sensitive), None)?;
    let mut best: Option<(Value, Value)> = None;
    for item in interpreter.iterate(&value)? {
        let key = getter.get(&item, interpreter)?;
        let better = match &best {
            None => true,
            Some((other, _)) if name == "min" => less(&key, other, &interpreter.meter)?,
            Some((other, _)) => less(other, &key, &interpreter.meter)?,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::missing("there is no such item: the list is empty"), |(_, item)| item))
}

fn group(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let [attribute, default, case_sensitive] = arguments.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let lower = !truth(case_sensitive);
    let getter = Getter::new(attribute.clone(), lower, default.clone())?;
    let named = Getter::new(attribute, false, default)?;
    let mut keyed = Vec::new();
    for item in interpreter.iterate(&value)? {
        keyed.push((getter.get(&item, interpreter)?, item));
    }
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in sorted(keyed, false, interpreter)? {
        match groups.last_mut() {
            Some((other, items)) if equal(other, &key, &interpreter.meter)? => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut out = Vec::new();
    for (key, items) in groups {
        // Its first item's own writing of the key.
        let key = if lower { named.get(&items[0], interpreter)? } else { key };
        let items = Value::list(items, &interpreter.meter)?;
        out.push(Value::group(vec![key, items], &interpreter.meter)?);
    }
    Value::list(out, &interpreter.meter)
}

fn join(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let [separator, attribute] = arguments.bind("join", ["d", "attribute"], 0)?;
    let separator = separator.unwrap_or_else(|| "".into());
    let getter = Getter::new(attribute, false, None)?;
    let mut items = interpreter.iterate(&value)?;
    for item in &mut items {
        *item = getter.get(item, interpreter)?;
    }
    let safe = interpreter.escapes_calls && (separator.is_safe() || items.iter().any(Value::is_safe));
    let text = |value: &Value| if safe { markup::escape_value(value, &interpreter.meter) } else { Ok(value.clone()) };
    let separator = text(&separator)?;
    let mut out = String::new();
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            print::write(&separator, &mut out, &interpreter.meter)?;
        }
        print::write(&text(item)?, &mut out, &interpreter.meter)?;
    }
    let joined: Arc<str> = out.into();
    interpreter.meter.lend_text(&joined, joined.len())?;
    Ok(Value::text(joined, safe))
}

/// `map`: an attribute of each item, or each item through a filter.
pub(super) fn map(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    if !value.truth() {
        return Ok(Vec::new());
    }
    let Arguments { mut positional, mut named } = arguments;
    if positional.is_empty() && named.iter().any(|(name, _)| &**name == "attribute") {
        let mut take = |wanted: &str| named.iter().position(|(name, _)| **name == *wanted).map(|at| named.remove(at).1);
        let (attribute, default) = (take("attribute"), take("default"));
        if let Some((name, _)) = named.first() {
            return Err(Error::new(format!("map has no argument '{name}'")));
        }
        let getter = Getter::new(attribute, false, default)?;
        let items = interpreter.iterate(&value)?;
        return items.iter().map(|item| getter.get(item, interpreter)).collect();
    }
    if positional.is_empty() {
        return Err(Error::new("map wants a filter or an attribute"));
    }
    let name = wants_text(Some(positional.remove(0)), "map")?.text;
    let arguments = Arguments { positional, named };
    let items = interpreter.iterate(&value)?;
    items.into_iter().map(|item| interpreter.filter(&name, item, arguments.clone())).collect()
}

/// `select`, `reject`, and both by an attribute.
pub(super) fn select(name: &str, value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    if !value.truth() {
        return Ok(Vec::new());
    }
    let Arguments { positional, named } = arguments;
    let mut positional = positional.into_iter();
    let getter = match name.ends_with("attr") {
        true => Getter::new(Some(positional.next().ok_or_else(|| Error::new(format!("{name} wants an attribute")))?), false, None)?,
        false => Getter::new(None, false, None)?,
    };
    let test: Option<Arc<str>> = positional.next().map(|test| wants_text(Some(test), name)).transpose()?.map(|text| text.text);
    let arguments = Arguments { positional: positional.collect(), named };
    let mut taken = Vec::new();
    for item in interpreter.iterate(&value)? {
        let subject = getter.get(&item, interpreter)?;
        let passes = match &test {
            Some(test) => interpreter.test(test, subject, arguments.clone())?,
            None => subject.truth(),
        };
        if passes == name.starts_with("select") {
            taken.push(item);
        }
    }
    Ok(taken)
}

/// `unique`: the first of items that are equal.
pub(super) fn unique(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    let [case_sensitive, attribute] = arguments.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let getter = Getter::new(attribute, !truth(case_sensitive), None)?;
    let (mut seen, mut taken) = (HashSet::new(), Vec::new());
    for item in interpreter.iterate(&value)? {
        interpreter.meter.memory(64)?;
        if seen.insert(getter.get(&item, interpreter)?.key(&interpreter.meter)?) {
            taken.push(item);
        }
    }
    Ok(taken)
}

/// `batch`: lists of so many items. As in Python a list is full when its length equals the number, whatever that is.
pub(super) fn batch(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    let [count, fill] = arguments.bind("batch", ["linecount", "fill_with"], 1)?;
    let count = count.unwrap_or(Value::None);
    let mut lists = Vec::new();
    let mut list = Vec::new();
    for item in interpreter.iterate(&value)? {
        if equal(&list.len().into(), &count, &interpreter.meter)? {
            lists.push(Value::list(std::mem::take(&mut list), &interpreter.meter)?);
        }
        list.push(item);
    }
    if let Some(fill) = fill.filter(|fill| !list.is_empty() && !matches!(fill, Value::None))
        && less(&list.len().into(), &count, &interpreter.meter)?
    {
        let count = usize::try_from(wants_int(Some(count), 0, "batch")?).unwrap_or(0);
        interpreter.meter.text(count.checked_mul(size_of::<Value>()))?;
        list.resize(count, fill);
    }
    if !list.is_empty() {
        lists.push(Value::list(list, &interpreter.meter)?);
    }
    Ok(lists)
}

/// `slice`: so many lists.
pub(super) fn slices(value: Value, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Vec<Value>> {
    let [count, fill] = arguments.bind("slice", ["slices", "fill_with"], 1)?;
    let count = wants_int(count, 0, "slice")?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let items = interpreter.iterate(&value)?;
    if count == 0 {
        return Err(Error::new("slice cannot make 0 lists"));
    }
    let count = usize::try_from(count).unwrap_or(0);
    interpreter.meter.text(count.checked_mul(size_of::<Value>()))?;
    let (size, more) = (items.len() / count.max(1), items.len() % count.max(1));
    let mut rest = &items[..];
    let mut lists = Vec::new();
    for n in 0..count {
        let (list, after) = rest.split_at(size + usize::from(n < more));
        let fill = fill.clone().filter(|_| n >= more);
        lists.push(Value::list(list.iter().cloned().chain(fill).collect(), &interpreter.meter)?);
        rest = after;
    }
    Ok(lists)
}
