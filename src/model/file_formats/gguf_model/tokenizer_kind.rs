//! Maps a `tokenizer.json` to the equivalent tokenizer of llama.cpp. If there is none, the error names the setting that
//! GGUF cannot represent.

use crate::data::{Tokenizer, gguf_family, gguf_ignores_merges};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// SentencePiece's character for a space.
const SPACE: &str = "\u{2581}";

/// A kind of tokenizer in llama.cpp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenizerKind {
    /// `gpt2`: byte-level BPE, with the name of its pre-tokenizer.
    ByteLevel(&'static str),
    /// `llama`: SentencePiece BPE; `prefix` is true if it prepends a space to a text.
    SentencePiece { prefix: bool },
}

/// Finds the kind. The error is the reason why there is none.
pub(super) fn tokenizer_kind(json: &Value, tokenizer: &Tokenizer) -> Result<TokenizerKind, String> {
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(format!("its model is {}; only BPE can be written", model["type"]));
    }
    for field in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[field].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(format!("GGUF cannot store its {field}"));
        }
    }
    if model["dropout"].as_f64().is_some_and(|share| share > 0.0) {
        return Err("it drops merges at random (dropout)".into());
    }
    added_tokens(json, tokenizer)?;
    if flatten(&json["pre_tokenizer"], "pretokenizers").iter().any(|step| step["type"] == "ByteLevel") {
        byte_level(json, tokenizer).map(TokenizerKind::ByteLevel)
    } else {
        sentence_piece(json).map(|prefix| TokenizerKind::SentencePiece { prefix })
    }
}

/// Flattens the steps of a component of the tokenizer, including nested sequences.
fn flatten<'a>(step: &'a Value, field: &str) -> Vec<&'a Value> {
    match step["type"].as_str() {
        Some("Sequence") => step[field].as_array().into_iter().flatten().flat_map(|step| flatten(step, field)).collect(),
        _ if step.is_null() => Vec::new(),
        _ => vec![step],
    }
}

fn types<'a>(steps: &[&'a Value]) -> Vec<&'a str> {
    steps.iter().map(|step| step["type"].as_str().unwrap_or_default()).collect()
}

/// Checks added tokens: GGUF stores only if they are special.
fn added_tokens(json: &Value, tokenizer: &Tokenizer) -> Result<(), String> {
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or_default();
        if let Some(field) = ["single_word", "lstrip", "rstrip"].into_iter().find(|field| token[*field] == true) {
            return Err(format!("its added token {content:?} has {field}, which GGUF cannot store"));
        }
        if token["normalized"] == true && tokenizer.normalized(content).is_ok_and(|normalized| normalized != content) {
            return Err(format!("its added token {content:?} is matched in normalized text, but llama.cpp matches it in the original text"));
        }
    }
    Ok(())
}

fn byte_level(json: &Value, tokenizer: &Tokenizer) -> Result<&'static str, String> {
    let model = &json["model"];
    let family = gguf_family(json).ok_or_else(|| {
        let before = &json["pre_tokenizer"];
        let normalizer = &json["normalizer"];
        let with = if normalizer.is_null() { String::new() } else { format!(" with the normalizer {normalizer}") };
        format!("llama.cpp has no known name for its pre-tokenizer{with}: {before}")
    })?;
    let decoder = flatten(&json["decoder"], "decoders");
    if types(&decoder) != ["ByteLevel"] {
        return Err(format!("its decoder is {}, but llama.cpp's is ByteLevel", json["decoder"]));
    }
    let vocabulary = model["vocab"].as_object().ok_or("its vocabulary is not an object")?;
    let complete = Tokenizer::byte_letters().iter().all(|letter| vocabulary.contains_key(letter.encode_utf8(&mut [0; 4])));
    if !complete && !model["unk_token"].is_null() {
        return Err("it maps bytes without a token to an unknown token, but llama.cpp drops them".into());
    }
    if !complete && model["byte_fallback"] == true && (0..=255u8).any(|byte| vocabulary.contains_key(&format!("<0x{byte:02X}>"))) {
        return Err("it maps bytes without a token to byte_fallback tokens, which llama.cpp does not".into());
    }
    let whole = model["ignore_merges"] == true;
    if whole != gguf_ignores_merges(family) && !same_without_merges(json, tokenizer, !whole)? {
        let does = if whole { "skips" } else { "applies" };
        return Err(format!("it {does} merges for a word that is a token (ignore_merges), but llama.cpp's {family} does not"));
    }
    Ok(family)
}

/// Returns true if setting `ignore_merges` to `whole` changes the ids of no token's text.
fn same_without_merges(json: &Value, tokenizer: &Tokenizer, whole: bool) -> Result<bool, String> {
    let mut other = json.clone();
    other["model"]["ignore_merges"] = whole.into();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let other = Tokenizer::from_json(other.to_string().as_bytes()).map_err(|error| text(&error))?;
    for id in 0..tokenizer.vocabulary() as u32 {
        let word = tokenizer.decode(&[id], true).map_err(|error| text(&error))?;
        if tokenizer.encode(&word).map_err(|error| text(&error))? != other.encode(&word).map_err(|error| text(&error))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks a SentencePiece tokenizer. Returns true if it prepends a space to a text.
fn sentence_piece(json: &Value) -> Result<bool, String> {
    let model = &json["model"];
    let vocabulary = model["vocab"].as_object().ok_or("its vocabulary is not an object")?;
    let bytes = (0..=255u8).all(|byte| vocabulary.contains_key(&format!("<0x{byte:02X}>")));
    if model["byte_fallback"] != true || !bytes {
        return Err("it does not encode unknown characters as bytes (byte_fallback, with a token for each byte), but llama.cpp does".into());
    }
    if model["ignore_merges"] == true {
        return Err("it skips merges for a text that is a token (ignore_merges), but llama.cpp's llama does not".into());
    }
    let prefix = spaces(json, vocabulary.keys().map(String::as_str))?;
    let decoder = types(&flatten(&json["decoder"], "decoders")).join(", ");
    let strip = if prefix { ", Strip" } else { "" };
    if ![format!("Replace, ByteFallback, Fuse{strip}"), format!("ByteFallback, Fuse, Replace{strip}"), "ByteFallback, Metaspace".to_string()].contains(&decoder)
    {
        return Err(format!("its decoder is {}, which llama.cpp does not have", json["decoder"]));
    }
    complete_merges(json, vocabulary)?;
    Ok(prefix)
}

/// Checks that spaces are encoded as in SentencePiece. Returns true if a space is prepended to a text.
fn spaces<'a>(json: &Value, mut tokens: impl Iterator<Item = &'a str>) -> Result<bool, String> {
    let (normalizer, before) = (flatten(&json["normalizer"], "normalizers"), flatten(&json["pre_tokenizer"], "pretokenizers"));
    let replaces = |step: &Value| step["pattern"]["String"] == " " && step["content"] == SPACE;
    let refused = || {
        let (normalizer, before) = (&json["normalizer"], &json["pre_tokenizer"]);
        Err(format!("llama.cpp does not have its normalizer {normalizer} with its pre-tokenizer {before}"))
    };
    match (&types(&normalizer)[..], &types(&before)[..]) {
        (["Replace"], []) if replaces(normalizer[0]) => Ok(false),
        (["Prepend", "Replace"], []) if normalizer[0]["prepend"] == SPACE && replaces(normalizer[1]) => Ok(true),
        ([], ["Metaspace"]) if before[0]["replacement"] == SPACE => {
            // Splitting into words has no effect if no token has a space after its start.
            let splits = before[0]["split"] != false;
            if splits && tokens.any(|token| token.chars().skip(1).any(|char| SPACE.contains(char))) {
                return Err("its pre-tokenizer splits a text at spaces, but llama.cpp merges tokens across them".into());
            }
            match before[0]["prepend_scheme"].as_str() {
                Some("never") => Ok(false),
                None | Some("always") => Ok(true),
                _ => Err("it prepends a space to the first word of a text only, but llama.cpp also after every special token".into()),
            }
        }
        _ => refused(),
    }
}

/// Checks the merges: llama.cpp merges any two tokens that form a third, so all such pairs must be merges, and merges
/// into the same token must have adjacent ranks.
fn complete_merges(json: &Value, vocabulary: &serde_json::Map<String, Value>) -> Result<(), String> {
    let merges = merges(&json["model"]["merges"]).ok_or("its merges are not pairs of strings")?;
    let made: HashSet<(&str, &str)> = merges.iter().copied().collect();
    let special: HashSet<&str> = json["added_tokens"].as_array().into_iter().flatten().filter_map(|token| token["content"].as_str()).collect();
    let known = |token: &str| vocabulary.contains_key(token);
    for token in vocabulary.keys().filter(|token| !special.contains(token.as_str()) && !is_byte(token)) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        if let Some((left, right)) = splits.into_iter().find(|(left, right)| known(left) && known(right) && !made.contains(&(*left, *right))) {
            return Err(format!("it does not merge {left:?} and {right:?} into {token:?}, but llama.cpp does"));
        }
    }
    let mut last: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        let token = format!("{left}{right}");
        if last.insert(token.clone(), rank).is_some_and(|before| before + 1 != rank) {
            return Err(format!("its merges into {token:?} have different ranks, but llama.cpp has one score per token"));
        }
    }
    Ok(())
}

/// Parses merges in order, either pairs or strings with a space in between.
pub(super) fn merges(json: &Value) -> Option<Vec<(&str, &str)>> {
    fn pair(merge: &Value) -> Option<(&str, &str)> {
        match merge.as_str() {
            Some(text) => text.split_once(' '),
            None => Some((merge[0].as_str()?, merge[1].as_str()?)),
        }
    }
    json.as_array()?.iter().map(pair).collect()
}

/// Returns true if a SentencePiece token is a byte.
pub(super) fn is_byte(token: &str) -> bool {
    token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn classify(json: &Value) -> Result<TokenizerKind, String> {
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        tokenizer_kind(&serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap(), &tokenizer)
    }

    /// A byte-level tokenizer: every byte, "th", "the", "she", and an end token.
    fn bytes() -> Value {
        let letters = Tokenizer::byte_letters();
        let tokens = letters.iter().map(char::to_string).chain(["th".into(), "the".into(), "she".into()]);
        let vocabulary: serde_json::Map<String, Value> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
        json!({
            "version": "1.0",
            "added_tokens": [{"id": 259, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": [["t", "h"], ["th", "e"]]}
        })
    }

    /// A SentencePiece tokenizer: every byte, a space, "th" and "the".
    fn pieces() -> Value {
        let tokens = ["<unk>".to_string()].into_iter().chain((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
        let tokens = tokens.chain([SPACE, "t", "h", "e", "th", "the"].map(String::from));
        let vocabulary: serde_json::Map<String, Value> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
        json!({
            "version": "1.0",
            "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary, "merges": [["t", "h"], ["th", "e"]]}
        })
    }

    fn assert_refused(mut json: Value, at: &str, value: Value, says: &str) {
        *json.pointer_mut(at).unwrap_or_else(|| panic!("{at} is not there")) = value;
        let error = classify(&json).unwrap_err();
        assert!(error.contains(says), "{at}: {error}");
    }

    #[test]
    fn parses_both_forms_of_merges() {
        let either = serde_json::json!([["a", "b"], "ab c"]);
        assert_eq!(merges(&either).unwrap(), [("a", "b"), ("ab", "c")]);
        assert!(merges(&serde_json::json!([7])).is_none() && merges(&serde_json::json!(["ab"])).is_none());
    }

    #[test]
    fn tokenizers_are_classified_by_behavior() {
        assert_eq!(classify(&bytes()), Ok(TokenizerKind::ByteLevel("gpt-2")));
        let mut fallback = bytes();
        fallback["model"]["byte_fallback"] = true.into();
        assert_eq!(classify(&fallback), Ok(TokenizerKind::ByteLevel("gpt-2")));
        assert_eq!(classify(&pieces()), Ok(TokenizerKind::SentencePiece { prefix: true }));
        let mut bare = pieces();
        bare["normalizer"] = bare["normalizer"]["normalizers"][1].clone();
        bare["decoder"]["decoders"].as_array_mut().unwrap().pop();
        assert_eq!(classify(&bare), Ok(TokenizerKind::SentencePiece { prefix: false }));
        let mut metaspace = pieces();
        metaspace["normalizer"] = Value::Null;
        metaspace["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": false});
        assert_eq!(classify(&metaspace), Ok(TokenizerKind::SentencePiece { prefix: true }));
    }

    #[test]
    fn unsupported_settings_are_errors() {
        assert_refused(bytes(), "/added_tokens/0/lstrip", true.into(), "\"</s>\" has lstrip");
        assert_refused(bytes(), "/added_tokens/0/single_word", true.into(), "single_word");
        assert_refused(bytes(), "/pre_tokenizer/add_prefix_space", true.into(), "no known name");
        assert_refused(bytes(), "/decoder", json!({"type": "Fuse"}), "decoder");
        assert_refused(bytes(), "/model/ignore_merges", true.into(), "ignore_merges");
        assert_refused(pieces(), "/model/byte_fallback", false.into(), "byte_fallback");
        assert_refused(pieces(), "/added_tokens/0/normalized", true.into(), "normalized text");
        assert_refused(pieces(), "/model/merges", json!([["t", "h"]]), "does not merge");
        assert_refused(pieces(), "/normalizer/normalizers/0/prepend", "_".into(), "does not have its normalizer");
        assert_refused(pieces(), "/decoder/decoders/3", json!({"type": "Fuse"}), "decoder");
    }

    #[test]
    fn ignore_merges_is_allowed_if_it_has_no_effect() {
        let mut same = bytes();
        same["model"]["vocab"].as_object_mut().unwrap().remove("she");
        same["model"]["ignore_merges"] = true.into();
        assert_eq!(classify(&same), Ok(TokenizerKind::ByteLevel("gpt-2")));
    }
}
