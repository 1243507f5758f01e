//! Decoder steps.

use super::normalizers::Replace;
use super::{Limit, count, read, sequence};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokenizers::Decoder;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::strip::Strip;

/// Bytes counted for a token besides its text.
const TOKEN: usize = 24;

/// A decoder.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::data) enum Decode {
    Replace(Replace),
    ByteFallback(ByteFallback),
    Strip(Strip),
    Sequence(DecoderSequence),
    Library(DecoderWrapper),
}

/// Applies several steps in order.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "Sequence")]
pub(in crate::data) struct DecoderSequence {
    decoders: Vec<Decode>,
}

/// How byte tokens that are not UTF-8 are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum InvalidBytes {
    /// Every byte of the run becomes U+FFFD, as in the library.
    AllReplaced,
    /// Only invalid bytes become U+FFFD, so that text that was already streamed does not change.
    BadReplaced,
}

impl Decode {
    fn new(value: Value, steps: &mut usize) -> Result<Self, String> {
        count(steps)?;
        match value["type"].as_str() {
            Some("Replace") => Replace::new(value).map(Self::Replace),
            Some("ByteFallback") => read(value).map(Self::ByteFallback),
            Some("Strip") => read(value).map(Self::Strip),
            Some("Sequence") => Ok(Self::Sequence(DecoderSequence { decoders: sequence(value, "decoders", steps, Self::new)? })),
            Some(_) => match read(value)? {
                DecoderWrapper::Sequence(_) | DecoderWrapper::Replace(_) => Err("a decoder has no type".into()),
                other => Ok(Self::Library(other)),
            },
            None => Err("a decoder has no type".into()),
        }
    }

    /// Applies the step to the texts of tokens.
    pub(in crate::data) fn apply(&self, tokens: Vec<String>, bytes: InvalidBytes) -> tokenizers::Result<Vec<String>> {
        let limit = Limit::of(length(&tokens));
        self.step(tokens, bytes, limit)
    }

    fn step(&self, tokens: Vec<String>, bytes: InvalidBytes, limit: Limit) -> tokenizers::Result<Vec<String>> {
        let tokens = match self {
            Self::Replace(replace) => {
                let mut remaining = limit.0;
                let mut one = |token: String| -> tokenizers::Result<String> {
                    let replaced = replace.apply(&token, Limit(remaining))?;
                    remaining -= replaced.len();
                    Ok(replaced)
                };
                tokens.into_iter().map(&mut one).collect::<tokenizers::Result<Vec<String>>>()?
            }
            Self::ByteFallback(step) if bytes == InvalidBytes::AllReplaced => step.decode_chain(tokens)?,
            Self::ByteFallback(_) => characters(tokens),
            Self::Strip(step) => tokens.iter().map(|token| strip(step, token).to_string()).collect(),
            Self::Sequence(sequence) => sequence.decoders.iter().try_fold(tokens, |tokens, step| step.step(tokens, bytes, limit))?,
            // The library subtracts 1 from the number of tokens.
            Self::Library(DecoderWrapper::BPE(_)) if tokens.is_empty() => tokens,
            Self::Library(step) => step.decode_chain(tokens)?,
        };
        limit.check(length(&tokens))?;
        Ok(tokens)
    }
}

fn length(tokens: &[String]) -> usize {
    tokens.iter().map(|token| token.len() + TOKEN).sum()
}

/// Decodes tokens such as `<0x0A>` into the characters of their bytes.
fn characters(tokens: Vec<String>) -> Vec<String> {
    let byte = |token: &str| {
        let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    let (mut texts, mut bytes) = (Vec::with_capacity(tokens.len()), Vec::new());
    let flush = |bytes: &mut Vec<u8>, texts: &mut Vec<String>| {
        if !bytes.is_empty() {
            texts.push(String::from_utf8_lossy(bytes).into_owned());
            bytes.clear();
        }
    };
    for token in tokens {
        match byte(&token) {
            Some(byte) => bytes.push(byte),
            None => {
                flush(&mut bytes, &mut texts);
                texts.push(token);
            }
        }
    }
    flush(&mut bytes, &mut texts);
    texts
}

/// Strips a character up to `start` and `stop` times from a token's ends. The library's own panics on a short token.
fn strip<'a>(step: &Strip, token: &'a str) -> &'a str {
    let mut text = token;
    for _ in 0..step.start.min(token.len()) {
        text = text.strip_prefix(step.content).unwrap_or(text);
    }
    for _ in 0..step.stop.min(token.len()) {
        text = text.strip_suffix(step.content).unwrap_or(text);
    }
    text
}

impl Decoder for Decode {
    fn decode_chain(&self, tokens: Vec<String>) -> tokenizers::Result<Vec<String>> {
        self.apply(tokens, InvalidBytes::AllReplaced)
    }
}

impl<'de> Deserialize<'de> for Decode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value, &mut 0).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decoded(step: &Value, tokens: &[&str], bytes: InvalidBytes) -> String {
        let step: Decode = serde_json::from_value(step.clone()).unwrap();
        step.apply(tokens.iter().map(ToString::to_string).collect(), bytes).unwrap().concat()
    }

    #[test]
    fn invalid_bytes_leave_the_others_unchanged() {
        let step = json!({ "type": "ByteFallback" });
        let tokens = ["<0x0A>", "<0xE6>", "a", "<0xC3>", "<0xA9>", "<0x80>", "<0xF0>", "<0x9F>"];
        assert_eq!(decoded(&step, &tokens, InvalidBytes::AllReplaced), "\u{fffd}\u{fffd}a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(decoded(&step, &tokens, InvalidBytes::BadReplaced), "\n\u{fffd}a\u{e9}\u{fffd}\u{fffd}");
        assert_eq!(decoded(&step, &["<0x+1>", "<0xZZ>"], InvalidBytes::BadReplaced), "\u{1}<0xZZ>");
    }

    #[test]
    fn stripping_stops_at_the_end_of_a_token() {
        let step = json!({ "type": "Strip", "content": "_", "start": 2, "stop": 3 });
        assert_eq!(decoded(&step, &["___a__", "__", "b", ""], InvalidBytes::AllReplaced), "_ab");
    }

    #[test]
    fn growing_decoders_hit_the_limit() {
        let double = json!({ "type": "Replace", "pattern": { "Regex": "." }, "content": "aa" });
        let step: Decode = serde_json::from_value(json!({ "type": "Sequence", "decoders": vec![double; 40] })).unwrap();
        assert!(step.apply(vec!["a".into()], InvalidBytes::AllReplaced).is_err());
        let spread = json!({ "type": "BPEDecoder", "suffix": "" });
        let step: Decode = serde_json::from_value(json!({ "type": "Sequence", "decoders": vec![spread; 40] })).unwrap();
        assert!(step.apply(vec!["a".into(), "b".into()], InvalidBytes::AllReplaced).is_err());
    }
}
