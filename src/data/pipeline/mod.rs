//! The steps of a `tokenizer.json` around its model. They are those of the tokenizers library, with three differences:
//! regular expressions are Oniguruma's ([`super::regex`]), the output of each step is bounded by [`Limit`], and errors
//! of the normalizer, which the library drops, are kept ([`failure`]). Serialization returns the input.

mod decoders;
mod normalizers;
mod post_processors;
mod pre_tokenizers;

pub(super) use decoders::{Decode, InvalidBytes};
pub(super) use normalizers::Normalize;
pub(super) use post_processors::PostProcess;
pub(super) use pre_tokenizers::PreTokenize;

use super::regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use tokenizers::{ModelWrapper, TokenizerImpl};

/// A tokenizer with these steps.
pub(super) type TokenizerPipeline = TokenizerImpl<ModelWrapper, Normalize, PreTokenize, PostProcess, Decode>;

/// Bytes that any text may become, however short. The library holds up to 60 bytes for each.
const SHORT: usize = 1 << 20;
/// Up to this many bytes, a text may grow to eight times its length, beyond it to four: half a gigabyte in the library.
const MIDDLE: usize = 8 << 20;

/// The most steps of a tokenizer.
const MAX_STEPS: usize = 64;

/// The most bytes that a text may become.
#[derive(Clone, Copy, Debug)]
struct Limit(usize);

impl Limit {
    /// The limit for a text of `length` bytes.
    fn of(length: usize) -> Self {
        Self(length.saturating_mul(8).min(MIDDLE).max(length.saturating_mul(4)).max(SHORT))
    }

    /// An error if `length` is more.
    fn check(self, length: usize) -> tokenizers::Result<()> {
        if length <= self.0 {
            return Ok(());
        }
        Err(format!("cannot use this tokenizer: a step makes {length} bytes of a piece of text; the limit is {}", self.0).into())
    }
}

/// A pattern as JSON has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum PatternJson {
    String(String),
    Regex(String),
}

impl PatternJson {
    fn compile(&self) -> Result<Regex, String> {
        match self {
            PatternJson::String(text) => Regex::literal(text),
            PatternJson::Regex(pattern) => Regex::new(pattern),
        }
    }
}

/// Parses a step.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Parses the steps of a sequence with `one`.
fn sequence<T>(value: Value, field: &str, steps: &mut usize, one: impl Fn(Value, &mut usize) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::Object(mut fields) = value else { return Err("a sequence of steps is not an object".into()) };
    let Some(Value::Array(values)) = fields.remove(field) else { return Err(format!("a sequence of steps has no {field}")) };
    values.into_iter().map(|value| one(value, steps)).collect()
}

/// Counts a step; fails above [`MAX_STEPS`].
fn count(steps: &mut usize) -> Result<(), String> {
    *steps += 1;
    if *steps > MAX_STEPS { Err(format!("it has more than {MAX_STEPS} steps of a kind")) } else { Ok(()) }
}

thread_local! {
    /// The normalizer's first error on this thread, which the library ignores.
    static FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Records an error of the normalizer.
fn fail(error: &tokenizers::Error) {
    FAILURE.with_borrow_mut(|failure| {
        failure.get_or_insert_with(|| error.to_string());
    });
}

/// Returns and clears the normalizer's error on this thread.
pub(super) fn failure() -> Option<String> {
    FAILURE.take()
}
