//! Builds the tokenizer of a GGUF file from its metadata, as a `tokenizer.json`. Two models are supported: `gpt2`
//! (byte-level BPE) and `llama` (SentencePiece's BPE, whose merges follow from scores).

use super::data_error::TokenizerError;
use super::ends::EndTokens;
use super::steps::{ByteLevelSplit, LLAMA_3, QWEN_2, SPACE, bytes, sentence_piece, spaces};
use super::tokenizer::Tokenizer;
use crate::formats::FormatError;
use crate::formats::gguf::GgufMetadata;
use crate::formats::gguf::token_types::{BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The longest token, in bytes; real vocabularies have a few dozen.
const MAX_TOKEN_BYTES: usize = 1024;
/// Bytes of all merges per byte of all tokens, at most; LLaMA-2 needs 2.
const MAX_MERGE_RATIO: usize = 64;

impl Tokenizer {
    /// Builds the tokenizer; `None` if the metadata have none.
    pub fn from_gguf(metadata: &GgufMetadata) -> Result<Option<Self>, TokenizerError> {
        let Some(model) = metadata.text("tokenizer.ggml.model")?.filter(|model| *model != "none") else { return Ok(None) };
        let vocabulary = Vocabulary::read(metadata)?;
        let json = match model {
            "gpt2" => byte_level_bpe(metadata, &vocabulary)?,
            "llama" => sentence_piece_bpe(metadata, &vocabulary)?,
            _ => return Err(metadata.problem(format!("its tokenizer is {model:?} (tokenizer.ggml.model); supported are gpt2 and llama")).into()),
        };
        let tokenizer = Self::from_json(json.to_string().as_bytes());
        let tokenizer = tokenizer.map_err(|error| metadata.problem(format!("its metadata do not describe a valid tokenizer: {error}")))?;
        Ok(Some(tokenizer.with_ends(Some(EndTokens::of_gguf(metadata)?))))
    }
}

/// The tokens by id.
struct Vocabulary<'a> {
    metadata: &'a GgufMetadata,
    tokens: &'a [String],
    types: Vec<i32>,
    ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a GgufMetadata) -> Result<Self, FormatError> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        let tokens = metadata.texts(TOKENS)?.ok_or_else(|| metadata.problem(format!("has no metadata {TOKENS}")))?;
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if token.len() > MAX_TOKEN_BYTES {
                return Err(metadata.problem(format!("token {id} has {} bytes; the limit is {MAX_TOKEN_BYTES}", token.len())));
            }
            if let Some(other) = ids.insert(token.as_str(), id) {
                return Err(metadata.problem(format!("tokens {other} and {id} are both {token:?}")));
            }
        }
        let mut types: Vec<i32> = per_token(metadata, "tokenizer.ggml.token_type", tokens.len())?
            .map_or_else(|| vec![NORMAL; tokens.len()], |types| types.iter().map(|&kind| kind as i32).collect());
        for id in EndTokens::special(metadata)? {
            types[id] = CONTROL;
        }
        Ok(Self { metadata, tokens, types, ids })
    }

    /// The token whose id the metadata have under `key`.
    fn named(&self, key: &str) -> Result<Option<&'a str>, FormatError> {
        let Some(id) = self.metadata.count(key)? else { return Ok(None) };
        let token =
            self.tokens.get(id).ok_or_else(|| self.metadata.problem(format!("metadata {key} is {id}, but there are only {} tokens", self.tokens.len())))?;
        Ok(Some(token))
    }

    /// Added tokens: they are matched before normalization.
    fn added(&self) -> Vec<Value> {
        let added =
            self.types.iter().zip(self.tokens).enumerate().filter(|(_, (kind, token))| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind) && !token.is_empty());
        let entry = |(id, (kind, token)): (usize, (&i32, &String))| json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": *kind != USER_DEFINED });
        added.map(entry).collect()
    }

    /// The post-processor: adds the begin and end tokens that the metadata ask for.
    fn post_processor(&self, adds_bos: bool) -> Result<Value, FormatError> {
        let is_set = |key, unless| Ok::<_, FormatError>(self.metadata.flag(key)?.unwrap_or(unless));
        let first = if is_set("tokenizer.ggml.add_bos_token", adds_bos)? { self.named("tokenizer.ggml.bos_token_id")? } else { None };
        let last = if is_set("tokenizer.ggml.add_eos_token", false)? { self.named("tokenizer.ggml.eos_token_id")? } else { None };
        let special = |token: &&str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
        let one = |id: &str| [first.as_ref().map(special), Some(text(id)), last.as_ref().map(special)].into_iter().flatten().collect::<Vec<_>>();
        let known = |token: &&str| (token.to_string(), json!({ "id": token, "ids": [self.ids[*token]], "tokens": [token] }));
        let known: serde_json::Map<String, Value> = first.iter().chain(&last).map(known).collect();
        let pair = [one("A"), one("B")].concat();
        Ok(json!({ "type": "TemplateProcessing", "single": one("A"), "pair": pair, "special_tokens": known }))
    }
}

/// Reads an array with a number for each token, if it exists.
fn per_token(metadata: &GgufMetadata, key: &str, tokens: usize) -> Result<Option<Vec<f64>>, FormatError> {
    let numbers = metadata.numbers(key)?;
    match &numbers {
        Some(numbers) if numbers.len() != tokens => Err(metadata.problem(format!("metadata {key} has {} numbers for {tokens} tokens", numbers.len()))),
        _ => Ok(numbers),
    }
}

/// How a family's byte-level tokenizers split text.
struct SplitFamily {
    normalizer: Value,
    before: Value,
    /// True if a piece that is a token becomes that token without merges.
    ignores_merges: bool,
    /// True if documents begin with a token by default.
    adds_bos: bool,
}

impl SplitFamily {
    /// The splits of a family, by llama.cpp's name.
    fn of(family: &str) -> Option<Self> {
        let plain = |split: ByteLevelSplit| Self { normalizer: Value::Null, before: split.step(false), ignores_merges: false, adds_bos: false };
        Some(match family {
            "gpt-2" | "phi-2" => plain(ByteLevelSplit::Gpt2),
            "smollm" | "starcoder" | "refact" | "codeshell" => plain(ByteLevelSplit::Digits),
            "llama-bpe" | "llama-v3" | "llama3" => Self { ignores_merges: true, adds_bos: true, ..plain(ByteLevelSplit::Pattern(LLAMA_3)) },
            "qwen2" => Self { normalizer: json!({ "type": "NFC" }), ..plain(ByteLevelSplit::Pattern(QWEN_2)) },
            _ => return None,
        })
    }
}

/// Returns llama.cpp's name for the pre-tokenizer of a byte-level BPE in a `tokenizer.json`; `None` if none of the known
/// families matches.
pub fn gguf_family(tokenizer: &Value) -> Option<&'static str> {
    ["gpt-2", "smollm", "llama-bpe", "qwen2"].into_iter().find(|family| {
        let splits = SplitFamily::of(family).expect("the family is known");
        let normalizer = tokenizer["normalizer"]["type"] == splits.normalizer["type"];
        normalizer && canonical(&tokenizer["pre_tokenizer"]) == canonical(&splits.before)
    })
}

/// Returns true if llama.cpp's tokenizers of a family map a word that is a token to that token, without merges.
pub fn gguf_ignores_merges(family: &str) -> bool {
    SplitFamily::of(family).is_some_and(|splits| splits.ignores_merges)
}

/// The parts of a pre-tokenizer that decide where it splits, with the library's defaults filled in.
fn canonical(before: &Value) -> Vec<Value> {
    let or = |value: &Value, usual: bool| value.as_bool().unwrap_or(usual);
    match before["type"].as_str() {
        Some("Sequence") => before["pretokenizers"].as_array().into_iter().flatten().flat_map(canonical).collect(),
        Some("ByteLevel") => vec![json!(["ByteLevel", or(&before["add_prefix_space"], true), or(&before["use_regex"], true)])],
        Some("Digits") => vec![json!(["Digits", or(&before["individual_digits"], false)])],
        Some("Split") => vec![json!(["Split", before["pattern"], before["behavior"], or(&before["invert"], false)])],
        _ => vec![before.clone()],
    }
}

/// The `tokenizer.json` of a byte-level BPE.
fn byte_level_bpe(metadata: &GgufMetadata, vocabulary: &Vocabulary<'_>) -> Result<Value, FormatError> {
    const FAMILY: &str = "tokenizer.ggml.pre";
    let family = metadata.text(FAMILY)?.ok_or_else(|| {
        metadata.problem(format!("has no metadata {FAMILY}, which decides how text is split. Convert the model again with a current llama.cpp"))
    })?;
    let known = "gpt-2, phi-2, smollm, starcoder, refact, codeshell, llama-bpe and qwen2";
    let splits =
        SplitFamily::of(family).ok_or_else(|| metadata.problem(format!("its tokenizer splits text as {family:?} ({FAMILY}); supported are {known}")))?;
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
        "post_processor": vocabulary.post_processor(splits.adds_bos)?,
        "decoder": bytes(true, true),
        "model": { "type": "BPE", "ignore_merges": splits.ignores_merges, "vocab": vocabulary.ids, "merges": merges },
    }))
}

/// The `tokenizer.json` of a SentencePiece BPE such as LLaMA-2's.
fn sentence_piece_bpe(metadata: &GgufMetadata, vocabulary: &Vocabulary<'_>) -> Result<Value, FormatError> {
    let scores =
        per_token(metadata, "tokenizer.ggml.scores", vocabulary.tokens.len())?.ok_or_else(|| metadata.problem("has no metadata tokenizer.ggml.scores"))?;
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
        "post_processor": vocabulary.post_processor(true)?,
        "decoder": sentence_piece(prefix),
        "model": { "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary.ids, "merges": merges },
    }))
}

/// Returns all pairs of tokens that form a third token, by descending score: SentencePiece merges the pair with the best
/// result. Refuses vocabularies with far more pairs than real ones have.
fn merges<'a>(vocabulary: &Vocabulary<'a>, scores: &[f64]) -> Result<Vec<[&'a str; 2]>, FormatError> {
    let limit = MAX_MERGE_RATIO * vocabulary.tokens.iter().map(String::len).sum::<usize>();
    let (mut merges, mut bytes) = (Vec::new(), 0);
    for (id, token) in vocabulary.tokens.iter().enumerate().filter(|(id, _)| ![UNKNOWN, CONTROL, BYTE].contains(&vocabulary.types[*id])) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let before = merges.len();
        merges.extend(splits.filter_map(|(left, right)| Some((id, *vocabulary.ids.get(left)?, *vocabulary.ids.get(right)?))));
        bytes += (merges.len() - before) * token.len();
        if bytes > limit {
            return Err(vocabulary.metadata.problem("its tokens have more merges than those of any real vocabulary"));
        }
    }
    merges.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(a.cmp(b)));
    Ok(merges.into_iter().map(|(_, left, right)| [vocabulary.tokens[left].as_str(), vocabulary.tokens[right].as_str()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_recognized_by_its_steps() {
        for (family, name) in [("gpt-2", "gpt-2"), ("phi-2", "gpt-2"), ("starcoder", "smollm"), ("llama3", "llama-bpe"), ("qwen2", "qwen2")] {
            let splits = SplitFamily::of(family).unwrap();
            let mut tokenizer = json!({ "normalizer": splits.normalizer, "pre_tokenizer": splits.before });
            assert_eq!(gguf_family(&tokenizer), Some(name));
            // The library's defaults may be left out; another normalizer is another family.
            tokenizer["normalizer"] = json!({ "type": "Lowercase" });
            assert_eq!(gguf_family(&tokenizer), None);
        }
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false } })), Some("gpt-2"));
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "ByteLevel" } })), None);
        assert_eq!(gguf_family(&json!({ "pre_tokenizer": { "type": "Metaspace" } })), None);
    }
}
