//! Tokens that end a document or a reply: those that a model declares, and those that special tokens suggest where it
//! declares none.

use super::pipeline::Pipeline;
use super::tokenizer::END;
use crate::formats::FormatError;
use crate::formats::gguf::Metadata;

/// Texts of special tokens that end a document or a reply, in the order in which they are looked for.
const SUGGESTED: [&str; 6] = [END, "</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>"];

/// Texts of tokens at which llama.cpp ends a reply, whatever a GGUF file's metadata name (`llama-vocab.cpp`).
pub const LLAMA_CPP: [&str; 33] = [
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
    // Tokens for code: padding, repositories and files.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Metadata of a GGUF file that name end tokens, the first that of documents.
const KEYS: [&str; 6] = ["eos_token_id", "eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"];

/// All end tokens of a GGUF file that Signet wrote: there are not keys enough for more than three.
pub const GGUF_ENDS: &str = "signet.end_token_ids";

/// Types of tokens that are ordinary entries of the vocabulary, as GGUF numbers them.
const ORDINARY: [f64; 2] = [1.0, 6.0];

/// End tokens of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Ends a document.
    pub document: Option<u32>,
    /// Every token after which a reply is over.
    pub replies: Vec<u32>,
}

impl Ends {
    /// End tokens from the eos token and the ids that end a reply. The eos token ends a document; without one, the first
    /// of the others does.
    pub fn new(eos: Option<u32>, replies: impl IntoIterator<Item = u32>) -> Self {
        let mut list = Vec::new();
        for id in eos.into_iter().chain(replies) {
            if !list.contains(&id) {
                list.push(id);
            }
        }
        Self { document: list.first().copied(), replies: list }
    }

    /// The end tokens that a tokenizer's special tokens suggest. An ordinary entry of the vocabulary ends nothing, whatever its text.
    pub(super) fn suggested(tokenizer: &Pipeline) -> Self {
        let vocabulary = tokenizer.get_added_vocabulary();
        let special = |text: &&str| vocabulary.is_special_token(text);
        Self::new(None, SUGGESTED.iter().filter(|text| special(text)).filter_map(|text| tokenizer.token_to_id(text)))
    }

    /// Those that a model had until its own declarations counted: tokens of the suggested texts, special or not, then eos.
    pub(super) fn before(tokenizer: &Pipeline, eos: Option<u32>) -> Self {
        Self::new(None, SUGGESTED.iter().filter_map(|text| tokenizer.token_to_id(text)).chain(eos))
    }

    /// Those of a GGUF file, as llama.cpp has them: what the metadata name, and tokens of known texts that are no ordinary
    /// entries of the vocabulary.
    pub(super) fn of_gguf(metadata: &Metadata) -> Result<Self, FormatError> {
        let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
        let known = |id: usize| u32::try_from(id).ok().filter(|_| id < tokens.len());
        if let Some(ids) = metadata.numbers(GGUF_ENDS)? {
            return Ok(Self::new(None, ids.iter().filter_map(|&id| known(id as usize))));
        }
        let types = metadata.numbers("tokenizer.ggml.token_type")?;
        let ordinary = |id: usize| types.as_ref().is_some_and(|types| types.get(id).is_some_and(|kind| ORDINARY.contains(kind)));
        let mut named = Vec::new();
        for key in KEYS {
            named.push(metadata.count(&format!("tokenizer.ggml.{key}"))?.and_then(known));
        }
        let texts = tokens.iter().enumerate().filter(|(id, text)| LLAMA_CPP.contains(&text.as_str()) && !ordinary(*id));
        let mut ends = Self::new(named[0], named[1..].iter().flatten().copied().chain(texts.filter_map(|(id, _)| known(id))));
        ends.except(tokens);
        Ok(ends)
    }

    /// Leaves out what llama.cpp does: families whose other tokens show that a known text ends nothing.
    fn except(&mut self, tokens: &[String]) {
        let has = |ids: &[u32], text: &str| ids.iter().any(|&id| tokens[id as usize] == text);
        let ids = &self.replies;
        let call = has(ids, "<|call|>") || has(ids, "<|calls|>");
        let end = call && (has(ids, "<|return|>") || has(ids, "<|flush|>"));
        let slash = has(ids, "<|tool_response>");
        self.replies.retain(|&id| !(end && tokens[id as usize] == "<|end|>" || slash && tokens[id as usize] == "</s>"));
        self.document = self.document.filter(|id| self.replies.contains(id)).or(self.replies.first().copied());
    }
}
