//! Text to requests: which tokens are read and which are scored, as lm-evaluation-harness 0.4 has it.

use super::TaskError;
use crate::data::{Tokenizer, TokenizerError};
use crate::jinja::is_space;

/// Tokens of which the last are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// What is read, then what is scored.
    pub tokens: Vec<u32>,
    /// How many are scored.
    pub scored: usize,
}

impl ScoreRequest {
    /// What is read: the last token is only scored.
    pub fn input(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }
}

/// Makes requests of texts.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    /// What is read where nothing else is: the token that begins a document, or the one that ends it.
    prefix: Option<(u32, String)>,
    /// Whether the tokenizer puts its special tokens around a text.
    special: bool,
    /// Tokens that a model can read at once.
    context: usize,
}

impl<'a> Encoder<'a> {
    /// With the token that begins a document, as the model's files name it. `special` says whether the
    /// tokenizer puts around each text what it is made to, as lm-evaluation-harness 0.4.13 lets it; 0.4.2,
    /// which the paper used, did not.
    pub fn new(tokenizer: &'a Tokenizer, begins: Option<&str>, ends: Option<&str>, special: bool, context: usize) -> Self {
        let named = [begins, ends].into_iter().flatten().find_map(|text| Some((tokenizer.id(text)?, text.to_string())));
        let prefix = named.or_else(|| tokenizer.end().and_then(|end| Some((end, tokenizer.decode(&[end], true).ok()?))));
        Self { tokenizer, prefix, special, context }
    }

    /// The request for `continuation` after `context`. Spaces at the context's end belong to the
    /// continuation, whose tokens are those that the whole has more than the context alone. What is too
    /// long loses its beginning.
    pub fn request(&self, context: &str, continuation: &str) -> Result<ScoreRequest, TaskError> {
        let (mut tokens, scored) = self.pair(context, continuation).map_err(|error| TaskError(error.to_string()))?;
        if scored.is_empty() {
            return Err(TaskError(format!("its choice {continuation:?} adds no token to what stands before it")));
        }
        if tokens.is_empty() {
            return Err(TaskError("nothing stands before its choices, and the model names no token that begins a document".into()));
        }
        if scored.len() > self.context {
            return Err(TaskError(format!("its choice {continuation:?} has {} tokens, and the model reads {} at once", scored.len(), self.context)));
        }
        tokens.extend(&scored);
        let beyond = tokens.len().saturating_sub(self.context + 1);
        tokens.drain(..beyond);
        Ok(ScoreRequest { tokens, scored: scored.len() })
    }

    fn pair(&self, context: &str, continuation: &str) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
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
        let begun = self.prefix.as_ref().is_some_and(|(_, prefix)| text.starts_with(prefix.as_str()));
        if self.special && !begun { self.tokenizer.encode_document(text) } else { self.tokenizer.encode(text) }
    }
}
