//! Normalizer steps.

use super::{Limit, PatternJson, count, fail, read, sequence};
use crate::data::regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokenizers::normalizers::{NormalizerWrapper, Prepend};
use tokenizers::pattern::Pattern;
use tokenizers::{NormalizedString, Normalizer, Offsets};

/// The longest replacement in a SentencePiece table, in bytes; real ones have up to 33.
const MAX_REPLACEMENT: usize = 64;

/// A normalizer.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::data) enum Normalize {
    Replace(Replace),
    Prepend(Prepend),
    Sequence(NormalizerSequence),
    Library(NormalizerWrapper),
}

/// Replaces every match of a pattern.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type")]
pub(in crate::data) struct Replace {
    pattern: PatternJson,
    content: String,
    #[serde(skip)]
    regex: Regex,
}

/// Applies several steps in order.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "Sequence")]
pub(in crate::data) struct NormalizerSequence {
    normalizers: Vec<Normalize>,
}

impl Replace {
    pub(super) fn new(value: Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Fields {
            pattern: PatternJson,
            content: String,
        }
        let Fields { pattern, content } = read(value)?;
        Ok(Self { regex: pattern.compile()?, pattern, content })
    }

    /// Replaces the matches in a text; fails above the limit.
    pub(super) fn apply(&self, text: &str, limit: Limit) -> tokenizers::Result<String> {
        let pieces = Limited { replace: self, limit }.find_matches(text)?;
        Ok(pieces.into_iter().map(|((start, end), matched)| if matched { self.content.as_str() } else { &text[start..end] }).collect())
    }
}

/// The pattern of a [`Replace`]; matching fails if the replacements exceed the limit.
struct Limited<'a> {
    replace: &'a Replace,
    limit: Limit,
}

impl Pattern for Limited<'_> {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        let pieces = (&self.replace.regex).find_matches(inside)?;
        let length = |&((start, end), matched): &(Offsets, bool)| if matched { self.replace.content.len() } else { end - start };
        self.limit.check(pieces.iter().map(length).sum())?;
        Ok(pieces)
    }
}

impl Normalize {
    fn new(value: Value, steps: &mut usize) -> Result<Self, String> {
        count(steps)?;
        match value["type"].as_str() {
            Some("Replace") => Replace::new(value).map(Self::Replace),
            Some("Prepend") => read(value).map(Self::Prepend),
            Some("Sequence") => Ok(Self::Sequence(NormalizerSequence { normalizers: sequence(value, "normalizers", steps, Self::new)? })),
            Some("Precompiled") if longest_replacement(&value) > MAX_REPLACEMENT => {
                Err(format!("cannot use its table: a replacement has {} bytes; the limit is {MAX_REPLACEMENT}", longest_replacement(&value)))
            }
            _ => match read(value)? {
                NormalizerWrapper::Sequence(_) | NormalizerWrapper::Replace(_) | NormalizerWrapper::Prepend(_) => Err("a normalizer has no type".into()),
                other => Ok(Self::Library(other)),
            },
        }
    }

    fn apply(&self, text: &mut NormalizedString, limit: Limit) -> tokenizers::Result<()> {
        match self {
            Self::Replace(replace) => text.replace(Limited { replace, limit }, &replace.content),
            Self::Prepend(prepend) => {
                limit.check(text.get().len().saturating_add(prepend.prepend.len()))?;
                prepend.normalize(text)
            }
            Self::Sequence(sequence) => sequence.normalizers.iter().try_for_each(|step| step.apply(text, limit)),
            Self::Library(step) => {
                step.normalize(text)?;
                limit.check(text.get().len())
            }
        }
    }
}

impl Normalizer for Normalize {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let applied = self.apply(text, Limit::of(text.get_original().len()));
        applied.inspect_err(|error| {
            fail(error);
            // The library would continue with the partial result.
            text.clear();
        })
    }
}

impl<'de> Deserialize<'de> for Normalize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value, &mut 0).map_err(serde::de::Error::custom)
    }
}

/// The longest replacement in a SentencePiece table, which has zero-terminated texts after its index.
fn longest_replacement(value: &Value) -> usize {
    let bytes = value["precompiled_charsmap"].as_str().map(decode_base64).unwrap_or_default();
    let index = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    let texts = bytes.get(index.saturating_add(4)..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0)
}

/// Decodes the valid start of a base64 text.
fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().map_while(value).map(u32::from).collect();
    let group = |digits: &[u32]| {
        let whole = (0..4).fold(0, |whole, n| whole << 6 | digits.get(n).copied().unwrap_or(0));
        whole.to_be_bytes()[1..digits.len().max(1)].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn normalized(step: Value, text: &str) -> tokenizers::Result<String> {
        let step: Normalize = serde_json::from_value(step)?;
        let mut text = NormalizedString::from(text);
        step.normalize(&mut text)?;
        Ok(text.get().to_string())
    }

    #[test]
    fn doubling_replacements_hit_the_limit() {
        let double = json!({ "type": "Replace", "pattern": { "Regex": "a" }, "content": "aa" });
        let times = |n| json!({ "type": "Sequence", "normalizers": vec![double.clone(); n] });
        assert_eq!(normalized(times(3), "ab").unwrap(), "aaaaaaaab");
        let error = normalized(times(40), "a").unwrap_err().to_string();
        assert!(error.contains("2097152 bytes"), "{error}");
        assert_eq!(super::super::failure(), Some(error));
        assert!(normalized(json!({ "type": "Sequence", "normalizers": vec![json!({ "type": "Prepend", "prepend": "x".repeat(1 << 20) }); 20] }), "a").is_err());
        assert!(normalized(times(64), "a").is_err_and(|error| error.to_string().contains("64 steps")));
        // The text is cleared, or the library would split and look up a megabyte.
        let step: Normalize = serde_json::from_value(times(40)).unwrap();
        let mut text = NormalizedString::from("a");
        assert!(step.normalize(&mut text).is_err() && text.get().is_empty());
    }

    #[test]
    fn steps_round_trip() {
        let text = r#"{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"Regex":"\\h\\R"},"content":""},{"type":"NFC"},{"type":"Prepend","prepend":"_"}]}"#;
        let step: Normalize = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&step).unwrap(), text);
    }

    #[test]
    fn long_replacements_in_a_table_are_found() {
        assert_eq!(decode_base64("AAECAw=="), [0, 1, 2, 3]);
        assert_eq!(decode_base64("AAEC"), [0, 1, 2]);
        // An index of 0 bytes, then "abc", zero, "d".
        assert_eq!(longest_replacement(&json!({ "precompiled_charsmap": "AAAAAGFiYwBk" })), 3);
    }
}
