//! The steps of a `tokenizer.json` around its model. They are the tokenizers library's, but for three things: regular
//! expressions are Oniguruma's ([`super::regex`]), no step makes more of a text than [`Limit`] allows, and an error of
//! the normalizer, which the library drops, is kept ([`failure`]). What is written back is what was read.

mod decode;
mod normalize;
mod process;
mod split;

pub(super) use decode::{Bytes, Decode};
pub(super) use normalize::Normalize;
pub(super) use process::Process;
pub(super) use split::Split;

use super::regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use tokenizers::{ModelWrapper, TokenizerImpl};

/// A tokenizer of these steps.
pub(super) type Pipeline = TokenizerImpl<ModelWrapper, Normalize, Split, Process, Decode>;

/// Bytes that may be made of any text, however short. The library holds up to 60 bytes for each while it works.
const SHORT: usize = 1 << 20;
/// Bytes that eight times a text may come to: half a gigabyte while the library works.
const MIDDLE: usize = 8 << 20;

/// Most steps of a tokenizer.
const STEPS: usize = 64;

/// The bytes that a text of a certain length may become.
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
        Err(format!("a step makes {length} bytes of a piece of text; {} are allowed. It is no tokenizer that can be used", self.0).into())
    }
}

/// A pattern in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Written {
    String(String),
    Regex(String),
}

impl Written {
    fn compile(&self) -> Result<Regex, String> {
        match self {
            Written::String(text) => Regex::literal(text),
            Written::Regex(pattern) => Regex::new(pattern),
        }
    }
}

/// A step read from JSON, or why it cannot be used.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The steps of a sequence, each read by `one`.
fn sequence<T>(value: Value, field: &str, steps: &mut usize, one: impl Fn(Value, &mut usize) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::Object(mut fields) = value else { return Err("a sequence of steps is no object".into()) };
    let Some(Value::Array(values)) = fields.remove(field) else { return Err(format!("a sequence of steps has no {field}")) };
    values.into_iter().map(|value| one(value, steps)).collect()
}

/// Counts a step.
fn count(steps: &mut usize) -> Result<(), String> {
    *steps += 1;
    if *steps > STEPS { Err(format!("it has more than {STEPS} steps of a kind")) } else { Ok(()) }
}

thread_local! {
    /// The normalizer's last error on this thread. The library goes on after one as if nothing were.
    static FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps an error of the normalizer.
fn fail(error: &tokenizers::Error) {
    FAILURE.with_borrow_mut(|failure| {
        failure.get_or_insert_with(|| error.to_string());
    });
}

/// Takes the normalizer's error, if there was one since the last call on this thread.
pub(super) fn failure() -> Option<String> {
    FAILURE.take()
}
