//! Steps of a `tokenizer.json` as several families of tokenizers have them: how text is split, and how spaces are written.

use serde_json::{Value, json};

/// SentencePiece's character for a space.
pub(super) const SPACE: &str = "\u{2581}";

/// Splits as GPT-4's tokenizer does; three digits at most are together.
pub(super) const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same, but every digit is alone.
pub(super) const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Qwen 2's, but marks belong to letters.
pub(super) const QWEN_3_5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The way in which a BPE over bytes splits text first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Split {
    /// GPT-2's.
    Gpt2,
    /// The same, after each digit is split off.
    Digits,
    /// At the matches of a regular expression.
    Pattern(&'static str),
}

impl Split {
    /// The pre-tokenizer; `prefix` puts a space in front of a text.
    pub(super) fn step(self, prefix: bool) -> Value {
        let both = |first: Value, last: Value| json!({ "type": "Sequence", "pretokenizers": [first, last] });
        match self {
            Self::Gpt2 => bytes(prefix, true),
            Self::Digits => both(json!({ "type": "Digits", "individual_digits": true }), bytes(prefix, true)),
            Self::Pattern(pattern) => {
                both(json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false }), bytes(prefix, false))
            }
        }
    }
}

/// The step that writes bytes as letters; `split` also splits as GPT-2 does.
pub(super) fn bytes(prefix: bool, split: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": split })
}

/// The normalizer that writes spaces as [`SPACE`].
pub(super) fn spaces() -> Value {
    json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE })
}

/// The decoder of SentencePiece; `strip` removes a space in front.
pub(super) fn sentence_piece(strip: bool) -> Value {
    let mut steps =
        vec![json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    if strip {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
