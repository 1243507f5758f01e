//! JSON as Python reads it, and objects that name something twice: a reader would take either without a word.

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// The text by which NaN, Infinity and -Infinity, which JSON has not, are passed on: this character and their name.
const NO_NUMBER: char = '\0';

/// The names of numbers that Python writes and reads, but JSON has not.
const NAMES: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Parses JSON as Python does: NaN and the infinities are read (as texts, see [`no_number`]), and halves of
/// surrogate pairs (as U+FFFD). `parse` is called again if it fails only for them.
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

/// A value in JSON, as Python reads it.
pub fn value(text: &[u8]) -> Result<Value, serde_json::Error> {
    as_python(text, |text| serde_json::from_slice(text))
}

/// The name of the number that a text stands for, if it is one of those that JSON has not.
pub fn no_number(text: &str) -> Option<&str> {
    text.strip_prefix(NO_NUMBER).filter(|name| NAMES.contains(name))
}

/// Returns true if a number that JSON has not is anywhere in a value.
pub fn has_name(value: &Value) -> bool {
    match value {
        Value::String(text) => no_number(text).is_some(),
        Value::Array(list) => list.iter().any(has_name),
        Value::Object(fields) => fields.values().any(has_name),
        _ => false,
    }
}

/// The text in strict JSON, as far as it differs.
fn strict(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    // So many bytes are in `out`.
    let mut copied = 0;
    let mut at = 0;
    let mut quoted = false;
    while at < text.len() {
        let (replaced, by) = match text[at] {
            b'"' => {
                quoted = !quoted;
                (1, None)
            }
            b'\\' if quoted => escaped(&text[at..]),
            b'N' | b'I' | b'-' if !quoted => named(&text[at..]),
            _ => (1, None),
        };
        if let Some(by) = by {
            out.extend_from_slice(&text[copied..at]);
            out.extend(by.as_bytes());
            copied = at + replaced;
        }
        at += replaced;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// The bytes of an escape, and what stands for it if it is half of a surrogate pair.
fn escaped(text: &[u8]) -> (usize, Option<String>) {
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

/// The bytes of a name of [`NAMES`], and the text that stands for it.
fn named(text: &[u8]) -> (usize, Option<String>) {
    let name = NAMES.iter().find(|name| text.starts_with(name.as_bytes()));
    name.map_or((1, None), |name| (name.len(), Some(format!("\"\\u0000{name}\""))))
}

/// A name that an object has twice, if it does: the outermost, or one inside it under one of the names `within`.
/// Of what is no object nothing is said; an error if it is no JSON.
pub(super) fn named_twice(text: &[u8], within: &[&str]) -> Result<Option<String>, String> {
    let mut twice = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    Names { within, twice: &mut twice }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| error.to_string())?;
    Ok(twice)
}

/// Reads an object for its names.
struct Names<'a> {
    within: &'a [&'a str],
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
            match self.within.contains(&name.as_str()) {
                true => map.next_value_seed(Names { within: &[], twice: self.twice })?,
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
    fn numbers_that_json_has_not_are_read_as_python_reads_them() {
        let read = value(br#"{"a": NaN, "b": [-Infinity, 1, Infinity], "c": "NaN, \"Infinity\" and \\"}"#).unwrap();
        assert_eq!(read["c"], "NaN, \"Infinity\" and \\");
        assert_eq!(
            [&read["a"], &read["b"][0], &read["b"][2]].map(|value| no_number(value.as_str().unwrap())),
            [Some("NaN"), Some("-Infinity"), Some("Infinity")]
        );
        assert_eq!((&read["b"][1], no_number("NaN")), (&json!(1), None));
        assert!(value(b"{\"a\": NaN").is_err() && value(b"{\"a\": Nan}").is_err());
    }

    #[test]
    fn an_object_that_names_something_twice_is_found() {
        for (text, twice) in [
            (r#"{"a": 1, "__metadata__": null}"#, None),
            (r#"{"a": [1, "x"], "__metadata__": {"b": "1", "c": "2"}}"#, None),
            (r#"{"a": true, "a": -1.5}"#, Some("a")),
            (r#"{"__metadata__": {"b": "1", "b": "2"}}"#, Some("b")),
            ("[1, 2]", None),
        ] {
            assert_eq!(named_twice(text.as_bytes(), &["__metadata__"]).unwrap().as_deref(), twice, "{text}");
        }
        assert!(named_twice(b"{", &[]).is_err());
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        assert_eq!(
            value(br#"["\ud83d\ude00", "a\ud83db", "\ude00", "\\ud83d", "\ud83d\ud83d\ude00"]"#).unwrap(),
            json!(["\u{1f600}", "a\u{fffd}b", "\u{fffd}", "\\ud83d", "\u{fffd}\u{1f600}"])
        );
    }
}
