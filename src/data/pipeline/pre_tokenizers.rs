//! Pre-tokenizer steps.

use super::{Limit, PatternJson, count, read, sequence};
use crate::data::regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::sync::LazyLock;
use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

/// GPT-2's pattern.
static GPT_2: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+").expect("the pattern is valid"));

/// A pre-tokenizer.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::data) enum PreTokenize {
    Pattern(AtPattern),
    ByteLevel(ByteLevel),
    Sequence(PreTokenizerSequence),
    Library(PreTokenizerWrapper),
}

/// Splits at the matches of a pattern.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "Split")]
pub(in crate::data) struct AtPattern {
    pattern: PatternJson,
    behavior: SplitDelimiterBehavior,
    invert: bool,
    #[serde(skip)]
    regex: Regex,
}

/// Applies several steps in order.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "Sequence")]
pub(in crate::data) struct PreTokenizerSequence {
    pretokenizers: Vec<PreTokenize>,
}

impl AtPattern {
    fn new(value: Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Fields {
            pattern: PatternJson,
            behavior: SplitDelimiterBehavior,
            invert: bool,
        }
        let Fields { pattern, behavior, invert } = read(value)?;
        Ok(Self { regex: pattern.compile()?, pattern, behavior, invert })
    }
}

impl PreTokenize {
    fn new(value: Value, steps: &mut usize) -> Result<Self, String> {
        count(steps)?;
        match value["type"].as_str() {
            Some("Split") => AtPattern::new(value).map(Self::Pattern),
            Some("Sequence") => Ok(Self::Sequence(PreTokenizerSequence { pretokenizers: sequence(value, "pretokenizers", steps, Self::new)? })),
            _ => match read(value)? {
                PreTokenizerWrapper::ByteLevel(step) => Ok(Self::ByteLevel(step)),
                PreTokenizerWrapper::Split(_) | PreTokenizerWrapper::Sequence(_) => Err("a pre-tokenizer has no type".into()),
                other => Ok(Self::Library(other)),
            },
        }
    }

    fn apply(&self, text: &mut PreTokenizedString, limit: Limit) -> tokenizers::Result<()> {
        match self {
            Self::Pattern(AtPattern { regex, behavior, invert: false, .. }) => text.split(|_, piece| piece.split(regex, *behavior)),
            Self::Pattern(AtPattern { regex, behavior, .. }) => text.split(|_, piece| piece.split(Invert(regex), *behavior)),
            Self::ByteLevel(step) => {
                byte_level(step, text)?;
                limit.check(length(text))
            }
            Self::Sequence(sequence) => sequence.pretokenizers.iter().try_for_each(|step| step.apply(text, limit)),
            Self::Library(step) => {
                step.pre_tokenize(text)?;
                limit.check(length(text))
            }
        }
    }
}

/// The library's `ByteLevel`, with GPT-2's pattern as Oniguruma reads it.
fn byte_level(step: &ByteLevel, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
    text.split(|_, mut piece| {
        if step.add_prefix_space && !piece.get().starts_with(' ') {
            piece.prepend(" ");
        }
        if step.use_regex { piece.split(&*GPT_2, SplitDelimiterBehavior::Isolated) } else { Ok(vec![piece]) }
    })?;
    ByteLevel::new(false, step.trim_offsets, false).pre_tokenize(text)
}

/// Bytes of all pieces.
fn length(text: &PreTokenizedString) -> usize {
    text.get_splits(OffsetReferential::Normalized, OffsetType::None).iter().map(|(piece, ..)| piece.len()).sum()
}

impl PreTokenizer for PreTokenize {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.apply(text, Limit::of(length(text)))
    }
}

impl<'de> Deserialize<'de> for PreTokenize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value, &mut 0).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_byte_level_steps_hit_the_limit() {
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
        let split: PreTokenize = serde_json::from_value(json!({ "type": "Sequence", "pretokenizers": vec![bytes; 40] })).unwrap();
        let error = split.pre_tokenize(&mut PreTokenizedString::from("\u{e9}")).unwrap_err().to_string();
        assert!(error.contains("bytes of a piece of text"), "{error}");
    }

    #[test]
    fn steps_round_trip() {
        let text = r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\h\\R"},"behavior":"MergedWithNext","invert":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},{"type":"Digits","individual_digits":true}]}"#;
        let step: PreTokenize = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&step).unwrap(), text);
    }
}
