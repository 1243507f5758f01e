//! Format specs, after `:` in `str.format`.

use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::number::{fixed, float_repr, general, scientific, with_point};
use super::print;
use super::value::Value;

/// A parsed format spec.
#[derive(Default)]
struct FormatSpec {
    fill: char,
    align: Option<char>,
    sign: Option<char>,
    /// `z`: a value that rounds to zero has no minus sign.
    positive_zero: bool,
    alternate: bool,
    /// `0` before the width.
    zeros: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// The largest width or precision.
const MAX_WIDTH: usize = 1 << 20;

/// Formats a value by a spec.
pub(super) fn format(value: &Value, spec: &str, meter: &Meter) -> Result<String> {
    if spec.is_empty() {
        return Ok(print::text(value, meter)?.to_string());
    }
    let parsed = parse(spec).ok_or_else(|| JinjaError::new(format!("the format '{spec}' is invalid")))?;
    meter.memory(parsed.width + parsed.precision.unwrap_or(0))?;
    let unknown = || JinjaError::new(format!("'{}' does not support the format '{spec}'", value.type_name()));
    match value {
        Value::Str(text) => parsed.text(&text.text).ok_or_else(unknown),
        Value::Bool(_) | Value::Int(_) => parsed.integer(value.as_int().unwrap_or(0)).ok_or_else(unknown),
        Value::Float(value) => parsed.float(*value).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

fn parse(spec: &str) -> Option<FormatSpec> {
    let chars: Vec<char> = spec.chars().collect();
    let mut at = 0;
    let is_align = |c: Option<&char>| c.is_some_and(|c| "<>=^".contains(*c));
    let mut parsed = FormatSpec { fill: ' ', ..FormatSpec::default() };
    let filled = is_align(chars.get(1));
    if filled {
        (parsed.fill, parsed.align, at) = (chars[0], Some(chars[1]), 2);
    } else if is_align(chars.first()) {
        (parsed.align, at) = (Some(chars[0]), 1);
    }
    let skip = |at: &mut usize, accepted: &str| chars.get(*at).copied().filter(|c| accepted.contains(*c)).inspect(|_| *at += 1);
    parsed.sign = skip(&mut at, "+- ");
    parsed.positive_zero = skip(&mut at, "z").is_some();
    parsed.alternate = skip(&mut at, "#").is_some();
    // After a fill character, a zero belongs to the width.
    if !filled && skip(&mut at, "0").is_some() {
        (parsed.fill, parsed.zeros) = ('0', true);
    }
    let number = |at: &mut usize| {
        let digits: String = chars[*at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        *at += digits.len();
        if digits.is_empty() { None } else { digits.parse::<usize>().ok().filter(|&count| count <= MAX_WIDTH) }
    };
    if chars.get(at).is_some_and(char::is_ascii_digit) {
        parsed.width = number(&mut at)?;
    }
    parsed.grouping = skip(&mut at, ",_");
    if skip(&mut at, ".").is_some() {
        parsed.precision = Some(number(&mut at)?);
    }
    parsed.kind = skip(&mut at, "bcdeEfFgGnosxX%");
    let grouped = match parsed.grouping {
        None => true,
        Some(',') => parsed.kind.is_none_or(|kind| "deEfFgG%".contains(kind)),
        Some(_) => parsed.kind.is_none_or(|kind| "deEfFgG%boxX".contains(kind)),
    };
    (at == chars.len() && grouped).then_some(parsed)
}

/// Formats an integer in a base.
pub(super) fn digits(value: u128, base: u32, upper: bool) -> String {
    match (base, upper) {
        (2, _) => format!("{value:b}"),
        (8, _) => format!("{value:o}"),
        (16, false) => format!("{value:x}"),
        (16, true) => format!("{value:X}"),
        _ => value.to_string(),
    }
}

impl FormatSpec {
    /// The alignment of a number.
    fn number_align(&self) -> char {
        self.align.unwrap_or(if self.zeros { '=' } else { '>' })
    }

    fn padded(&self, sign: &str, body: &str, align: char) -> String {
        let fill = self.width.saturating_sub(sign.chars().count() + body.chars().count());
        let filled = |count: usize| std::iter::repeat_n(self.fill, count).collect::<String>();
        match align {
            '<' => format!("{sign}{body}{}", filled(fill)),
            '^' => format!("{}{sign}{body}{}", filled(fill / 2), filled(fill - fill / 2)),
            '=' => format!("{sign}{}{body}", filled(fill)),
            _ => format!("{}{sign}{body}", filled(fill)),
        }
    }

    fn text(&self, text: &str) -> Option<String> {
        let fits = self.kind.is_none_or(|kind| kind == 's') && self.grouping.is_none() && self.align != Some('=');
        if !fits || self.is_signed() {
            return None;
        }
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        Some(self.padded("", &cut, self.align.unwrap_or('<')))
    }

    /// Returns true if it has options that only numbers support.
    fn is_signed(&self) -> bool {
        self.sign.is_some() || self.positive_zero || self.alternate
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (_, Some('+')) => "+",
            (_, Some(' ')) => " ",
            _ => "",
        }
    }

    /// Adds separators to digits, and zeros before them to fill the width.
    fn grouped(&self, whole: &str, rest: &str, sign: usize, every: usize) -> String {
        let Some(separator) = self.grouping.filter(|_| !whole.is_empty()) else { return format!("{whole}{rest}") };
        let join = |digits: &str| {
            let first = (digits.len() - 1) % every + 1;
            let mut out = digits[..first].to_string();
            for start in (first..digits.len()).step_by(every) {
                out.push(separator);
                out.push_str(&digits[start..start + every]);
            }
            out
        };
        let zeros = self.fill == '0' && self.number_align() == '=';
        let mut count = whole.len();
        while zeros && count + (count - 1) / every + rest.len() + sign < self.width {
            count += 1;
        }
        join(&("0".repeat(count - whole.len()) + whole)) + rest
    }

    fn integer(&self, value: i128) -> Option<String> {
        if matches!(self.kind, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) {
            return self.float(value as f64);
        }
        if self.precision.is_some() || self.positive_zero {
            return None;
        }
        if self.kind == Some('c') {
            if self.is_signed() {
                return None;
            }
            let c = u32::try_from(value).ok().and_then(char::from_u32)?;
            return Some(self.padded("", &c.to_string(), self.number_align()));
        }
        let (base, prefix) = match self.kind {
            Some('b') => (2, "0b"),
            Some('o') => (8, "0o"),
            Some('x') => (16, "0x"),
            Some('X') => (16, "0X"),
            None | Some('d' | 'n') => (10, ""),
            _ => return None,
        };
        let sign = [self.sign_of(value < 0), if self.alternate { prefix } else { "" }].concat();
        let digits = digits(value.unsigned_abs(), base, self.kind == Some('X'));
        let body = self.grouped(&digits, "", sign.len(), if base == 10 { 3 } else { 4 });
        Some(self.padded(&sign, &body, self.number_align()))
    }

    fn float(&self, value: f64) -> Option<String> {
        let size = value.abs();
        let precision = self.precision.unwrap_or(6);
        let text = match self.kind.map(|kind| kind.to_ascii_lowercase()) {
            None | Some('e' | 'f' | 'g' | 'n') if !value.is_finite() => float_repr(size),
            Some('e') => scientific(size, precision),
            Some('f') => fixed(size, precision),
            Some('g' | 'n') => general(size, precision, self.alternate, false),
            Some('%') if !value.is_finite() => float_repr(size) + "%",
            Some('%') => fixed(size * 100.0, precision) + "%",
            None => match self.precision {
                Some(precision) => general(size, precision, self.alternate, true),
                None => float_repr(size),
            },
            _ => return None,
        };
        let text = if self.alternate { with_point(text) } else { text };
        let zero = !text.split('e').next().unwrap_or_default().contains(|c: char| c.is_ascii_digit() && c != '0');
        let text = if self.kind.is_some_and(|kind| kind.is_ascii_uppercase()) { text.to_ascii_uppercase() } else { text };
        let positive = value.is_nan() || self.positive_zero && value.is_finite() && zero;
        let sign = self.sign_of(value.is_sign_negative() && !positive);
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let body = if value.is_finite() { self.grouped(&text[..end], &text[end..], sign.len(), 3) } else { text };
        Some(self.padded(sign, &body, self.number_align()))
    }
}
