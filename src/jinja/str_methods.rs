//! Methods of strings.

use super::arguments::{Arguments, expect_int, expect_text, is_true};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::runtime::Runtime;
use super::unicode::{self, is_space};
use super::value::{Text, Value};
use super::{braces, encodings, markup};

/// Calls a method of a string.
pub(super) fn call(text: &Text, name: &str, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    runtime.meter().memory(text.text.len())?;
    let same = |result: String| Value::text(result, text.safe);
    let whole = &*text.text;
    match name {
        "format" => return braces::format(text, &arguments, runtime),
        "format_map" => return format_map(text, arguments, runtime),
        "join" => return join(text, arguments, runtime),
        "split" | "rsplit" | "splitlines" | "partition" | "rpartition" => return split(text, name, arguments, runtime.meter()),
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => return search(whole, name, arguments, runtime.meter()),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = arguments.bind(name, [if text.safe { "chars" } else { "" }], 0)?;
            return Ok(same(strip(whole, name, chars)?.into()));
        }
        "replace" => return replace(text, arguments, runtime.meter()),
        "removeprefix" | "removesuffix" => {
            let [part] = arguments.bind(name, [""], 1)?;
            let part = expect_text(part, name)?;
            let cut = if name == "removeprefix" { whole.strip_prefix(&*part.text) } else { whole.strip_suffix(&*part.text) };
            return Ok(same(cut.unwrap_or(whole).into()));
        }
        "center" | "ljust" | "rjust" | "zfill" | "expandtabs" => return filled(text, name, arguments, runtime.meter()),
        "encode" => return encodings::encode(whole, arguments),
        "translate" | "maketrans" => return encodings::translate(text, name, arguments, runtime.meter()),
        _ => {}
    }
    if name == "escape" {
        let [value] = arguments.bind(name, ["s"], 1)?;
        return markup::escape_value(&value.unwrap_or(Value::None), runtime.meter());
    }
    arguments.none(name)?;
    Ok(match name {
        "upper" => same(whole.to_uppercase()),
        "lower" => same(whole.to_lowercase()),
        "casefold" => same(unicode::casefold(whole)),
        "title" => same(title(whole)),
        "capitalize" => same(capitalize(whole)),
        "swapcase" => same(swap_case(whole)),
        "striptags" => markup::strip_tags(whole).into(),
        "unescape" => markup::unescape(whole).into(),
        _ => Value::Bool(is(whole, name)),
    })
}

/// The methods of strings that begin with `is`.
pub(super) fn is(text: &str, name: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let cased = |c: char| c.is_lowercase() || c.is_uppercase() || unicode::is_title(c);
    match name {
        "isalnum" => all(unicode::is_alnum),
        "isalpha" => all(unicode::is_alpha),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(unicode::is_decimal),
        "isdigit" => all(unicode::is_digit),
        "isnumeric" => all(unicode::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => text.chars().all(unicode::is_printable),
        "isidentifier" => text.starts_with(unicode::begins_name) && all(unicode::continues_name),
        "islower" => text.chars().any(cased) && text.chars().all(|c| !cased(c) || c.is_lowercase()),
        "isupper" => text.chars().any(cased) && text.chars().all(|c| !cased(c) || c.is_uppercase()),
        "istitle" => {
            let mut inside = false;
            let in_place = |c: char| {
                let fits = if c.is_uppercase() || unicode::is_title(c) { !inside } else { !c.is_lowercase() || inside };
                inside = cased(c);
                fits
            };
            text.chars().any(cased) && text.chars().all(in_place)
        }
        _ => false,
    }
}

fn strip<'t>(text: &'t str, name: &str, chars: Option<Value>) -> Result<&'t str> {
    let chars = match chars {
        None | Some(Value::None) => None,
        some => Some(expect_text(some, name)?.text),
    };
    let set = |c: char| chars.as_ref().map_or(is_space(c), |chars| chars.contains(c));
    Ok(match name {
        "strip" => text.trim_matches(set),
        "lstrip" => text.trim_start_matches(set),
        _ => text.trim_end_matches(set),
    })
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => unicode::title_case(c, &mut out),
        }
        inside = c.is_lowercase() || c.is_uppercase() || unicode::is_title(c);
    }
    out
}

fn capitalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    if let Some(first) = chars.next() {
        unicode::title_case(first, &mut out);
    }
    // Lowercase the whole word, so that a final sigma is recognized.
    let lower = text.to_lowercase();
    let skipped: usize = text.chars().next().map_or(0, |first| first.to_lowercase().map(char::len_utf8).sum());
    out.push_str(&lower[skipped..]);
    out
}

fn swap_case(text: &str) -> String {
    let lower = text.to_lowercase();
    // The lowercase of a sigma depends on its context.
    let mut sigmas = lower.chars().filter(|c| matches!(c, 'σ' | 'ς'));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let sigma = if matches!(c, 'Σ' | 'σ' | 'ς') { sigmas.next() } else { None };
        match sigma {
            Some(sigma) if c == 'Σ' => out.push(sigma),
            _ if c.is_uppercase() => out.extend(c.to_lowercase()),
            _ if c.is_lowercase() => out.extend(c.to_uppercase()),
            _ => out.push(c),
        }
    }
    out
}

fn format_map(text: &Text, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [map] = arguments.bind("format_map", [""], 1)?;
    let Some(Value::Dict(dict)) = map else { return Err(JinjaError::new("format_map expects a mapping")) };
    let named = dict.entries.iter().filter_map(|(key, value)| key.as_str().map(|key| (key.into(), value.clone()))).collect();
    braces::format(text, &Arguments { positional: Vec::new(), named }, runtime)
}

fn join(text: &Text, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [items] = arguments.bind("join", [""], 1)?;
    let items = runtime.iterate(&items.unwrap_or(Value::None))?;
    let mut out = String::new();
    for (n, item) in items.iter().enumerate() {
        out.push_str(if n > 0 { &text.text } else { "" });
        match item {
            Value::Str(part) if !text.safe => out.push_str(&part.text),
            part if text.safe => out.push_str(markup::escape_value(part, runtime.meter())?.as_str().unwrap_or_default()),
            other => return Err(JinjaError::new(format!("join expects texts, but item {n} is '{}'", other.type_name()))),
        }
        runtime.meter().memory(text.text.len() + item.as_str().map_or(0, str::len) + 8)?;
    }
    Ok(Value::text(out, text.safe))
}

fn split(text: &Text, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let whole = &*text.text;
    let parts: Vec<&str> = match name {
        "splitlines" => {
            let [keep] = arguments.bind(name, ["keepends"], 0)?;
            unicode::split_lines(whole, is_true(keep))
        }
        "partition" | "rpartition" => {
            let [separator] = arguments.bind(name, [""], 1)?;
            return partition(text, name, &separator_text(separator, name)?, meter);
        }
        _ => {
            let [separator, max_splits] = arguments.bind(name, ["sep", "maxsplit"], 0)?;
            let max_splits = usize::try_from(expect_int(max_splits, -1, name)?).unwrap_or(usize::MAX);
            match separator {
                None | Some(Value::None) if name == "split" => split_space(whole, max_splits),
                None | Some(Value::None) => rsplit_space(whole, max_splits),
                some => {
                    let separator = separator_text(some, name)?;
                    match name {
                        "split" => whole.splitn(max_splits.saturating_add(1), &*separator.text).collect(),
                        _ => {
                            let mut parts: Vec<_> = whole.rsplitn(max_splits.saturating_add(1), &*separator.text).collect();
                            parts.reverse();
                            parts
                        }
                    }
                }
            }
        }
    };
    meter.memory(parts.len() * (size_of::<Value>() + 16))?;
    Value::list(parts.into_iter().map(|part| Value::text(part, text.safe)).collect(), meter)
}

fn separator_text(separator: Option<Value>, name: &str) -> Result<Text> {
    let separator = expect_text(separator, name)?;
    if separator.text.is_empty() { Err(JinjaError::new(format!("{name} expects a separator that is not empty"))) } else { Ok(separator) }
}

fn partition(text: &Text, name: &str, separator: &Text, meter: &Meter) -> Result<Value> {
    let whole = &*text.text;
    let at = if name == "partition" { whole.find(&*separator.text) } else { whole.rfind(&*separator.text) };
    let parts = match at {
        Some(at) => [&whole[..at], &separator.text, &whole[at + separator.text.len()..]],
        None if name == "partition" => [whole, "", ""],
        None => ["", "", whole],
    };
    Value::tuple(parts.map(|part| Value::text(part, text.safe)).into(), meter)
}

/// Splits at whitespace, at most `max_splits` times.
fn split_space(text: &str, max_splits: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == max_splits {
            parts.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

/// The same from the end.
fn rsplit_space(text: &str, max_splits: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == max_splits {
            parts.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|&(_, c)| is_space(c)).map_or(0, |(at, c)| at + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

/// Converts a position in characters to one in bytes, clipped to the text; negative ones count from the end.
fn byte_at(text: &str, position: Option<Value>, default: usize, name: &str) -> Result<Option<usize>> {
    let position = match position {
        None | Some(Value::None) => return Ok(Some(default)),
        some => expect_int(some, 0, name)?,
    };
    let count = text.chars().count() as i128;
    let position = if position < 0 { (position + count).max(0) } else { position };
    if position > count {
        return Ok(None);
    }
    Ok(Some(text.char_indices().nth(position as usize).map_or(text.len(), |(at, _)| at)))
}

fn search(text: &str, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let [part, start, end] = arguments.bind(name, ["", "", ""], 1)?;
    let part = part.unwrap_or(Value::None);
    let start = byte_at(text, start, 0, name)?;
    let end = byte_at(text, end, text.len(), name)?.unwrap_or(text.len());
    let window = start.filter(|&start| start <= end).map(|start| (start, &text[start..end]));
    if matches!(name, "startswith" | "endswith") {
        return affix(window.map(|(_, window)| window), name, &part, meter).map(Value::Bool);
    }
    let part = expect_text(Some(part), name)?.text;
    let Some((start, window)) = window else {
        return if name.ends_with("index") { Err(JinjaError::new("the text was not found")) } else { Ok(Value::Int(if name == "count" { 0 } else { -1 })) };
    };
    if name == "count" {
        return Ok(Value::from(if part.is_empty() { window.chars().count() + 1 } else { window.matches(&*part).count() }));
    }
    let found = if name.starts_with('r') { window.rfind(&*part) } else { window.find(&*part) };
    match found {
        Some(at) => Ok(Value::from(text[..start + at].chars().count())),
        None if name.ends_with("index") => Err(JinjaError::new("the text was not found")),
        None => Ok(Value::Int(-1)),
    }
}

/// Returns true if a text starts or ends with another, or with one of a tuple.
fn affix(window: Option<&str>, name: &str, part: &Value, meter: &Meter) -> Result<bool> {
    let parts = match part {
        Value::Tuple(items) => &items.items[..],
        single => std::slice::from_ref(single),
    };
    for part in parts {
        meter.steps(1)?;
        let part = expect_text(Some(part.clone()), name)?.text;
        let fits = |window: &str| if name == "startswith" { window.starts_with(&*part) } else { window.ends_with(&*part) };
        if window.is_some_and(fits) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn replace(text: &Text, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let [old, new, count] = arguments.bind("replace", ["", "", ""], 2)?;
    let old = expect_text(old, "replace")?;
    let new = expect_text(new, "replace")?;
    let new = if text.safe { markup::escaped(&new).into() } else { new.text };
    replaced(&text.text, &old.text, &new, expect_int(count, -1, "replace")?, meter).map(|result| Value::text(result, text.safe))
}

/// Replaces a part of a text, at most `count` times unless it is negative.
pub(super) fn replaced(text: &str, old: &str, new: &str, count: i128, meter: &Meter) -> Result<String> {
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(found);
    meter.text(count.checked_mul(new.len()).and_then(|bytes| bytes.checked_add(text.len())))?;
    Ok(text.replacen(old, new, count))
}

fn filled(text: &Text, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let whole = &*text.text;
    if name == "expandtabs" {
        let [size] = arguments.bind(name, ["tabsize"], 0)?;
        let size = expect_int(size, 8, name)?.max(0);
        meter.text(usize::try_from(size).ok().and_then(|size| size.checked_mul(whole.matches('\t').count())))?;
        return Ok(Value::text(expand_tabs(whole, size as usize), text.safe));
    }
    let (width, fill) = match name {
        "zfill" => {
            let [width] = arguments.bind(name, [""], 1)?;
            (width, '0')
        }
        _ => {
            let [width, fill] = arguments.bind(name, ["", ""], 1)?;
            let fill = fill.map_or(Ok(" ".into()), |fill| expect_text(Some(fill), name).map(|text| text.text))?;
            let mut chars = fill.chars();
            match (chars.next(), chars.next()) {
                (Some(fill), None) => (width, fill),
                _ => return Err(JinjaError::new(format!("{name} expects a fill of one character"))),
            }
        }
    };
    let length = whole.chars().count();
    let missing = usize::try_from(expect_int(width, 0, name)?.max(0)).unwrap_or(usize::MAX).saturating_sub(length);
    meter.text(missing.checked_mul(fill.len_utf8()))?;
    let run = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    let padded = match name {
        "ljust" => format!("{whole}{}", run(missing)),
        "rjust" => format!("{}{whole}", run(missing)),
        "center" => {
            // An odd remainder goes to the left if the width is odd.
            let left = missing / 2 + (missing & (length + missing) & 1);
            format!("{}{whole}{}", run(left), run(missing - left))
        }
        _ => {
            let sign = usize::from(whole.starts_with(['+', '-']));
            format!("{}{}{}", &whole[..sign], run(missing), &whole[sign..])
        }
    };
    Ok(Value::text(padded, text.safe))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let fill = size - column % size;
                out.extend(std::iter::repeat_n(' ', fill));
                column += fill;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}
