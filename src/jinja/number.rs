//! Python's numbers: formatting, rounding and division.

use super::jinja_error::{JinjaError, Result};
use std::cmp::Ordering;

/// The shortest text that parses back to the float, as Python formats it.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let text = format!("{value}");
        return if text.contains('.') { text } else { text + ".0" };
    }
    format!("{mantissa}e{}", exponent_text(exponent))
}

/// An exponent with its sign and at least two digits.
pub(super) fn exponent_text(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Formats a positive float like `e`.
pub(super) fn scientific(value: f64, precision: usize) -> String {
    let (mantissa, exponent) = powered(value, precision);
    format!("{mantissa}e{}", exponent_text(exponent))
}

/// Further digits of any float are zeros. Rust formats at most 65,535.
const DIGITS: usize = 1100;

/// Formats a positive float with `precision` decimals.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    let exact = precision.min(DIGITS);
    let zeros = if value.is_finite() { precision - exact } else { 0 };
    format!("{value:.exact$}") + &"0".repeat(zeros)
}

/// The same with one digit before the point, and the exponent.
fn powered(value: f64, precision: usize) -> (String, i32) {
    let exact = precision.min(DIGITS);
    let text = format!("{value:.exact$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_string() + &"0".repeat(precision - exact), exponent.parse().unwrap_or(0))
}

/// A float's digits with a point, for the flag `#`.
pub(super) fn with_point(mut text: String) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end > 0 && !text.contains('.') {
        text.insert(end, '.');
    }
    text
}

/// Formats a positive float like `g`; `alternate` (`#`) keeps trailing zeros, and `decimal` always writes a decimal or
/// an exponent.
pub(super) fn general(value: f64, precision: usize, alternate: bool, decimal: bool) -> String {
    let precision = precision.max(1);
    let (mantissa, exponent) = powered(value, precision - 1);
    let trim = |text: &str| match text.contains('.') && !alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if exponent < -4 || exponent >= precision as i32 - i32::from(decimal) {
        return format!("{}e{}", trim(&mantissa), exponent_text(exponent));
    }
    let text = trim(&fixed(value, (precision as i32 - 1 - exponent).max(0) as usize));
    if decimal && !text.contains('.') { text + ".0" } else { text }
}

/// Floor division of integers: quotient and remainder, which has the divisor's sign.
pub(super) fn int_divmod(a: i128, b: i128) -> Result<(i128, i128)> {
    if b == 0 {
        return Err(JinjaError::new("integer division or modulo by zero"));
    }
    let (quotient, rest) = (a.checked_div(b).ok_or_else(too_large)?, a.wrapping_rem(b));
    Ok(if rest != 0 && (rest < 0) != (b < 0) { (quotient - 1, rest + b) } else { (quotient, rest) })
}

/// Floor division of floats.
pub(super) fn float_divmod(a: f64, b: f64) -> Result<(f64, f64)> {
    if b == 0.0 {
        return Err(JinjaError::new("float division or modulo by zero"));
    }
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0.0_f64.copysign(b);
    }
    let mut floor = quotient.floor();
    if quotient == 0.0 {
        floor = 0.0_f64.copysign(a / b);
    } else if quotient - floor > 0.5 {
        floor += 1.0;
    }
    Ok((floor, rest))
}

/// A power of integers.
pub(super) fn int_pow(base: i128, exponent: i128) -> Result<i128> {
    match base {
        0 | 1 => return Ok(if exponent == 0 { 1 } else { base }),
        -1 => return Ok(if exponent % 2 == 0 { 1 } else { -1 }),
        _ => {}
    }
    u32::try_from(exponent).ok().and_then(|exponent| base.checked_pow(exponent)).ok_or_else(too_large)
}

/// A power of floats.
pub(super) fn float_pow(base: f64, exponent: f64) -> Result<f64> {
    if base == 0.0 && exponent < 0.0 {
        return Err(JinjaError::new("0.0 cannot be raised to a negative power"));
    }
    if base < 0.0 && base.is_finite() && exponent.fract() != 0.0 && exponent.is_finite() {
        return Err(JinjaError::new("complex numbers are not supported"));
    }
    let power = base.powf(exponent);
    if power.is_infinite() && base.is_finite() && exponent.is_finite() { Err(JinjaError::new("the result of ** is too large for a float")) } else { Ok(power) }
}

/// The error of an integer overflow.
pub(super) fn too_large() -> JinjaError {
    JinjaError::new("integers of more than 127 bits are not supported")
}

/// Compares an integer with a float exactly; nothing compares with NaN.
pub(super) fn compare_int_float(a: i128, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    if b.abs() >= 1.7e38 {
        return Some(if b > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = b.trunc();
    Some(a.cmp(&(whole as i128)).then_with(|| 0.0_f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal)))
}

/// Rounds a float to decimal digits, half to even.
pub(super) fn round_float(value: f64, digits: i128) -> f64 {
    if !value.is_finite() || digits > 330 {
        return value;
    }
    if digits >= 0 {
        return format!("{value:.*}", digits as usize).parse().unwrap_or(value);
    }
    if digits < -310 {
        return 0.0_f64.copysign(value);
    }
    let unit = 10_f64.powi(-digits as i32);
    (value / unit).round_ties_even() * unit
}

/// Rounds an integer to tens, hundreds and so on, half to even.
pub(super) fn round_int(value: i128, digits: i128) -> Result<i128> {
    if digits >= 0 {
        return Ok(value);
    }
    let Some(unit) = digits.checked_neg().and_then(|digits| u32::try_from(digits).ok()).and_then(|digits| 10_i128.checked_pow(digits)) else { return Ok(0) };
    let (quotient, rest) = int_divmod(value, unit)?;
    let up = rest > unit - rest || rest == unit - rest && quotient % 2 != 0;
    (quotient + i128::from(up)).checked_mul(unit).ok_or_else(too_large)
}

/// Strips spaces for parsing numbers, where U+001C to U+001F are not spaces, unlike elsewhere in Python.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| super::unicode::is_space(c) && !('\x1c'..='\x1f').contains(&c))
}

/// Parses an integer like `int()`.
pub(super) fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = trimmed(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = |base: u32| {
        let letter = match base {
            2 => 'b',
            8 => 'o',
            16 => 'x',
            _ => return None,
        };
        let rest = digits.strip_prefix('0')?;
        rest.strip_prefix(letter).or_else(|| rest.strip_prefix(letter.to_ascii_uppercase()))
    };
    let (base, digits) = match base {
        0 => match [2, 8, 16].into_iter().find_map(|base| Some((base, prefix(base)?))) {
            Some((base, digits)) => (base, digits.strip_prefix('_').unwrap_or(digits)),
            None if digits.starts_with('0') && digits.contains(|c: char| c != '0' && c != '_') => return None,
            None => (10, digits),
        },
        base => (base, prefix(base).map_or(digits, |digits| digits.strip_prefix('_').unwrap_or(digits))),
    };
    let plain = plain_digits(digits)?;
    let value = i128::from_str_radix(&plain, base).ok().filter(|_| !plain.starts_with(['+', '-']))?;
    Some(if negative { -value } else { value })
}

/// Converts digits of any script to ASCII, and removes underscores between digits.
fn plain_digits(text: &str) -> Option<String> {
    let misplaced = text.is_empty() || text.starts_with('_') || text.ends_with('_') || text.contains("__");
    let digit = |c: char| if c.is_ascii() { Some(c) } else { super::unicode::decimal_value(c).and_then(|value| char::from_digit(value, 10)) };
    if misplaced { None } else { text.chars().filter(|&c| c != '_').map(digit).collect() }
}

/// Parses a float like `float()`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = trimmed(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match &*unsigned.to_ascii_lowercase() {
        "inf" | "infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let between = |at: usize| {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_numeric());
        digit(unsigned[..at].chars().next_back()) && digit(unsigned[at + 1..].chars().next())
    };
    let placed = unsigned.match_indices('_').all(|(at, _)| between(at));
    let plain = plain_digits(unsigned).filter(|plain| placed && plain.starts_with(|c: char| c.is_ascii_digit() || c == '.'))?;
    let value: f64 = plain.parse().ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}
