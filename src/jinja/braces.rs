//! `str.format`.

use super::arguments::Arguments;
use super::ast::Name;
use super::jinja_error::{JinjaError, Result};
use super::runtime::Runtime;
use super::value::{Text, Value};
use super::{attributes, markup, print, spec};

/// How a format numbers its fields: the count of automatic ones, or by hand.
#[derive(Default)]
struct Numbering {
    automatic: usize,
    manual: bool,
}

/// `text.format(…)`. As in Python, a format spec may contain fields, up to a depth.
pub(super) fn format(text: &Text, arguments: &Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let formatted = fields(&text.text, text.safe, arguments, &mut Numbering::default(), 3, runtime)?;
    Ok(Value::text(formatted, text.safe))
}

fn fields(format: &str, safe: bool, arguments: &Arguments, numbering: &mut Numbering, depth: usize, runtime: &mut dyn Runtime) -> Result<String> {
    if depth == 0 {
        return Err(JinjaError::new("a format's fields are nested too deeply"));
    }
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        runtime.meter().text(Some(at + 8))?;
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(JinjaError::new("a format has a single '}'"));
        }
        let end = field_end(rest).ok_or_else(|| JinjaError::new("a format has a '{' without '}'"))?;
        let text = field(&rest[..end], safe, arguments, numbering, depth, runtime)?;
        runtime.meter().memory(text.len())?;
        out.push_str(&text);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    runtime.meter().memory(out.len())?;
    Ok(out)
}

/// The position of the brace that closes a field.
fn field_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn field(field: &str, safe: bool, arguments: &Arguments, numbering: &mut Numbering, depth: usize, runtime: &mut dyn Runtime) -> Result<String> {
    let bracket = field.find(']').filter(|_| field.find('[') < field.find([':', '!'])).unwrap_or(0);
    let name_end = field[bracket..].find(['!', ':']).map_or(field.len(), |at| bracket + at);
    let (name, rest) = field.split_at(name_end);
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => {
            let kind = rest.chars().next().filter(|kind| "rsa".contains(*kind)).ok_or_else(|| JinjaError::new("a format's conversion must be !r, !s or !a"))?;
            (Some(kind), rest[1..].strip_prefix(':').unwrap_or(""))
        }
        None => (None, rest.strip_prefix(':').unwrap_or("")),
    };
    let value = field_value(name, arguments, numbering, runtime)?;
    let spec = fields(spec, false, arguments, numbering, depth - 1, runtime)?;
    let value = match conversion {
        Some('r') => print::repr(&value, runtime.meter())?.into(),
        Some('a') => print::ascii_repr(&print::repr(&value, runtime.meter())?).into(),
        Some(_) => print::text(&value, runtime.meter())?.to_string().into(),
        None => value,
    };
    if value.is_safe() && safe && !spec.is_empty() {
        return Err(JinjaError::new("safe text cannot have a format spec"));
    }
    let text = spec::format(&value, &spec, runtime.meter())?;
    Ok(if safe && !value.is_safe() { markup::escape(&text) } else { text })
}

fn field_value(name: &str, arguments: &Arguments, numbering: &mut Numbering, runtime: &mut dyn Runtime) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut path) = name.split_at(end);
    let position = match first {
        "" if numbering.manual => return Err(JinjaError::new("a format cannot mix {} and {0}")),
        "" => {
            numbering.automatic += 1;
            Some(numbering.automatic - 1)
        }
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            if numbering.automatic > 0 {
                return Err(JinjaError::new("a format cannot mix {} and {0}"));
            }
            numbering.manual = true;
            digits.parse().ok()
        }
        _ => None,
    };
    let found = match position {
        Some(at) => arguments.positional.get(at),
        None => arguments.named.iter().find(|(name, _)| **name == *first).map(|(_, value)| value),
    };
    let mut value = found.cloned().ok_or_else(|| JinjaError::new(format!("a format uses '{name}', which was not given")))?;
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = attributes::attribute(&value, &Name::from(&rest[..end]), runtime)?;
            path = &rest[end..];
        } else {
            let rest = path.strip_prefix('[').ok_or_else(|| JinjaError::new("a format's field is malformed"))?;
            let end = rest.find(']').ok_or_else(|| JinjaError::new("a format's field lacks ']'"))?;
            let index = rest[..end].parse::<i128>().map_or_else(|_| Value::from(&rest[..end]), Value::Int);
            value = attributes::item(&value, &index, runtime)?;
            path = &rest[end + 1..];
        }
    }
    Ok(value)
}
