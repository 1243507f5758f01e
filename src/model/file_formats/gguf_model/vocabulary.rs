//! A tokenizer as GGUF metadata: tokens by id with their types, and merges (byte-level BPE) or scores (SentencePiece
//! BPE).

use super::tokenizer_kind::{TokenizerKind, is_byte, merges, tokenizer_kind};
use crate::data::{GGUF_ENDS, LLAMA_CPP_ENDS, Tokenizer};
use crate::formats::FormatError;
use crate::formats::gguf::GgufValue;
use crate::formats::gguf::token_types::{BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED};
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::model_error::ModelError;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// The metadata of the tokenizer of the model at `path`, whose embedding has `rows` rows. An error if llama.cpp has no
/// equivalent tokenizer.
pub(super) fn vocabulary(path: &Path, tokenizer: &Tokenizer, chat: &ChatFormat, rows: usize) -> Result<Vec<(String, GgufValue)>, ModelError> {
    let json: Value = serde_json::from_str(&tokenizer.to_json()?).expect("the library writes JSON");
    let refused = |why: String| FormatError::new(path, format!("its tokenizer cannot be written as GGUF: {why}"));
    if tokenizer.splits_special() {
        return Err(refused("it encodes special tokens as ordinary text (split_special_tokens)".into()).into());
    }
    let kind = tokenizer_kind(&json, tokenizer).map_err(refused)?;
    let merges = merges(&json["model"]["merges"]).ok_or_else(|| refused("its merges are not pairs of strings".into()))?;
    let sentence_piece = matches!(kind, TokenizerKind::SentencePiece { .. });
    let (tokens, types) = tokens(&json, rows, sentence_piece);
    let mut entries = match kind {
        TokenizerKind::SentencePiece { prefix } => {
            let scores = scores(&tokens, &merges);
            vec![("model", GgufValue::Text("llama".into())), ("scores", GgufValue::Floats(scores)), ("add_space_prefix", GgufValue::Bool(prefix))]
        }
        TokenizerKind::ByteLevel(pre) => {
            let joined = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
            vec![("model", GgufValue::Text("gpt2".into())), ("pre", GgufValue::Text(pre.into())), ("merges", GgufValue::Texts(joined))]
        }
    };
    entries.extend([("tokens", GgufValue::Texts(tokens)), ("token_type", GgufValue::Integers(types))]);
    let begin = chat.bos_token().and_then(|text| tokenizer.id(text)).or(prepended_token(tokenizer)?);
    entries.extend(begin.map(|id| ("bos_token_id", GgufValue::U32(id))));
    entries.extend(end_keys(tokenizer).into_iter().map(|(key, id)| (key, GgufValue::U32(id))));
    let (begins, ends) =
        adds_bos_and_eos(tokenizer, begin, tokenizer.end())?.ok_or_else(|| refused("it adds other tokens to a document than its bos and eos token".into()))?;
    entries.extend([("add_bos_token", GgufValue::Bool(begins)), ("add_eos_token", GgufValue::Bool(ends))]);
    let unknown = json["model"]["unk_token"].as_str().filter(|_| sentence_piece).and_then(|text| tokenizer.id(text));
    entries.extend(unknown.map(|id| ("unknown_token_id", GgufValue::U32(id))));
    let mut entries: Vec<(String, GgufValue)> = entries.into_iter().map(|(key, entry)| (format!("tokenizer.ggml.{key}"), entry)).collect();
    let ends = tokenizer.ends().into_iter().map(|id| id as i32).collect::<Vec<_>>();
    if !ends.is_empty() {
        entries.push((GGUF_ENDS.into(), GgufValue::Integers(ends)));
    }
    entries.extend(templates(chat));
    Ok(entries)
}

/// The chat templates, as llama.cpp's converter writes them: the default, others under keys with their names, and a list
/// of these names.
fn templates(chat: &ChatFormat) -> Vec<(String, GgufValue)> {
    const KEY: &str = "tokenizer.chat_template";
    let plain = chat.template.as_ref().and_then(Templates::plain).map(|template| (KEY.to_string(), GgufValue::Text(template.into())));
    let mut entries: Vec<(String, GgufValue)> = plain.into_iter().collect();
    if let Some(Templates::Named(named)) = &chat.template {
        let others: Vec<(&String, &String)> = named.iter().filter(|(name, _)| *name != Templates::DEFAULT).collect();
        entries.extend(others.iter().map(|(name, template)| (format!("{KEY}.{name}"), GgufValue::Text(template.to_string()))));
        entries.push(("tokenizer.chat_templates".into(), GgufValue::Texts(others.iter().map(|(name, _)| name.to_string()).collect())));
    }
    entries
}

/// The token that is prepended to a document, if it is exactly one.
fn prepended_token(tokenizer: &Tokenizer) -> Result<Option<u32>, ModelError> {
    let (text, document) = (tokenizer.encode("a")?, tokenizer.encode_document("a")?);
    let first = document.first().filter(|_| document.len() == text.len() + 1 && document.ends_with(&text));
    Ok(first.copied())
}

/// Returns if a bos and an eos token are added to a document; `None` if other tokens are added.
fn adds_bos_and_eos(tokenizer: &Tokenizer, begin: Option<u32>, end: Option<u32>) -> Result<Option<(bool, bool)>, ModelError> {
    let (text, document) = (tokenizer.encode("a")?, tokenizer.encode_document("a")?);
    let framed = |(begins, ends): &(bool, bool)| {
        let first = begin.filter(|_| *begins).into_iter();
        let last = end.filter(|_| *ends);
        first.chain(text.iter().copied()).chain(last).eq(document.iter().copied())
    };
    Ok([(false, false), (true, false), (false, true), (true, true)].into_iter().find(framed))
}

/// The keys of the end tokens: the one of documents, and at most two more. Tokens that llama.cpp does not recognize by
/// their text come first.
fn end_keys(tokenizer: &Tokenizer) -> Vec<(&'static str, u32)> {
    let text = |id: u32| tokenizer.token(id).unwrap_or_default();
    let mut others: Vec<u32> = tokenizer.ends().into_iter().filter(|&id| tokenizer.end() != Some(id)).collect();
    others.sort_by_key(|&id| LLAMA_CPP_ENDS.contains(&text(id).as_str()));
    let message = others.iter().position(|&id| text(id) == "<|eom_id|>").map(|at| others.remove(at));
    let mut others = others.into_iter();
    let turn = others.next();
    let keys = [("eos_token_id", tokenizer.end()), ("eot_token_id", turn), ("eom_token_id", message.or_else(|| others.next()))];
    keys.into_iter().filter_map(|(key, id)| Some((key, id?))).collect()
}

/// A unique text for an id without a token.
fn padding_text(json: &Value, id: usize) -> String {
    let vocabulary = &json["model"]["vocab"];
    let taken = |text: &String| {
        !vocabulary[text.as_str()].is_null() || json["added_tokens"].as_array().into_iter().flatten().any(|token| token["content"] == text.as_str())
    };
    let texts = (0..).map(|marks| format!("[PAD{id}{}]", "_".repeat(marks)));
    texts.into_iter().find(|text| !taken(text)).expect("an unused text")
}

/// Text and type of each id below `rows`.
fn tokens(json: &Value, rows: usize, sentence_piece: bool) -> (Vec<String>, Vec<i32>) {
    let mut tokens: Vec<String> = (0..rows).map(|id| padding_text(json, id)).collect();
    let mut types = vec![UNUSED; rows];
    let mut put = |id: &Value, text: &str, kind: i32| {
        if let Some(id) = id.as_u64().map(|id| id as usize).filter(|&id| id < rows) {
            (tokens[id], types[id]) = (text.to_string(), kind);
        }
    };
    let unknown = json["model"]["unk_token"].as_str();
    for (text, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        let byte = sentence_piece && is_byte(text);
        put(
            id,
            text,
            if byte {
                BYTE
            } else if sentence_piece && Some(text.as_str()) == unknown {
                UNKNOWN
            } else {
                NORMAL
            },
        );
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let Some(text) = added["content"].as_str() else { continue };
        let is_unknown = sentence_piece && Some(text) == unknown;
        put(
            &added["id"],
            text,
            if is_unknown {
                UNKNOWN
            } else if added["special"] == Value::Bool(true) {
                CONTROL
            } else {
                USER_DEFINED
            },
        );
    }
    (tokens, types)
}

/// Scores of the tokens: the negative rank of the first merge into the token, since SentencePiece merges the pair with
/// the highest score first; 0 for bytes and characters.
fn scores(tokens: &[String], merges: &[(&str, &str)]) -> Vec<f32> {
    let mut first: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        first.entry(format!("{left}{right}")).or_insert(rank);
    }
    tokens.iter().map(|token| first.get(token).map_or(0.0, |&rank| -(rank as f32))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_without_a_token_are_padding_and_scores_follow_the_merges() {
        let json = serde_json::json!({
            "model": {"vocab": {"<unk>": 0, "<0x0A>": 1, "a": 2, "b": 3, "ab": 4}, "unk_token": "<unk>"},
            "added_tokens": [{"id": 5, "content": "</s>", "special": true}, {"id": 0, "content": "<unk>", "special": true}]
        });
        let (texts, types) = tokens(&json, 7, true);
        assert_eq!(texts, ["<unk>", "<0x0A>", "a", "b", "ab", "</s>", "[PAD6]"]);
        assert_eq!(types, [UNKNOWN, BYTE, NORMAL, NORMAL, NORMAL, CONTROL, UNUSED]);
        assert_eq!(scores(&texts, &[("a", "b")])[4], -0.0);
        assert_eq!(scores(&["a".into(), "b".into(), "ab".into(), "ba".into()], &[("b", "a"), ("a", "b")]), [0.0, 0.0, -1.0, -0.0]);
    }
}
