//! Encoding of text to scoring requests (context and continuation tokens), as in lm-evaluation-harness 0.4.

use super::TaskError;
use crate::data::{Tokenizer, TokenizerError};
use crate::jinja::is_space;

/// A request to score the last tokens of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// Context tokens, then scored tokens.
    pub tokens: Vec<u32>,
    /// Number of scored tokens.
    pub scored: usize,
}

impl ScoreRequest {
    /// The input of the model: all but the last token, which is only scored.
    pub fn input(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }
}

/// Encodes texts to requests.
pub struct RequestEncoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The context if there is no other: the bos token, or else the eos token.
    prefix: Option<(u32, String)>,
    /// True if the tokenizer adds its special tokens to a text.
    special: bool,
    /// The model's context length.
    context: usize,
}

impl<'a> RequestEncoder<'a> {
    /// Makes an encoder; `bos` and `eos` are the bos and eos token of the model's files. With `special`, the tokenizer adds
    /// its special tokens to each text, as in lm-evaluation-harness 0.4.13; 0.4.2, which the paper used, did not.
    pub fn new(tokenizer: &'a Tokenizer, bos: Option<&str>, eos: Option<&str>, special: bool, context: usize) -> Self {
        let named = [bos, eos].into_iter().flatten().find_map(|text| Some((tokenizer.id(text)?, text.to_string())));
        let prefix = named.or_else(|| tokenizer.end().and_then(|end| Some((end, tokenizer.decode(&[end], true).ok()?))));
        Self { tokenizer, prefix, special, context }
    }

    /// Encodes the request to score `continuation` after `context`. Spaces at the end of the context belong to the
    /// continuation. Its tokens are those of the whole text after the number of tokens of the context. A sequence that is too
    /// long is truncated on the left.
    pub fn request(&self, context: &str, continuation: &str) -> Result<ScoreRequest, TaskError> {
        let (mut tokens, scored) = self.encode_pair(context, continuation).map_err(|error| TaskError(error.to_string()))?;
        if scored.is_empty() {
            return Err(TaskError(format!("its choice {continuation:?} adds no token to the prompt")));
        }
        if tokens.is_empty() {
            return Err(TaskError("its prompt is empty, and the model has no bos token to take its place".into()));
        }
        if scored.len() > self.context {
            return Err(TaskError(format!("its choice {continuation:?} has {} tokens, but the model's context is {}", scored.len(), self.context)));
        }
        tokens.extend(&scored);
        let excess = tokens.len().saturating_sub(self.context + 1);
        tokens.drain(..excess);
        Ok(ScoreRequest { tokens, scored: scored.len() })
    }

    fn encode_pair(&self, context: &str, continuation: &str) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let read = context.trim_end_matches(is_space);
        if read.is_empty() {
            let mut scored = self.tokenizer.encode(&format!("{context}{continuation}"))?;
            return Ok(match &self.prefix {
                Some((prefix, _)) if scored.first() == Some(prefix) => (vec![*prefix], scored.split_off(1)),
                prefix => (prefix.iter().map(|(id, _)| *id).collect(), scored),
            });
        }
        let before = self.encode(read)?;
        let whole = self.encode(&format!("{context}{continuation}"))?;
        let scored = whole.get(before.len()..).unwrap_or_default().to_vec();
        Ok((before, scored))
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let has_prefix = self.prefix.as_ref().is_some_and(|(_, prefix)| text.starts_with(prefix.as_str()));
        if self.special && !has_prefix { self.tokenizer.encode_document(text) } else { self.tokenizer.encode(text) }
    }
}
