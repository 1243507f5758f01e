//! The tokenizer of a GGUF file, from its metadata: what `tokenizer.json` would say of it. Two models
//! are known, `gpt2` (byte-level BPE) and `llama` (SentencePiece's BPE, whose merges follow from scores).

use super::ends::Ends;
use super::error::TokenizerError;
use super::steps::{LLAMA_3, QWEN_2, SPACE, Split, bytes, sentence_piece, spaces};
use super::tokenizer::Tokenizer;
use crate::formats::FormatError;
use crate::formats::gguf::Metadata;
use crate::formats::gguf::token_types::{BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Longest text of a token, in bytes: those of real vocabularies have a few dozen.
const LONGEST: usize = 1024;
/// Texts of all merges together take at most so many times the bytes of all tokens: LLaMA-2's take two.
const MERGES: usize = 64;

impl Tokenizer {
    /// The tokenizer that a GGUF file's metadata describe, if they do.
    pub fn from_gguf(metadata: &Metadata) -> Result<Option<Self>, TokenizerError> {
        let Some(model) = metadata.text("tokenizer.ggml.model")?.filter(|model| *model != "none") else { return Ok(None) };
        let vocabulary = Vocabulary::read(metadata)?;
        let json = match model {
            "gpt2" => byte_level_bpe(metadata, &vocabulary)?,
            "llama" => sentence_piece_bpe(metadata, &vocabulary)?,
            _ => return Err(metadata.problem(format!("its tokenizer is {model:?} (tokenizer.ggml.model); Signet knows gpt2 and llama")).into()),
        };
        let tokenizer = Self::from_json(json.to_string().as_bytes());
        let tokenizer = tokenizer.map_err(|error| metadata.problem(format!("its metadata describe no tokenizer: {error}")))?;
        Ok(Some(tokenizer.ended_by(Some(Ends::of_gguf(metadata)?))))
    }
}

/// The tokens by id.
struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: &'a [String],
    types: Vec<i32>,
    ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, FormatError> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        let tokens = metadata.texts(TOKENS)?.ok_or_else(|| metadata.problem(format!("has no metadata {TOKENS}")))?;
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if token.len() > LONGEST {
                return Err(metadata.problem(format!("token {id} has {} bytes; {LONGEST} are possible", token.len())));
            }
            if let Some(other) = ids.insert(token.as_str(), id) {
                return Err(metadata.problem(format!("tokens {other} and {id} are both {token:?}")));
            }
        }
        let mut types: Vec<i32> = of_tokens(metadata, "tokenizer.ggml.token_type", tokens.len())?
            .map_or_else(|| vec![NORMAL; tokens.len()], |types| types.iter().map(|&kind| kind as i32).collect());
        for id in Ends::special(metadata)? {
            types[id] = CONTROL;
        }
        Ok(Self { metadata, tokens, types, ids })
    }

    /// The text of the token whose id is in the metadata.
    fn named(&self, key: &str) -> Result<Option<&'a str>, FormatError> {
        let Some(id) = self.metadata.count(key)? else { return Ok(None) };
        let token = self.tokens.get(id).ok_or_else(|| self.metadata.problem(format!("metadata {key} is {id}, and there are {} tokens", self.tokens.len())))?;
        Ok(Some(token))
    }

    /// Tokens that are found in a text before anything else is done to it.
    fn added(&self) -> Vec<Value> {
        let added =
            self.types.iter().zip(self.tokens).enumerate().filter(|(_, (kind, token))| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind) && !token.is_empty());
        let entry = |(id, (kind, token)): (usize, (&i32, &String))| json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": *kind != USER_DEFINED });
        added.map(entry).collect()
    }

    /// What is put around a document: the tokens that begin and end one, if the metadata say so.
    fn around(&self, begins: bool) -> Result<Value, FormatError> {
        let wanted = |key, unless| Ok::<_, FormatError>(self.metadata.flag(key)?.unwrap_or(unless));
        let first = if wanted("tokenizer.ggml.add_bos_token", begins)? { self.named("tokenizer.ggml.bos_token_id")? } else { None };
        let last = if wanted("tokenizer.ggml.add_eos_token", false)? { self.named("tokenizer.ggml.eos_token_id")? } else { None };
        let special = |token: &&str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
        let one = |id: &str| [first.as_ref().map(special), Some(text(id)), last.as_ref().map(special)].into_iter().flatten().collect::<Vec<_>>();
        let known = |token: &&str| (token.to_string(), json!({ "id": token, "ids": [self.ids[*token]], "tokens": [token] }));
        let known: serde_json::Map<String, Value> = first.iter().chain(&last).map(known).collect();
        let pair = [one("A"), one("B")].concat();
        Ok(json!({ "type": "TemplateProcessing", "single": one("A"), "pair": pair, "special_tokens": known }))
    }
}

/// A number for each token, if they are there.
fn of_tokens(metadata: &Metadata, key: &str, tokens: usize) -> Result<Option<Vec<f64>>, FormatError> {
    let numbers = metadata.numbers(key)?;
    match &numbers {
        Some(numbers) if numbers.len() != tokens => Err(metadata.problem(format!("metadata {key} has {} numbers for {tokens} tokens", numbers.len()))),
        _ => Ok(numbers),
    }
}

/// How a family's byte-level tokenizers treat a text.
struct Splits {
    normalizer: Value,
    before: Value,
    /// Whether a piece that is a token is that token, whatever the merges.
    whole: bool,
    /// Whether documents begin with a token, unless the metadata say otherwise.
    begins: bool,
}

impl Splits {
    /// By what llama.cpp calls the family.
    fn of(family: &str) -> Option<Self> {
        let plain = |split: Split| Self { normalizer: Value::Null, before: split.step(false), whole: false, begins: false };
        Some(match family {
            "gpt-2" | "phi-2" => plain(Split::Gpt2),
            "smollm" | "starcoder" | "refact" | "codeshell" => plain(Split::Digits),
            "llama-bpe" | "llama-v3" | "llama3" => Self { whole: true, begins: true, ..plain(Split::Pattern(LLAMA_3)) },
            "qwen2" => Self { normalizer: json!({ "type": "NFC" }), ..plain(Split::Pattern(QWEN_2)) },
            _ => return None,
        })
    }
}

/// What llama.cpp calls the way in which a `tokenizer.json` of a byte-level BPE splits texts; none if it has no name
/// for it that is known here.
pub fn gguf_family(tokenizer: &Value) -> Option<&'static str> {
    ["gpt-2", "smollm", "llama-bpe", "qwen2"].into_iter().find(|family| {
        let splits = Splits::of(family).expect("a family that is known");
        let normalizer = tokenizer["normalizer"]["type"] == splits.normalizer["type"];
        normalizer && essence(&tokenizer["pre_tokenizer"]) == essence(&splits.before)
    })
}

/// Returns true if llama.cpp's tokenizers of a family take a word that is a token as that token, whatever the merges.
pub fn gguf_takes_whole(family: &str) -> bool {
    Splits::of(family).is_some_and(|splits| splits.whole)
}

/// What of a pre-tokenizer decides where it splits, with what is left out as the library has it.
fn essence(before: &Value) -> Vec<Value> {
    let or = |value: &Value, usual: bool| value.as_bool().unwrap_or(usual);
    match before["type"].as_str() {
        Some("Sequence") => before["pretokenizers"].as_array().into_iter().flatten().flat_map(essence).collect(),
        Some("ByteLevel") => vec![json!(["ByteLevel", or(&before["add_prefix_space"], true), or(&before["use_regex"], true)])],
        Some("Digits") => vec![json!(["Digits", or(&before["individual_digits"], false)])],
        Some("Split") => vec![json!(["Split", before["pattern"], before["behavior"], or(&before["invert"], false)])],
        _ => vec![before.clone()],
    }
}

/// The `tokenizer.json` of a byte-level BPE.
fn byte_level_bpe(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, FormatError> {
    const FAMILY: &str = "tokenizer.ggml.pre";
    let family = metadata.text(FAMILY)?.ok_or_else(|| {
        metadata.problem(format!("has no metadata {FAMILY}, so that it is not known how to split a text. Convert the model again with a current llama.cpp"))
    })?;
    let known = "gpt-2, phi-2, smollm, starcoder, refact, codeshell, llama-bpe and qwen2";
    let splits = Splits::of(family).ok_or_else(|| metadata.problem(format!("its tokenizer splits texts as {family:?} ({FAMILY}); Signet knows {known}")))?;
    let merges = metadata.texts("tokenizer.ggml.merges")?.ok_or_else(|| metadata.problem("has no metadata tokenizer.ggml.merges"))?;
    let pair = |(n, merge): (usize, &String)| match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok(json!([left, right])),
        _ => Err(metadata.problem(format!("merge {n} is {merge:?}, which is not two tokens with a space between them"))),
    };
    let merges = merges.iter().enumerate().map(pair).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": splits.normalizer,
        "pre_tokenizer": splits.before,
        "post_processor": vocabulary.around(splits.begins)?,
        "decoder": bytes(true, true),
        "model": { "type": "BPE", "ignore_merges": splits.whole, "vocab": vocabulary.ids, "merges": merges },
    }))
}

/// The `tokenizer.json` of a SentencePiece BPE, as that of LLaMA-2 is.
fn sentence_piece_bpe(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, FormatError> {
    let scores =
        of_tokens(metadata, "tokenizer.ggml.scores", vocabulary.tokens.len())?.ok_or_else(|| metadata.problem("has no metadata tokenizer.ggml.scores"))?;
    let unknown = vocabulary.named("tokenizer.ggml.unknown_token_id")?.or(vocabulary.tokens.first().map(String::as_str));
    let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers = vec![spaces()];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": SPACE }));
    }
    let merges = merges(vocabulary, &scores)?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": vocabulary.around(true)?,
        "decoder": sentence_piece(prefix),
        "model": { "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary.ids, "merges": merges },
    }))
}

/// Every way in which two tokens make a third, that of the highest score first: SentencePiece joins what
/// gives the best token. Those of a vocabulary made to have far more than a real one are refused.
fn merges<'a>(vocabulary: &Vocabulary<'a>, scores: &[f64]) -> Result<Vec<[&'a str; 2]>, FormatError> {
    let room = MERGES * vocabulary.tokens.iter().map(String::len).sum::<usize>();
    let (mut merges, mut bytes) = (Vec::new(), 0);
    for (id, token) in vocabulary.tokens.iter().enumerate().filter(|(id, _)| ![UNKNOWN, CONTROL, BYTE].contains(&vocabulary.types[*id])) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let before = merges.len();
        merges.extend(splits.filter_map(|(left, right)| Some((id, *vocabulary.ids.get(left)?, *vocabulary.ids.get(right)?))));
        bytes += (merges.len() - before) * token.len();
        if bytes > room {
            return Err(vocabulary.metadata.problem("its tokens can be joined in more ways than those of any real vocabulary"));
        }
    }
    merges.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(a.cmp(b)));
    Ok(merges.into_iter().map(|(_, left, right)| [vocabulary.tokens[left].as_str(), vocabulary.tokens[right].as_str()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_known_again_by_what_it_does() {
        for (family, name) in [("gpt-2", "gpt-2"), ("phi-2", "gpt-2"), ("starcoder", "smollm"), ("llama3", "llama-bpe"), ("qwen2", "qwen2")] {
            let splits = Splits::of(family).unwrap();
            let mut tokenizer = json!({ "normalizer": splits.normalizer, "pre_tokenizer": splits.before });
            assert_eq!(gguf_family(&tokenizer), Some(name));
            // What the library takes for granted may be left out; another normalizer is another way.
            tokenizer["normalizer"] = json!({ "type": "Lowercase" });
            assert_eq!(gguf_family(&tokenizer), None);
        }
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false } })), Some("gpt-2"));
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "ByteLevel" } })), None);
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "Metaspace" } })), None);
    }
}
