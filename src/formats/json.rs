//! Objects in JSON that name something twice: a reader would take either without a word.

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

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
        reader.deserialize_map(self)
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
}
