//! JSON as Python reads it, and duplicate names in objects, which parsers accept silently.

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Prefix of the texts that stand for NaN, Infinity and -Infinity, which JSON lacks.
const PREFIX: char = '\0';

/// Numbers that Python reads and writes, but JSON lacks.
const NAMES: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Prefix of the texts that stand for integers of more than 64 bits.
const INTEGER: &str = "\0integer ";

/// Parses JSON as Python does: NaN and the infinities (as texts, see [`special_number`]), numbers too large for a float (as
/// infinities), and unpaired surrogates (as U+FFFD). `parse` is called a second time if it fails only for these.
pub fn as_python<T, E>(text: &[u8], parse: impl Fn(&[u8]) -> Result<T, E>) -> Result<T, E> {
    let problem = match parse(text) {
        Ok(parsed) => return Ok(parsed),
        Err(problem) => problem,
    };
    match strict(text) {
        Cow::Borrowed(_) => Err(problem),
        Cow::Owned(text) => parse(&text),
    }
}

/// Parses JSON as [`as_python`], with Python's integers: `-0` is 0, and those of 65 to 127 bits become texts, see
/// [`integer`]. Longer ones become floats.
pub fn with_integers<T, E>(text: &[u8], parse: impl Fn(&[u8]) -> Result<T, E>) -> Result<T, E> {
    match exact(text) {
        // Errors quote the row as it is in the file.
        Cow::Owned(exact) => as_python(&exact, &parse).or_else(|_| as_python(text, &parse)),
        Cow::Borrowed(text) => as_python(text, parse),
    }
}

/// The integer of more than 64 bits that a text stands for, if it does.
pub fn integer(text: &str) -> Option<i128> {
    text.strip_prefix(INTEGER)?.parse().ok()
}

/// Parses a JSON value, as Python does.
pub fn value(text: &[u8]) -> Result<Value, serde_json::Error> {
    as_python(text, |text| serde_json::from_slice(text))
}

/// The name of the number that a text stands for, if JSON lacks it.
pub fn special_number(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX).filter(|name| NAMES.contains(name))
}

/// Returns true if a value contains a number that JSON lacks.
pub fn has_special_number(value: &Value) -> bool {
    match value {
        Value::String(text) => special_number(text).is_some(),
        Value::Array(list) => list.iter().any(has_special_number),
        Value::Object(fields) => fields.values().any(has_special_number),
        _ => false,
    }
}

/// Rewrites the text as strict JSON where it differs.
fn strict(text: &[u8]) -> Cow<'_, [u8]> {
    replaced(text, |rest, quoted| match rest[0] {
        b'\\' if quoted => surrogate(rest),
        b'N' | b'I' | b'-' | b'0'..=b'9' if !quoted => overflowing(rest),
        _ => (1, None),
    })
}

/// Replaces integers that Python reads differently.
fn exact(text: &[u8]) -> Cow<'_, [u8]> {
    replaced(text, |rest, quoted| match rest[0] {
        b'\\' if quoted => (2, None),
        b'-' | b'0'..=b'9' if !quoted => big_integer(rest),
        _ => (1, None),
    })
}

/// Replaces pieces of the text. `piece` receives the rest of the text, and true within quotes; it returns the length of
/// the piece there, and its replacement.
fn replaced(text: &[u8], piece: impl Fn(&[u8], bool) -> (usize, Option<String>)) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    // The number of bytes copied to `out`.
    let mut copied = 0;
    let mut at = 0;
    let mut quoted = false;
    while at < text.len() {
        quoted ^= text[at] == b'"';
        let (length, by) = piece(&text[at..], quoted);
        if let Some(by) = by {
            out.extend_from_slice(&text[copied..at]);
            out.extend(by.as_bytes());
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// The length of an escape, and its replacement if it is an unpaired surrogate.
fn surrogate(text: &[u8]) -> (usize, Option<String>) {
    let Some(first) = unit(text) else { return (2, None) };
    match first {
        0xd800..=0xdbff if text.get(6..).and_then(unit).is_some_and(|second| (0xdc00..=0xdfff).contains(&second)) => (12, None),
        0xd800..=0xdfff => (6, Some("\\ufffd".into())),
        _ => (6, None),
    }
}

/// The code unit of an escape such as `\u00e9`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The length of a name of [`NAMES`], and its replacement.
fn special_name(text: &[u8]) -> (usize, Option<String>) {
    let name = NAMES.iter().find(|name| text.starts_with(name.as_bytes()));
    name.map_or((1, None), |name| (name.len(), Some(format!("\"\\u0000{name}\""))))
}

/// The length of a number or a name of [`NAMES`], and its replacement if it overflows a float.
fn overflowing(text: &[u8]) -> (usize, Option<String>) {
    let Some((length, whole)) = number(text) else { return special_name(text) };
    let value: Option<f64> = std::str::from_utf8(&text[..length]).ok().filter(|_| !whole).and_then(|text| text.parse().ok());
    let name = value.filter(|value| value.is_infinite()).map(|value| if value > 0.0 { "Infinity" } else { "-Infinity" });
    (length, name.map(|name| format!("\"\\u0000{name}\"")))
}

/// The length of a number, and its replacement if it is an integer of more than 64 bits, or `-0`.
fn big_integer(text: &[u8]) -> (usize, Option<String>) {
    let Some((length, whole)) = number(text) else { return (1, None) };
    let digits = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let by = match digits.parse::<i128>() {
        Ok(0) if whole && digits.starts_with('-') => Some("0".into()),
        Ok(value) if whole && i64::try_from(value).is_err() && u64::try_from(value).is_err() => Some(format!("\"\\u0000integer {digits}\"")),
        _ => None,
    };
    (length, by)
}

/// The length of the number at the start of a text, and true if it is an integer.
fn number(text: &[u8]) -> Option<(usize, bool)> {
    let digits = |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    // JSON does not allow further digits after a leading zero.
    let whole = sign + if text.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
    if whole == sign {
        return None;
    }
    let fraction = if text.get(whole) == Some(&b'.') { digits(whole + 1) } else { 0 };
    let mut end = if fraction > 0 { whole + 1 + fraction } else { whole };
    if let Some(b'e' | b'E') = text.get(end) {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + signed);
        end += if exponent > 0 { 1 + signed + exponent } else { 0 };
    }
    Some((end, end == whole))
}

/// Returns a name that an object has twice: the outermost object, or one directly inside it under one of the names
/// `nested_in`. `None` if it is not an object; fails if it is not JSON.
pub(super) fn duplicate_name(text: &[u8], nested_in: &[&str]) -> Result<Option<String>, String> {
    let mut twice = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    Names { nested_in, twice: &mut twice }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| error.to_string())?;
    Ok(twice)
}

/// The visitor of an object's names.
struct Names<'a> {
    nested_in: &'a [&'a str],
    twice: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match self.nested_in.contains(&name.as_str()) {
                true => map.next_value_seed(Names { nested_in: &[], twice: self.twice })?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
            if let Some(name) = names.replace(name) {
                *self.twice = Some(name);
            }
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn special_numbers_are_read_as_in_python() {
        let read = value(br#"{"a": NaN, "b": [-Infinity, 1, Infinity], "c": "NaN, \"Infinity\" and \\"}"#).unwrap();
        assert_eq!(read["c"], "NaN, \"Infinity\" and \\");
        assert_eq!(
            [&read["a"], &read["b"][0], &read["b"][2]].map(|value| special_number(value.as_str().unwrap())),
            [Some("NaN"), Some("-Infinity"), Some("Infinity")]
        );
        assert_eq!((&read["b"][1], special_number("NaN")), (&json!(1), None));
        assert!(value(b"{\"a\": NaN").is_err() && value(b"{\"a\": Nan}").is_err());
        let large = value(br#"[1e400, -1.5E+999, 1e-999, 1e308, "1e400"]"#).unwrap();
        assert_eq!([&large[0], &large[1]].map(|value| special_number(value.as_str().unwrap())), [Some("Infinity"), Some("-Infinity")]);
        assert_eq!(large.as_array().unwrap()[2..], [json!(0.0), json!(1e308), json!("1e400")]);
        for wrong in ["[1.e400]", "[1e400e1]", "[.1e400]", "[01e400]", "[1e400"] {
            assert!(value(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn integers_are_read_as_in_python() {
        let read = |text: &str| with_integers(text.as_bytes(), |text| serde_json::from_slice::<Value>(text));
        let list = read(r#"[18446744073709551616, -9223372036854775809, "-0 \" 18446744073709551616", 18446744073709551615, -0, -0.0, 1e400]"#).unwrap();
        let integers = [&list[0], &list[1]].map(|value| integer(value.as_str().unwrap()));
        assert_eq!(integers, [Some(1i128 << 64), Some(-(1i128 << 63) - 1)]);
        assert_eq!((&list[2], &list[3], &list[4]), (&json!("-0 \" 18446744073709551616"), &json!(u64::MAX), &json!(0)));
        assert!(list[5].as_f64().unwrap().is_sign_negative() && special_number(list[6].as_str().unwrap()) == Some("Infinity"));
        assert_eq!(read("[340282366920938463463374607431768211456]").unwrap(), json!([2f64.powi(128)]));
        let problem = read("[18446744073709551616, x]").unwrap_err();
        assert_eq!((problem.line(), problem.column()), (1, 24));
        assert!(read("[0018446744073709551616]").is_err() && integer("18446744073709551616").is_none());
    }

    #[test]
    fn duplicate_names_are_found() {
        for (text, twice) in [
            (r#"{"a": 1, "__metadata__": null}"#, None),
            (r#"{"a": [1, "x"], "__metadata__": {"b": "1", "c": "2"}}"#, None),
            (r#"{"a": true, "a": -1.5}"#, Some("a")),
            (r#"{"__metadata__": {"b": "1", "b": "2"}}"#, Some("b")),
            ("[1, 2]", None),
        ] {
            assert_eq!(duplicate_name(text.as_bytes(), &["__metadata__"]).unwrap().as_deref(), twice, "{text}");
        }
        assert!(duplicate_name(b"{", &[]).is_err());
    }

    #[test]
    fn unpaired_surrogates_are_replaced() {
        assert_eq!(
            value(br#"["\ud83d\ude00", "a\ud83db", "\ude00", "\\ud83d", "\ud83d\ud83d\ude00"]"#).unwrap(),
            json!(["\u{1f600}", "a\u{fffd}b", "\u{fffd}", "\\ud83d", "\u{fffd}\u{1f600}"])
        );
    }
}
