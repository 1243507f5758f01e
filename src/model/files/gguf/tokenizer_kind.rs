//! Which of llama.cpp's tokenizers a `tokenizer.json` is, by what it does. One that does something else is refused by
//! the name of what GGUF cannot say.

use crate::data::{Tokenizer, gguf_family, gguf_takes_whole};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// SentencePiece's character for a space.
const SPACE: &str = "\u{2581}";

/// A tokenizer of llama.cpp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenizerKind {
    /// `gpt2`: a BPE over bytes, and the name of the way in which it splits a text.
    ByteLevel(&'static str),
    /// `llama`: a BPE of SentencePiece, and whether it puts a space in front of a text.
    SentencePiece { prefix: bool },
}

/// The kind, or what stands against it.
pub(super) fn tokenizer_kind(json: &Value, tokenizer: &Tokenizer) -> Result<TokenizerKind, String> {
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(format!("its model is {}, and those of llama.cpp that Signet writes are BPE", model["type"]));
    }
    for field in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[field].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(format!("GGUF has no place for its {field}"));
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

/// The steps of a part of the tokenizer, those of sequences one by one.
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

/// GGUF says of an added token only whether it is a special one.
fn added_tokens(json: &Value, tokenizer: &Tokenizer) -> Result<(), String> {
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or_default();
        if let Some(field) = ["single_word", "lstrip", "rstrip"].into_iter().find(|field| token[*field] == true) {
            return Err(format!("GGUF cannot say that its added token {content:?} has {field}"));
        }
        if token["normalized"] == true && tokenizer.normalized(content).is_ok_and(|normalized| normalized != content) {
            return Err(format!("its added token {content:?} is looked for in normalized text, and llama.cpp looks for it in the text itself"));
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
        format!("llama.cpp has no name that Signet knows for its pre-tokenizer{with}: {before}")
    })?;
    let decoder = flatten(&json["decoder"], "decoders");
    if types(&decoder) != ["ByteLevel"] {
        return Err(format!("its decoder is {}, and llama.cpp's puts bytes together", json["decoder"]));
    }
    let vocabulary = model["vocab"].as_object().ok_or("its vocabulary is no object")?;
    let complete = Tokenizer::byte_letters().iter().all(|letter| vocabulary.contains_key(letter.encode_utf8(&mut [0; 4])));
    if !complete && !model["unk_token"].is_null() {
        return Err("it has no token for some bytes, and an unknown token in their place; llama.cpp leaves them out".into());
    }
    if !complete && model["byte_fallback"] == true && (0..=255u8).any(|byte| vocabulary.contains_key(&format!("<0x{byte:02X}>"))) {
        return Err("it has no token for some bytes, and others in their place (byte_fallback)".into());
    }
    let whole = model["ignore_merges"] == true;
    if whole != gguf_takes_whole(family) && !same_without_merges(json, tokenizer, !whole)? {
        let does = if whole { "takes" } else { "does not take" };
        return Err(format!("it {does} a word that is a token as that token (ignore_merges), and llama.cpp's {family} does otherwise"));
    }
    Ok(family)
}

/// Returns true if every token's text has the same ids if `ignore_merges` is `whole`.
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

/// Returns true if it puts a space in front of a text.
fn sentence_piece(json: &Value) -> Result<bool, String> {
    let model = &json["model"];
    let vocabulary = model["vocab"].as_object().ok_or("its vocabulary is no object")?;
    let bytes = (0..=255u8).all(|byte| vocabulary.contains_key(&format!("<0x{byte:02X}>")));
    if model["byte_fallback"] != true || !bytes {
        return Err("it does not write unknown characters as bytes (byte_fallback, with a token for each byte), as llama.cpp does".into());
    }
    if model["ignore_merges"] == true {
        return Err("it takes a text that is a token as that token, whatever the merges (ignore_merges), and llama.cpp's llama does not".into());
    }
    let prefix = spaces(json, vocabulary.keys().map(String::as_str))?;
    let decoder = types(&flatten(&json["decoder"], "decoders")).join(", ");
    let strip = if prefix { ", Strip" } else { "" };
    if ![format!("Replace, ByteFallback, Fuse{strip}"), format!("ByteFallback, Fuse, Replace{strip}"), "ByteFallback, Metaspace".to_string()].contains(&decoder)
    {
        return Err(format!("its decoder is {}, and llama.cpp has no equal", json["decoder"]));
    }
    complete_merges(json, vocabulary)?;
    Ok(prefix)
}

/// Returns true if a space is put in front of a text, where spaces are written as SentencePiece does.
fn spaces<'a>(json: &Value, mut tokens: impl Iterator<Item = &'a str>) -> Result<bool, String> {
    let (normalizer, before) = (flatten(&json["normalizer"], "normalizers"), flatten(&json["pre_tokenizer"], "pretokenizers"));
    let replaces = |step: &Value| step["pattern"]["String"] == " " && step["content"] == SPACE;
    let refused = || {
        let (normalizer, before) = (&json["normalizer"], &json["pre_tokenizer"]);
        Err(format!("llama.cpp has no equal of its normalizer {normalizer} with its pre-tokenizer {before}"))
    };
    match (&types(&normalizer)[..], &types(&before)[..]) {
        (["Replace"], []) if replaces(normalizer[0]) => Ok(false),
        (["Prepend", "Replace"], []) if normalizer[0]["prepend"] == SPACE && replaces(normalizer[1]) => Ok(true),
        ([], ["Metaspace"]) if before[0]["replacement"] == SPACE => {
            // Cut into words, no token with a space behind its start is ever found.
            let splits = before[0]["split"] != false;
            if splits && tokens.any(|token| token.chars().skip(1).any(|char| SPACE.contains(char))) {
                return Err("its pre-tokenizer splits a text at spaces, and llama.cpp joins tokens across them".into());
            }
            match before[0]["prepend_scheme"].as_str() {
                Some("never") => Ok(false),
                None | Some("always") => Ok(true),
                _ => Err("it puts a space in front of the first word of a text alone, and llama.cpp also behind every special token".into()),
            }
        }
        _ => refused(),
    }
}

/// llama.cpp joins every two tokens that make a third, the best first: the merges must be all of these, and those that
/// make a token next to each other.
fn complete_merges(json: &Value, vocabulary: &serde_json::Map<String, Value>) -> Result<(), String> {
    let merges = merges(&json["model"]["merges"]).ok_or("its merges are no pairs of texts")?;
    let made: HashSet<(&str, &str)> = merges.iter().copied().collect();
    let special: HashSet<&str> = json["added_tokens"].as_array().into_iter().flatten().filter_map(|token| token["content"].as_str()).collect();
    let known = |token: &str| vocabulary.contains_key(token);
    for token in vocabulary.keys().filter(|token| !special.contains(token.as_str()) && !is_byte(token)) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        if let Some((left, right)) = splits.into_iter().find(|(left, right)| known(left) && known(right) && !made.contains(&(*left, *right))) {
            return Err(format!("it does not join {left:?} and {right:?} to {token:?}, and llama.cpp does"));
        }
    }
    let mut last: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        let token = format!("{left}{right}");
        if last.insert(token.clone(), rank).is_some_and(|before| before + 1 != rank) {
            return Err(format!("its merges that make {token:?} are of different ranks, and llama.cpp has one score for a token"));
        }
    }
    Ok(())
}

/// Merges in order, written as pairs or as texts with a space between.
pub(super) fn merges(json: &Value) -> Option<Vec<(&str, &str)>> {
    fn pair(merge: &Value) -> Option<(&str, &str)> {
        match merge.as_str() {
            Some(text) => text.split_once(' '),
            None => Some((merge[0].as_str()?, merge[1].as_str()?)),
        }
    }
    json.as_array()?.iter().map(pair).collect()
}

/// Returns true if a token of SentencePiece is a byte.
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

    /// Every byte, "th" and "the", and an end.
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

    /// Every byte as a token of its own, a space, "th" and "the".
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
    fn merges_are_read_in_either_form() {
        let either = serde_json::json!([["a", "b"], "ab c"]);
        assert_eq!(merges(&either).unwrap(), [("a", "b"), ("ab", "c")]);
        assert!(merges(&serde_json::json!([7])).is_none() && merges(&serde_json::json!(["ab"])).is_none());
    }

    #[test]
    fn a_tokenizer_is_what_it_does() {
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
    fn what_gguf_cannot_say_is_refused() {
        assert_refused(bytes(), "/added_tokens/0/lstrip", true.into(), "\"</s>\" has lstrip");
        assert_refused(bytes(), "/added_tokens/0/single_word", true.into(), "single_word");
        assert_refused(bytes(), "/pre_tokenizer/add_prefix_space", true.into(), "no name");
        assert_refused(bytes(), "/decoder", json!({"type": "Fuse"}), "decoder");
        assert_refused(bytes(), "/model/ignore_merges", true.into(), "ignore_merges");
        assert_refused(pieces(), "/model/byte_fallback", false.into(), "byte_fallback");
        assert_refused(pieces(), "/added_tokens/0/normalized", true.into(), "normalized text");
        assert_refused(pieces(), "/model/merges", json!([["t", "h"]]), "does not join");
        assert_refused(pieces(), "/normalizer/normalizers/0/prepend", "_".into(), "no equal");
        assert_refused(pieces(), "/decoder/decoders/3", json!({"type": "Fuse"}), "decoder");
    }

    #[test]
    fn merges_may_be_ignored_where_that_changes_nothing() {
        let mut same = bytes();
        same["model"]["vocab"].as_object_mut().unwrap().remove("she");
        same["model"]["ignore_merges"] = true.into();
        assert_eq!(classify(&same), Ok(TokenizerKind::ByteLevel("gpt-2")));
    }
}
