//! Python's `pprint`.

use super::jinja_error::Result;
use super::meter::Meter;
use super::print::{repr, string_repr};
use super::unicode::{is_space, split_lines};
use super::value::{Text, Value};

/// Columns per line.
const WIDTH: usize = 80;

/// Formats a value over several lines.
pub(super) fn pretty(value: &Value, meter: &Meter) -> Result<String> {
    let mut out = String::new();
    Pretty { out: &mut out, meter }.value(&sorted(value, meter)?, 0, 0, 0)?;
    Ok(out)
}

/// Sorts mappings by key, recursively.
fn sorted(value: &Value, meter: &Meter) -> Result<Value> {
    meter.deeper(|| match value {
        Value::List(items) => Value::list(items.items.iter().map(|item| sorted(item, meter)).collect::<Result<_>>()?, meter),
        Value::Tuple(items) => Value::tuple(items.items.iter().map(|item| sorted(item, meter)).collect::<Result<_>>()?, meter),
        Value::Dict(dict) => {
            let mut entries = Vec::new();
            for (key, value) in &dict.entries {
                entries.push((key.clone(), sorted(value, meter)?));
            }
            // Keys that cannot be compared are sorted by type name.
            let order =
                |key: &Value| (if key.as_int().is_some() || matches!(key, Value::Float(_)) { "" } else { key.type_name() }, key.as_str().map(str::to_string));
            entries.sort_by(|(a, _), (b, _)| {
                let numbers = |a: &Value| if let Value::Float(value) = a { Some(*value) } else { a.as_int().map(|value| value as f64) };
                match (numbers(a), numbers(b)) {
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    _ => order(a).cmp(&order(b)),
                }
            });
            Value::dict(entries, meter)
        }
        other => Ok(other.clone()),
    })
}

struct Pretty<'a> {
    out: &'a mut String,
    meter: &'a Meter,
}

impl Pretty<'_> {
    fn line(&mut self, indent: usize) -> Result<()> {
        self.meter.memory(indent + 1)?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        Ok(())
    }

    /// Writes a value after `indent` columns, with `allowance` columns reserved for what follows.
    fn value(&mut self, value: &Value, indent: usize, allowance: usize, level: usize) -> Result<()> {
        self.meter.enter()?;
        let text = repr(value, self.meter)?;
        let fits = text.chars().count() + indent + allowance <= WIDTH;
        match value {
            Value::Dict(dict) if !fits => {
                self.out.push('{');
                for (n, (key, item)) in dict.entries.iter().enumerate() {
                    if n > 0 {
                        self.out.push(',');
                        self.line(indent + 1)?;
                    }
                    let key = repr(key, self.meter)?;
                    self.out.push_str(&key);
                    self.out.push_str(": ");
                    let last = n + 1 == dict.entries.len();
                    self.value(item, indent + 1 + key.chars().count() + 2, if last { allowance + 1 } else { 1 }, level + 1)?;
                }
                self.out.push('}');
            }
            Value::List(items) if !fits => self.items(&items.items, ["[", "]"], indent, allowance, level)?,
            Value::Tuple(items) if !fits => self.items(&items.items, ["(", if items.items.len() == 1 { ",)" } else { ")" }], indent, allowance, level)?,
            Value::Str(Text { text, safe: false }) if !fits && !text.is_empty() => self.string(text, indent, allowance, level + 1)?,
            _ => self.out.push_str(&text),
        }
        self.meter.leave();
        Ok(())
    }

    fn items(&mut self, items: &[Value], [open, close]: [&str; 2], indent: usize, allowance: usize, level: usize) -> Result<()> {
        self.out.push_str(open);
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
                self.line(indent + 1)?;
            }
            let last = n + 1 == items.len();
            self.value(item, indent + 1, if last { allowance + close.len() } else { 1 }, level + 1)?;
        }
        self.out.push_str(close);
        Ok(())
    }

    fn string(&mut self, text: &str, mut indent: usize, mut allowance: usize, level: usize) -> Result<()> {
        if level == 1 {
            (indent, allowance) = (indent + 1, allowance + 1);
        }
        let width = |text: &str| string_repr(text).chars().count();
        let max_width = WIDTH.saturating_sub(indent);
        let lines = split_lines(text, true);
        let mut chunks = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            let last = n + 1 == lines.len();
            if width(line) <= max_width.saturating_sub(if last { allowance } else { 0 }) {
                chunks.push(string_repr(line));
                continue;
            }
            let parts = parts(line);
            let mut current = String::new();
            for (m, part) in parts.iter().enumerate() {
                self.meter.memory(current.len() + part.len())?;
                let available = max_width.saturating_sub(if last && m + 1 == parts.len() { allowance } else { 0 });
                let candidate = format!("{current}{part}");
                if width(&candidate) > available {
                    if !current.is_empty() {
                        chunks.push(string_repr(&current));
                    }
                    current = part.to_string();
                } else {
                    current = candidate;
                }
            }
            if !current.is_empty() {
                chunks.push(string_repr(&current));
            }
        }
        let brackets = level == 1 && chunks.len() > 1;
        self.out.push_str(if brackets { "(" } else { "" });
        for (n, chunk) in chunks.iter().enumerate() {
            if n > 0 {
                self.line(indent)?;
            }
            self.out.push_str(chunk);
        }
        self.out.push_str(if brackets { ")" } else { "" });
        Ok(())
    }
}

/// Splits a line into words, each with the spaces after it.
fn parts(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let end = rest[word..].find(|c| !is_space(c)).map_or(rest.len(), |spaces| word + spaces);
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}
