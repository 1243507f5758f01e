//! Post-processor steps.

use super::{count, read, sequence};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{Encoding, PostProcessor};

/// Tokens that any text may become; the library holds some 100 bytes for each.
const LEAST_ROOM: usize = 1 << 18;
/// Longer texts may grow by this factor.
const GROWTH: usize = 8;

/// A post-processor.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::data) enum Process {
    Sequence(Sequence),
    Library(Step),
}

/// A step of the library.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(in crate::data) struct Step {
    step: PostProcessorWrapper,
    /// The number of times that a template inserts the text.
    #[serde(skip)]
    times: usize,
}

/// Applies several steps in order.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type")]
pub(in crate::data) struct Sequence {
    processors: Vec<Process>,
}

impl Process {
    fn new(value: Value, steps: &mut usize) -> Result<Self, String> {
        count(steps)?;
        if value["type"] == "Sequence" {
            return Ok(Self::Sequence(Sequence { processors: sequence(value, "processors", steps, Self::new)? }));
        }
        let pieces = value["single"].as_array().into_iter().flatten();
        let times = pieces.filter(|piece| piece.get("Sequence").is_some()).count();
        match read(value)? {
            PostProcessorWrapper::Sequence(_) => Err("a post-processor has no type".into()),
            step => Ok(Self::Library(Step { step, times })),
        }
    }

    fn apply(&self, encodings: Vec<Encoding>, special: bool, most: usize) -> tokenizers::Result<Vec<Encoding>> {
        match self {
            Self::Sequence(sequence) => sequence.processors.iter().try_fold(encodings, |encodings, step| step.apply(encodings, special, most)),
            Self::Library(Step { step, times }) => {
                let tokens = tokens(&encodings).saturating_mul(*times);
                if tokens > most {
                    return Err(format!("cannot use this tokenizer: a template makes {tokens} tokens of a text; the limit is {most}").into());
                }
                step.process_encodings(encodings, special)
            }
        }
    }
}

fn tokens(encodings: &[Encoding]) -> usize {
    encodings.iter().map(Encoding::len).sum()
}

impl PostProcessor for Process {
    fn added_tokens(&self, is_pair: bool) -> usize {
        match self {
            Self::Sequence(sequence) => sequence.processors.iter().map(|step| step.added_tokens(is_pair)).sum(),
            Self::Library(Step { step, .. }) => step.added_tokens(is_pair),
        }
    }

    fn process_encodings(&self, encodings: Vec<Encoding>, add_special_tokens: bool) -> tokenizers::Result<Vec<Encoding>> {
        let most = tokens(&encodings).saturating_mul(GROWTH).max(LEAST_ROOM);
        self.apply(encodings, add_special_tokens, most)
    }
}

impl<'de> Deserialize<'de> for Process {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value, &mut 0).map_err(serde::de::Error::custom)
    }
}
