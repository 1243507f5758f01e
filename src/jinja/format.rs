//! Text with values put in: `%` and `str.format`.

use super::arguments::Arguments;
use super::ast::Name;
use super::interpret::Interpreter;
use super::meter::Meter;
use super::number::{fixed, float_repr, general, scientific, with_point};
use super::value::{Text, Value};
use super::{Error, Result, markup, operators, print, spec};
use std::collections::VecDeque;

/// A conversion of a `%` format.
#[derive(Default)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Characters that a format may ask for.
const WIDEST: usize = 1 << 20;

/// The values of a `%` format that are left, one by one or by name.
struct Values<'a> {
    rest: VecDeque<Value>,
    /// Values by name.
    named: Option<&'a Value>,
    /// True if positional values must all be used.
    counted: bool,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Value> {
        self.rest.pop_front().ok_or_else(|| Error::new("a % format has more places than values"))
    }
}

/// `text % values`.
pub(super) fn percent(text: &Text, values: &Value, meter: &Meter) -> Result<Value> {
    let mut left = match values {
        Value::Tuple(items) => Values { rest: items.items.iter().cloned().collect(), named: None, counted: true },
        Value::Dict(_) => Values { rest: [values.clone()].into(), named: Some(values), counted: false },
        // A value with items may stay unused, as a mapping may.
        Value::List(_) | Value::Range(_) | Value::Bytes(_) | Value::Undefined(_) => Values { rest: [values.clone()].into(), named: None, counted: false },
        other => Values { rest: [other.clone()].into(), named: None, counted: true },
    };
    let mut out = String::new();
    let mut rest = &*text.text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = conversion(&rest[at + 1..], &mut left, text.safe, &mut out, meter)?;
        meter.text(Some(at + 8))?;
    }
    out.push_str(rest);
    meter.memory(out.len())?;
    if left.counted && !left.rest.is_empty() {
        return Err(Error::new("a % format has fewer places than values"));
    }
    Ok(Value::text(out, text.safe))
}

/// One conversion behind its `%`; gives the text behind it.
fn conversion<'t>(format: &'t str, values: &mut Values<'_>, safe: bool, out: &mut String, meter: &Meter) -> Result<&'t str> {
    let incomplete = || Error::new("a % format is incomplete");
    let mut rest = format;
    let mut value = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let end = inner.find(')').ok_or_else(incomplete)?;
        let Some(Value::Dict(dict)) = values.named else { return Err(Error::new("a % format with names needs a mapping")) };
        let key: Value = inner[..end].into();
        value = Some(dict.get(&key.key(meter)?).cloned().ok_or_else(|| Error::new(format!("a % format names '{}', which is not there", &inner[..end])))?);
        rest = &inner[end + 1..];
    }
    let mut conversion = Conversion::default();
    loop {
        match rest.chars().next() {
            Some('-') => conversion.left = true,
            Some('+') => conversion.plus = true,
            Some(' ') => conversion.space = true,
            Some('0') => conversion.zero = true,
            Some('#') => conversion.alternate = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let (width, after) = star_or_digits(rest, values)?;
    conversion.left |= width.is_some_and(|width| width < 0);
    conversion.width = bounded(width.unwrap_or(0).unsigned_abs())?;
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = star_or_digits(after, values)?;
        conversion.precision = Some(bounded(precision.unwrap_or(0).max(0).unsigned_abs())?);
        rest = after;
    }
    rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
    let kind = rest.chars().next().ok_or_else(incomplete)?;
    rest = &rest[kind.len_utf8()..];
    if kind == '%' {
        out.push('%');
        return Ok(rest);
    }
    let value = match value {
        Some(value) => value,
        None => values.next()?,
    };
    meter.memory(conversion.width + conversion.precision.unwrap_or(0))?;
    conversion.write(kind, &value, safe, out, meter)?;
    Ok(rest)
}

fn bounded(count: u128) -> Result<usize> {
    usize::try_from(count).ok().filter(|&count| count <= WIDEST).ok_or_else(|| Error::new("a format is too wide"))
}

fn star_or_digits<'t>(rest: &'t str, values: &mut Values<'_>) -> Result<(Option<i128>, &'t str)> {
    if let Some(after) = rest.strip_prefix('*') {
        let width = values.next()?.as_int().ok_or_else(|| Error::new("* in a % format wants an integer"))?;
        return Ok((Some(width), after));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    if end == 0 {
        return Ok((None, rest));
    }
    let width = rest[..end].parse().map_err(|_| Error::new("a format is too wide"))?;
    Ok((Some(width), &rest[end..]))
}

impl Conversion {
    fn write(&self, kind: char, value: &Value, safe: bool, out: &mut String, meter: &Meter) -> Result<()> {
        let escape = |text: String| if safe && !value.is_safe() { markup::escape(&text) } else { text };
        match kind {
            's' => self.pad(&self.cut(&escape(print::text(value, meter)?.to_string())), out),
            'r' => self.pad(&self.cut(&escape(print::repr(value, meter)?)), out),
            'a' => self.pad(&self.cut(&print::ascii_repr(&escape(print::repr(value, meter)?))), out),
            'c' => self.pad(&character(value)?, out),
            'd' | 'i' | 'u' => self.integer(whole(value, kind)?, 10, kind, out),
            'o' => self.integer(integral(value, kind)?, 8, kind, out),
            'x' | 'X' => self.integer(integral(value, kind)?, 16, kind, out),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => self.float(real(value)?, kind, out),
            _ => return Err(Error::new(format!("a % format has no conversion '{kind}'"))),
        }
        Ok(())
    }

    fn cut<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str> {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect::<String>().into(),
            None => text.into(),
        }
    }

    fn pad(&self, text: &str, out: &mut String) {
        let fill = self.width.saturating_sub(text.chars().count());
        if !self.left {
            out.extend(std::iter::repeat_n(' ', fill));
        }
        out.push_str(text);
        if self.left {
            out.extend(std::iter::repeat_n(' ', fill));
        }
    }

    fn integer(&self, value: i128, base: u32, kind: char, out: &mut String) {
        let digits = spec::digits(value.unsigned_abs(), base, kind == 'X');
        let zeros = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let prefix = match kind {
            'o' if self.alternate => "0o",
            'x' if self.alternate => "0x",
            'X' if self.alternate => "0X",
            _ => "",
        };
        self.signed(value < 0, prefix, &("0".repeat(zeros) + &digits), out);
    }

    fn float(&self, value: f64, kind: char, out: &mut String) {
        let precision = self.precision.unwrap_or(6);
        let size = value.abs();
        let text = match kind.to_ascii_lowercase() {
            _ if !value.is_finite() => float_repr(size),
            'e' => scientific(size, precision),
            'f' => fixed(size, precision),
            _ => general(size, precision, self.alternate, false),
        };
        let text = if self.alternate { with_point(text) } else { text };
        let text = if kind.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
        self.signed(value.is_sign_negative() && !value.is_nan(), "", &text, out);
    }

    fn signed(&self, negative: bool, prefix: &str, digits: &str, out: &mut String) {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let fill = self.width.saturating_sub(sign.len() + prefix.len() + digits.len());
        match self.zero && !self.left {
            true => out.push_str(&[sign, prefix, &"0".repeat(fill), digits].concat()),
            false => self.pad(&[sign, prefix, digits].concat(), out),
        }
    }
}

fn character(value: &Value) -> Result<String> {
    let wrong = || Error::new("%c wants a character or its number");
    match value {
        Value::Str(text) if text.text.chars().count() == 1 => Ok(text.text.to_string()),
        other => other.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32).map(String::from).ok_or_else(wrong),
    }
}

fn wanted(value: &Value, kind: char) -> Error {
    if value.is_undefined() { operators::undefined(value) } else { Error::new(format!("%{kind} wants a number, not '{}'", value.type_name())) }
}

fn whole(value: &Value, kind: char) -> Result<i128> {
    match value {
        Value::Float(value) if value.is_finite() && value.abs() < 1.7e38 => Ok(value.trunc() as i128),
        other => integral(other, kind),
    }
}

fn integral(value: &Value, kind: char) -> Result<i128> {
    value.as_int().ok_or_else(|| wanted(value, kind))
}

fn real(value: &Value) -> Result<f64> {
    match value {
        Value::Float(value) => Ok(*value),
        other => Ok(integral(other, 'f')? as f64),
    }
}

/// The state of `str.format`: how many values it took by themselves, or that it names them.
#[derive(Default)]
struct Numbering {
    automatic: usize,
    manual: bool,
}

/// `text.format(…)`. As in Python, a format may have fields, and so may theirs.
pub(super) fn braces(text: &Text, arguments: &Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let formatted = fields(&text.text, text.safe, arguments, &mut Numbering::default(), 3, interpreter)?;
    Ok(Value::text(formatted, text.safe))
}

fn fields(format: &str, safe: bool, arguments: &Arguments, numbering: &mut Numbering, depth: usize, interpreter: &mut Interpreter<'_>) -> Result<String> {
    if depth == 0 {
        return Err(Error::new("a format's fields are nested too deeply"));
    }
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        interpreter.meter.text(Some(at + 8))?;
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(Error::new("a format has a single '}'"));
        }
        let end = field_end(rest).ok_or_else(|| Error::new("a format has a '{' without '}'"))?;
        let text = field(&rest[..end], safe, arguments, numbering, depth, interpreter)?;
        interpreter.meter.memory(text.len())?;
        out.push_str(&text);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    interpreter.meter.memory(out.len())?;
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

fn field(field: &str, safe: bool, arguments: &Arguments, numbering: &mut Numbering, depth: usize, interpreter: &mut Interpreter<'_>) -> Result<String> {
    let bracket = field.find(']').filter(|_| field.find('[') < field.find([':', '!'])).unwrap_or(0);
    let name_end = field[bracket..].find(['!', ':']).map_or(field.len(), |at| bracket + at);
    let (name, rest) = field.split_at(name_end);
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => {
            let kind = rest.chars().next().filter(|kind| "rsa".contains(*kind)).ok_or_else(|| Error::new("a format converts by !r, !s or !a"))?;
            (Some(kind), rest[1..].strip_prefix(':').unwrap_or(""))
        }
        None => (None, rest.strip_prefix(':').unwrap_or("")),
    };
    let value = field_value(name, arguments, numbering, interpreter)?;
    let spec = fields(spec, false, arguments, numbering, depth - 1, interpreter)?;
    let value = match conversion {
        Some('r') => print::repr(&value, &interpreter.meter)?.into(),
        Some('a') => print::ascii_repr(&print::repr(&value, &interpreter.meter)?).into(),
        Some(_) => print::text(&value, &interpreter.meter)?.to_string().into(),
        None => value,
    };
    if value.is_safe() && safe && !spec.is_empty() {
        return Err(Error::new("text that is marked safe takes no format"));
    }
    let text = spec::format(&value, &spec, &interpreter.meter)?;
    Ok(if safe && !value.is_safe() { markup::escape(&text) } else { text })
}

fn field_value(name: &str, arguments: &Arguments, numbering: &mut Numbering, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut path) = name.split_at(end);
    let position = match first {
        "" if numbering.manual => return Err(Error::new("a format cannot mix {} and {0}")),
        "" => {
            numbering.automatic += 1;
            Some(numbering.automatic - 1)
        }
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            if numbering.automatic > 0 {
                return Err(Error::new("a format cannot mix {} and {0}"));
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
    let mut value = found.cloned().ok_or_else(|| Error::new(format!("a format names '{name}', which is not there")))?;
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = interpreter.attribute(&value, &Name::from(&rest[..end]))?;
            path = &rest[end..];
        } else {
            let rest = path.strip_prefix('[').ok_or_else(|| Error::new("a format's field is malformed"))?;
            let end = rest.find(']').ok_or_else(|| Error::new("a format's field lacks ']'"))?;
            let index = rest[..end].parse::<i128>().map_or_else(|_| Value::from(&rest[..end]), Value::Int);
            value = interpreter.item(&value, &index)?;
            path = &rest[end + 1..];
        }
    }
    Ok(value)
}
