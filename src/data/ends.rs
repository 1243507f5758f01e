//! End tokens of documents and replies: those that a model declares, or those that its special tokens suggest.

use super::pipeline::TokenizerPipeline;
use super::special::END;
use crate::formats::FormatError;
use crate::formats::gguf::GgufMetadata;
use crate::formats::gguf::token_types::{BYTE, NORMAL};

/// Texts of special tokens that end a document or a reply, by priority.
const SUGGESTED: [&str; 6] = [END, "</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>"];

/// Tokens that llama.cpp treats as the end of a reply, whatever a GGUF file's metadata say (`llama-vocab.cpp`).
pub const LLAMA_CPP_ENDS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "[e~[",
];

/// Metadata keys of end tokens in a GGUF file; the first is that of documents.
const KEYS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

/// Metadata keys of end tokens in code (padding, repository, file), and the texts by which llama.cpp finds the token
/// without the key.
const CODE: [(&str, &[&str]); 3] = [
    ("fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("fim_rep_token_id", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("fim_sep_token_id", &["<|file_sep|>"]),
];

/// The metadata key with all end tokens in GGUF files that Signet wrote: the standard keys hold three at most.
pub const GGUF_ENDS: &str = "signet.end_token_ids";

/// Often an ordinary entry of the vocabulary, which ends nothing.
const ENTRY: &str = "</s>";
/// Types of ordinary entries of the vocabulary.
const ORDINARY: [i32; 2] = [NORMAL, BYTE];

/// The end tokens of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndTokens {
    /// Ends a document.
    pub document: Option<u32>,
    /// The tokens that end a reply.
    pub replies: Vec<u32>,
}

impl EndTokens {
    /// Creates end tokens from the eos token and the ids that end a reply. The eos token ends a document; without one, the
    /// first of the others does.
    pub fn new(eos: Option<u32>, replies: impl IntoIterator<Item = u32>) -> Self {
        let mut list = Vec::new();
        for id in eos.into_iter().chain(replies) {
            if !list.contains(&id) {
                list.push(id);
            }
        }
        Self { document: list.first().copied(), replies: list }
    }

    /// The end tokens that a tokenizer's special tokens suggest. Ordinary entries of the vocabulary are ignored.
    pub(super) fn suggested(tokenizer: &TokenizerPipeline) -> Self {
        let vocabulary = tokenizer.get_added_vocabulary();
        let special = |text: &&str| vocabulary.is_special_token(text);
        Self::new(None, SUGGESTED.iter().filter(|text| special(text)).filter_map(|text| tokenizer.token_to_id(text)))
    }

    /// The end tokens of versions before declarations counted: tokens with the suggested texts, special or not, then eos.
    pub(super) fn legacy(tokenizer: &TokenizerPipeline, eos: Option<u32>) -> Self {
        Self::new(None, SUGGESTED.iter().filter_map(|text| tokenizer.token_to_id(text)).chain(eos))
    }

    /// The end tokens of a GGUF file by llama.cpp's rules: those in the metadata, and tokens with known texts, whatever
    /// their types, except for an ordinary entry `</s>`.
    pub(super) fn of_gguf(metadata: &GgufMetadata) -> Result<Self, FormatError> {
        let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
        let known = |id: usize| u32::try_from(id).ok().filter(|_| id < tokens.len());
        if let Some(ids) = metadata.numbers(GGUF_ENDS)? {
            return Ok(Self::new(None, ids.iter().filter_map(|&id| known(id as usize))));
        }
        let types = metadata.numbers("tokenizer.ggml.token_type")?;
        let ordinary = |id: usize| types.as_ref().is_some_and(|types| types.get(id).is_some_and(|kind| ORDINARY.map(f64::from).contains(kind)));
        let mut named = Vec::new();
        for key in KEYS.into_iter().chain(CODE.map(|(key, _)| key)) {
            named.push(metadata.count(&format!("tokenizer.ggml.{key}"))?.and_then(known));
        }
        let code = code_tokens(metadata)?;
        let texts = tokens.iter().enumerate().filter(|(id, text)| LLAMA_CPP_ENDS.contains(&text.as_str()) && !(*text == ENTRY && ordinary(*id)));
        let found = code.into_iter().chain(texts.map(|(id, _)| id)).filter_map(known);
        let mut ends = Self::new(named[0], named[1..].iter().flatten().copied().chain(found));
        ends.apply_exceptions(tokens);
        Ok(ends)
    }

    /// The tokens of a GGUF file that llama.cpp treats as special by their texts, whatever their types. Files that Signet
    /// wrote have the right types.
    pub(super) fn special(metadata: &GgufMetadata) -> Result<Vec<usize>, FormatError> {
        if metadata.numbers(GGUF_ENDS)?.is_some() {
            return Ok(Vec::new());
        }
        let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
        let texts = tokens.iter().enumerate().filter(|(_, text)| *text != ENTRY && LLAMA_CPP_ENDS.contains(&text.as_str()));
        Ok(texts.map(|(id, _)| id).chain(code_tokens(metadata)?).collect())
    }

    /// Removes the tokens that llama.cpp removes: in some families, other tokens show that a known text is not an end.
    fn apply_exceptions(&mut self, tokens: &[String]) {
        let has = |ids: &[u32], text: &str| ids.iter().any(|&id| tokens[id as usize] == text);
        let ids = &self.replies;
        let call = has(ids, "<|call|>") || has(ids, "<|calls|>");
        let end = call && (has(ids, "<|return|>") || has(ids, "<|flush|>"));
        let slash = has(ids, "<|tool_response>");
        self.replies.retain(|&id| !(end && tokens[id as usize] == "<|end|>" || slash && tokens[id as usize] == "</s>"));
        self.document = self.document.filter(|id| self.replies.contains(id)).or(self.replies.first().copied());
    }
}

/// Finds end tokens of code by text: the first for each key that the metadata lack.
fn code_tokens(metadata: &GgufMetadata) -> Result<Vec<usize>, FormatError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let mut found = Vec::new();
    for (key, texts) in CODE {
        if metadata.count(&format!("tokenizer.ggml.{key}"))?.is_none_or(|id| id >= tokens.len()) {
            found.extend(tokens.iter().position(|token| texts.contains(&token.as_str())));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::data::Tokenizer;
    use crate::formats::gguf::Gguf;
    use crate::formats::gguf::{GgufValue, GgufWriter};
    use std::sync::Arc;

    /// The tokenizer of a GGUF file with three tokens and, from id 3 on, these, each with its type; `keys` are further
    /// metadata.
    fn tokenizer(tokens: &[(&str, i32)], keys: &[(&str, u32)]) -> Tokenizer {
        let tokens = [("a", 1), ("b", 1), ("ab", 1)].into_iter().chain(tokens.iter().copied());
        let (texts, types): (Vec<String>, Vec<i32>) = tokens.map(|(text, kind)| (text.to_string(), kind)).unzip();
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut metadata = vec![
            (key("model"), GgufValue::Text("gpt2".into())),
            (key("pre"), GgufValue::Text("gpt-2".into())),
            (key("merges"), GgufValue::Texts(vec!["a b".into()])),
            (key("tokens"), GgufValue::Texts(texts)),
            (key("token_type"), GgufValue::Integers(types)),
        ];
        metadata.extend(keys.iter().map(|(name, id)| (key(name), GgufValue::U32(*id))));
        let mut bytes = Vec::new();
        GgufWriter::new(&mut bytes, &metadata, &[]).unwrap().finish().unwrap();
        let file = Gguf::owned("ends", Arc::new(bytes)).unwrap();
        Tokenizer::from_gguf(file.metadata()).unwrap().unwrap()
    }

    #[test]
    fn known_texts_end_a_reply_in_gguf_whatever_their_types() {
        let ends = tokenizer(&[("<|im_end|>", 1), ("</s>", 1), ("<end_of_turn>", 6), ("<|eot_id|>", 4)], &[]);
        assert_eq!(ends.ends(), [3, 5, 6]);
        // They are special tokens, too.
        assert_eq!(ends.encode("ab<|im_end|>b<|eot_id|>").unwrap(), [2, 3, 1, 6]);
        assert_eq!(ends.decode(&[0, 6, 1], false).unwrap(), "ab");
        assert_eq!(ends.encode("a</s>").unwrap(), [0], "an ordinary entry");
        assert_eq!(tokenizer(&[("</s>", 3)], &[]).ends(), [3]);
        assert_eq!(tokenizer(&[("</s>", 1)], &[("eos_token_id", 3)]).ends(), [3]);
    }

    #[test]
    fn one_token_for_code_ends_a_reply_in_gguf() {
        let tokens = [("[PAD]", 1), ("<PAD>", 1), ("<|fim_pad|>", 3), ("<reponame>", 1), ("<|file_sep|>", 1)];
        let named = tokenizer(&tokens, &[("fim_pad_token_id", 5)]);
        assert_eq!(named.ends(), [5, 6, 7]);
        assert_eq!(named.encode("a[PAD]<reponame>").unwrap(), [0, 6]);
        assert_eq!(tokenizer(&tokens[..3], &[]).ends(), [3]);
        assert_eq!(tokenizer(&tokens[..3], &[("fim_pad_token_id", 99)]).ends(), [3], "an id that there is not");
    }
}
