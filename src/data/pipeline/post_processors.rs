//! Post-processor steps.

use super::{count, read, sequence};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{Encoding, PostProcessor};

/// Tokens that any text may become; the library holds some 100 bytes for each.
const MIN_LIMIT: usize = 1 << 18;
/// Longer texts may grow by this factor.
const GROWTH: usize = 8;

/// A post-processor.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::data) enum PostProcess {
    Sequence(PostProcessorSequence),
    Library(LibraryStep),
}

/// A step of the library.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(in crate::data) struct LibraryStep {
    step: PostProcessorWrapper,
    /// The number of times that a template inserts the text.
    #[serde(skip)]
    times: usize,
}

/// Applies several steps in order.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "Sequence")]
pub(in crate::data) struct PostProcessorSequence {
    processors: Vec<PostProcess>,
}

impl PostProcess {
    fn new(value: Value, steps: &mut usize) -> Result<Self, String> {
        count(steps)?;
        if value["type"] == "Sequence" {
            return Ok(Self::Sequence(PostProcessorSequence { processors: sequence(value, "processors", steps, Self::new)? }));
        }
        let pieces = value["single"].as_array().into_iter().flatten();
        let times = pieces.filter(|piece| piece.get("Sequence").is_some()).count();
        match read(value)? {
            PostProcessorWrapper::Sequence(_) => Err("a post-processor has no type".into()),
            step => Ok(Self::Library(LibraryStep { step, times })),
        }
    }

    fn apply(&self, encodings: Vec<Encoding>, special: bool, limit: usize) -> tokenizers::Result<Vec<Encoding>> {
        match self {
            Self::Sequence(sequence) => sequence.processors.iter().try_fold(encodings, |encodings, step| step.apply(encodings, special, limit)),
            Self::Library(LibraryStep { step, times }) => {
                let tokens = tokens(&encodings).saturating_mul(*times);
                if tokens > limit {
                    return Err(format!("cannot use this tokenizer: a template makes {tokens} tokens of a text; the limit is {limit}").into());
                }
                step.process_encodings(encodings, special)
            }
        }
    }
}

fn tokens(encodings: &[Encoding]) -> usize {
    encodings.iter().map(Encoding::len).sum()
}

impl PostProcessor for PostProcess {
    fn added_tokens(&self, is_pair: bool) -> usize {
        match self {
            Self::Sequence(sequence) => sequence.processors.iter().map(|step| step.added_tokens(is_pair)).sum(),
            Self::Library(LibraryStep { step, .. }) => step.added_tokens(is_pair),
        }
    }

    fn process_encodings(&self, encodings: Vec<Encoding>, add_special_tokens: bool) -> tokenizers::Result<Vec<Encoding>> {
        let limit = tokens(&encodings).saturating_mul(GROWTH).max(MIN_LIMIT);
        self.apply(encodings, add_special_tokens, limit)
    }
}

impl<'de> Deserialize<'de> for PostProcess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value, &mut 0).map_err(serde::de::Error::custom)
    }
}
