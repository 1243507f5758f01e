//! `%` formatting of strings.

use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::number::{fixed, float_repr, general, scientific, with_point};
use super::value::{Text, Value};
use super::{markup, print, spec};
use std::collections::VecDeque;

/// A conversion specifier.
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

/// The largest width or precision.
const MAX_WIDTH: usize = 1 << 20;

/// The remaining values, positional or by name.
struct FormatValues<'a> {
    rest: VecDeque<Value>,
    /// Values by name.
    named: Option<&'a Value>,
    /// True if positional values must all be used.
    counted: bool,
}

impl FormatValues<'_> {
    fn next(&mut self) -> Result<Value> {
        self.rest.pop_front().ok_or_else(|| JinjaError::new("a % format has more specifiers than values"))
    }
}

/// `text % values`.
pub(super) fn format(text: &Text, values: &Value, meter: &Meter) -> Result<Value> {
    let mut left = match values {
        Value::Tuple(items) => FormatValues { rest: items.items.iter().cloned().collect(), named: None, counted: true },
        Value::Dict(_) => FormatValues { rest: [values.clone()].into(), named: Some(values), counted: false },
        // A container may stay unused, as a mapping may.
        Value::List(_) | Value::Range(_) | Value::Bytes(_) | Value::Undefined(_) => FormatValues { rest: [values.clone()].into(), named: None, counted: false },
        other => FormatValues { rest: [other.clone()].into(), named: None, counted: true },
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
        return Err(JinjaError::new("a % format has fewer specifiers than values"));
    }
    Ok(Value::text(out, text.safe))
}

/// Formats one conversion after its `%`; returns the rest of the format.
fn conversion<'t>(format: &'t str, values: &mut FormatValues<'_>, safe: bool, out: &mut String, meter: &Meter) -> Result<&'t str> {
    let incomplete = || JinjaError::new("a % format is incomplete");
    let mut rest = format;
    let mut value = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let end = inner.find(')').ok_or_else(incomplete)?;
        let Some(Value::Dict(dict)) = values.named else { return Err(JinjaError::new("a % format with names needs a mapping")) };
        let key: Value = inner[..end].into();
        value = Some(
            dict.get(&key.key(meter)?).cloned().ok_or_else(|| JinjaError::new(format!("a % format uses '{}', which is not in the mapping", &inner[..end])))?,
        );
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
    usize::try_from(count).ok().filter(|&count| count <= MAX_WIDTH).ok_or_else(|| JinjaError::new("a format is too wide"))
}

fn star_or_digits<'t>(rest: &'t str, values: &mut FormatValues<'_>) -> Result<(Option<i128>, &'t str)> {
    if let Some(after) = rest.strip_prefix('*') {
        let width = values.next()?.as_int().ok_or_else(|| JinjaError::new("* in a % format expects an integer"))?;
        return Ok((Some(width), after));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    if end == 0 {
        return Ok((None, rest));
    }
    let width = rest[..end].parse().map_err(|_| JinjaError::new("a format is too wide"))?;
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
            _ => return Err(JinjaError::new(format!("a % format has no conversion '{kind}'"))),
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
    let wrong = || JinjaError::new("%c expects a character or its code");
    match value {
        Value::Str(text) if text.text.chars().count() == 1 => Ok(text.text.to_string()),
        other => other.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32).map(String::from).ok_or_else(wrong),
    }
}

fn type_error(value: &Value, kind: char) -> JinjaError {
    value.mismatch(format_args!("%{kind} expects a number"))
}

fn whole(value: &Value, kind: char) -> Result<i128> {
    match value {
        Value::Float(value) if value.is_finite() && value.abs() < 1.7e38 => Ok(value.trunc() as i128),
        other => integral(other, kind),
    }
}

fn integral(value: &Value, kind: char) -> Result<i128> {
    value.as_int().ok_or_else(|| type_error(value, kind))
}

fn real(value: &Value) -> Result<f64> {
    match value {
        Value::Float(value) => Ok(*value),
        other => Ok(integral(other, 'f')? as f64),
    }
}
