//! Parses a row of JSON lines: text, token ids or messages.

use crate::formats::json;
use crate::jinja::Json;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Formatter};

/// The contents of a field; its type tells which.
#[derive(Debug, PartialEq)]
pub(super) enum RowContents {
    Text(String),
    Ids(Vec<u32>),
    /// Messages, with the other fields of the row.
    Conversation(Conversation),
}

/// A conversation of a row, the input of a chat template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Objects, usually with `role` and `content`.
    pub messages: Vec<Json>,
    /// The field `tools`: functions that the model may call.
    pub tools: Json,
    /// The field `documents`: texts for retrieval.
    pub documents: Json,
    /// The field `chat_template_kwargs`: further variables of the template.
    pub variables: Json,
}

/// The fields that `auto` looks for, in this order.
pub(super) const KNOWN: [&str; 3] = ["text", "messages", "token_ids"];
/// Fields that complete a conversation.
const CONVERSATION_FIELDS: [&str; 3] = ["tools", "documents", "chat_template_kwargs"];
/// Selects the first of [`KNOWN`] that a row has.
pub(super) const AUTO: &str = "auto";

/// Why a row cannot be used.
#[derive(Debug, PartialEq)]
pub(super) enum RowError {
    /// It is not a row, or the field has an unsupported type.
    Invalid(String),
    /// It does not have the field.
    MissingField(String),
}

/// Parses a row; with `auto`, the field is the first of [`KNOWN`].
pub(super) fn row(line: &str, field: &str) -> Result<RowContents, RowError> {
    let names: &[&str] = if field == AUTO { &KNOWN } else { &[field] };
    let read = json::with_integers(line.as_bytes(), |line| {
        let mut json = serde_json::Deserializer::from_slice(line);
        let mut fields = RowFields { names, found: [None, None, None], null: None, extra: Default::default(), others: Vec::new() };
        (&mut json).deserialize_map(&mut fields).and_then(|()| json.end()).map(|()| fields)
    });
    let RowFields { found, null, extra, others, .. } = read.map_err(|error| RowError::Invalid(explain(line, &error)))?;
    let found = found.into_iter().flatten().next().map(|contents| match contents {
        RowContents::Conversation(Conversation { messages, .. }) => {
            let [tools, documents, variables] = extra;
            RowContents::Conversation(Conversation { messages, tools, documents, variables })
        }
        other => other,
    });
    found.ok_or_else(|| {
        if let Some(name) = null {
            return RowError::Invalid(format!("the field {name} is null; it must be text. Remove such rows"));
        }
        let name = if field == AUTO { "text, messages or token_ids" } else { field };
        let others = if others.is_empty() { "no other".into() } else { others.join(", ") };
        RowError::MissingField(format!("has no field {name}; it has {others}. Name the right one with --field"))
    })
}

fn explain(line: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let hint = match line.trim_start().starts_with('[') {
        true => ". The file seems to be one JSON array: convert it to one row per line (jq -c '.[]')",
        false => ". Each line must be a JSON object",
    };
    format!("cannot be read as JSON at character {}: {what}{hint}", error.column())
}

struct RowFields<'a> {
    names: &'a [&'a str],
    found: [Option<RowContents>; 3],
    /// Those of [`CONVERSATION_FIELDS`].
    extra: [Json; 3],
    /// A wanted field that is null.
    null: Option<&'a str>,
    /// Some of the other fields, for the error message.
    others: Vec<String>,
}

impl<'de> Visitor<'de> for &mut RowFields<'_> {
    type Value = ();

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.names.iter().position(|wanted| *wanted == name) {
                Some(index) => {
                    self.found[index] = map.next_value_seed(RowField(&name))?;
                    if self.found[index].is_none() {
                        self.null = self.null.or(Some(self.names[index]));
                    }
                }
                None => {
                    match CONVERSATION_FIELDS.iter().position(|known| *known == name) {
                        Some(index) => self.extra[index] = map.next_value()?,
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    if self.others.len() < 8 {
                        self.others.push(name.chars().take(40).collect());
                    }
                }
            }
        }
        Ok(())
    }
}

/// A field of this name; `null` counts as missing.
struct RowField<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for RowField<'_> {
    type Value = Option<RowContents>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowField<'_> {
    type Value = Option<RowContents>;

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "text, a list of token ids, or a list of messages in the field {}", self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match (json::special_number(text), json::integer(text)) {
            (Some(name), _) => Err(E::custom(format!("the field {} is {name}; it must be text", self.0))),
            (_, Some(number)) => Err(E::custom(format!("the field {} is {number}; it must be text", self.0))),
            _ => Ok(Some(RowContents::Text(text.into()))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut contents = None;
        while let Some(element) = list.next_element_seed(ElementSeed)? {
            match (&mut contents, element) {
                (None, ListElement::Id(id)) => contents = Some(RowContents::Ids(vec![id])),
                (None, ListElement::Message(message)) => {
                    contents = Some(RowContents::Conversation(Conversation { messages: vec![message], ..Conversation::default() }));
                }
                (Some(RowContents::Ids(ids)), ListElement::Id(id)) => ids.push(id),
                (Some(RowContents::Conversation(conversation)), ListElement::Message(message)) => conversation.messages.push(message),
                _ => return Err(de::Error::custom(format!("the list in the field {} holds both numbers and messages", self.0))),
            }
        }
        Ok(Some(contents.unwrap_or(RowContents::Ids(Vec::new()))))
    }
}

enum ListElement {
    Id(u32),
    Message(Json),
}

/// An element of a list.
struct ElementSeed;

impl<'de> DeserializeSeed<'de> for ElementSeed {
    type Value = ListElement;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ListElement, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed {
    type Value = ListElement;

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("a token id (a whole number from 0 on) or a message (an object with role and content)")
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<ListElement, E> {
        u32::try_from(id).map(ListElement::Id).map_err(|_| E::custom(format!("{id} is not a token id")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListElement, A::Error> {
        Ok(ListElement::Message(de::Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_parsed_by_the_type_of_their_field() {
        assert_eq!(row(r#"{"id": 1, "text": "a\nb", "meta": {"x": []}}"#, AUTO), Ok(RowContents::Text("a\nb".into())));
        assert_eq!(row(r#"{"token_ids": [1, 2, 4294967295]}"#, AUTO), Ok(RowContents::Ids(vec![1, 2, u32::MAX])));
        assert_eq!(row(r#"{"text": null, "token_ids": [3]}"#, AUTO), Ok(RowContents::Ids(vec![3])));
        assert_eq!(row(r#"{"score": NaN, "text": "NaN"}"#, AUTO), Ok(RowContents::Text("NaN".into())));
        assert_eq!(row(r#"{"text": "a \ud83d b", "meta": {"low": -Infinity}}"#, AUTO), Ok(RowContents::Text("a \u{fffd} b".into())));
        assert_eq!(row(r#"{"content": "c", "text": "t"}"#, "content"), Ok(RowContents::Text("c".into())));
    }

    #[test]
    fn a_conversation_keeps_all_fields_of_its_row() {
        let json = |text| serde_json::from_str::<Json>(text).unwrap();
        let message = r#"{"role": "user", "name": "z", "content": [{"type": "text", "text": "hi"}], "empty": null, "b": {"d": 1, "c": 2.0}}"#;
        for (line, field) in [
            (
                format!(
                    r#"{{"tools": [{{"b": 1, "a": 2}}], "messages": [{message}], "documents": [{{"text": "t"}}], "id": 1, "chat_template_kwargs": {{"x": 1}}}}"#
                ),
                AUTO,
            ),
            (format!(r#"{{"talk": [{message}], "chat_template_kwargs": {{"x": 1}}, "documents": [{{"text": "t"}}], "tools": [{{"b": 1, "a": 2}}]}}"#), "talk"),
        ] {
            let expected = Conversation {
                messages: vec![json(message)],
                tools: json(r#"[{"b": 1, "a": 2}]"#),
                documents: json(r#"[{"text": "t"}]"#),
                variables: json(r#"{"x": 1}"#),
            };
            assert_eq!(row(&line, field), Ok(RowContents::Conversation(expected)));
        }
        assert_eq!(row(r#"{"tools": "hammer", "text": "a"}"#, AUTO), Ok(RowContents::Text("a".into())));
    }

    #[test]
    fn numbers_in_a_conversation_are_read_as_in_python() {
        let numbers = "18446744073709551616, -9223372036854775809, 170141183460469231731687303715884105727, -0, -0.0, 1e400, -1E400, 1E5, NaN";
        let line = format!(r#"{{"messages": [{{"role": "user", "n": [{numbers}]}}], "tools": [{{"most": 18446744073709551616}}]}}"#);
        let Ok(RowContents::Conversation(read)) = row(&line, AUTO) else { panic!() };
        let right = "18446744073709551616, -9223372036854775809, 170141183460469231731687303715884105727, 0, -0.0, inf, -inf, 100000.0, nan";
        assert_eq!(read.messages[0].to_string(), format!("{{'role': 'user', 'n': [{right}]}}"));
        assert_eq!(read.tools.to_string(), "[{'most': 18446744073709551616}]");
    }

    #[test]
    fn malformed_rows_are_refused_with_a_reason() {
        for (line, field, expected) in [
            ("{\"text\": \"a", AUTO, "EOF while parsing a string"),
            ("hello", AUTO, "at character 1"),
            ("[{\"text\": \"a\"}]", AUTO, "one JSON array"),
            ("{\"text\": \"a\"} x", AUTO, "trailing characters"),
            ("{\"txt\": \"a\", \"id\": 3}", AUTO, "has no field text, messages or token_ids; it has txt, id. Name the right one with --field"),
            ("{\"text\": \"a\"}", "body", "has no field body; it has text"),
            ("{\"text\": null, \"id\": 1}", AUTO, "the field text is null"),
            ("{\"text\": NaN}", AUTO, "the field text is NaN"),
            ("{\"text\": 18446744073709551616}", AUTO, "expected text, a list"),
            ("{\"token_ids\": [18446744073709551616]}", AUTO, "expected a token id"),
            ("{\"token_ids\": [1, NaN]}", AUTO, "NaN"),
            ("{\"text\": 3}", AUTO, "invalid type: integer `3`, expected text, a list"),
            ("{\"token_ids\": [1, -2]}", AUTO, "integer `-2`, expected a token id"),
            ("{\"token_ids\": [4294967296]}", AUTO, "4294967296 is not a token id"),
            ("{\"token_ids\": [1, {}]}", AUTO, "both numbers and messages"),
            ("{\"token_ids\": [1.5]}", AUTO, "expected a token id"),
        ] {
            let (RowError::Invalid(problem) | RowError::MissingField(problem)) = row(line, field).unwrap_err();
            assert!(problem.contains(expected), "{line}: {problem}");
        }
        let deep = format!("{{\"text\": {}", "[".repeat(100_000));
        assert!(row(&deep, AUTO).is_err());
    }
}
