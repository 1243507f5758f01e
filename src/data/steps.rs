//! Steps of a `tokenizer.json` that several tokenizer families share: pre-tokenizers and how spaces are encoded.

use serde_json::{Value, json};

/// SentencePiece's character for a space.
pub(super) const SPACE: &str = "\u{2581}";

/// GPT-4's pattern; at most three digits per piece.
pub(super) const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same, with one digit per piece.
pub(super) const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Qwen 2's, with combining marks as parts of words.
pub(super) const QWEN_3_5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pre-tokenizer of a byte-level BPE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ByteLevelSplit {
    /// GPT-2's.
    Gpt2,
    /// The same, after splitting off each digit.
    Digits,
    /// At the matches of a regular expression.
    Pattern(&'static str),
}

impl ByteLevelSplit {
    /// Returns the pre-tokenizer as JSON; `prefix` prepends a space to the text.
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

/// The `ByteLevel` step, which maps bytes to letters; `split` also splits as GPT-2 does.
pub(super) fn bytes(prefix: bool, split: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": split })
}

/// The normalizer that replaces spaces by [`SPACE`].
pub(super) fn spaces() -> Value {
    json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE })
}

/// SentencePiece's decoder; `strip` removes a leading space.
pub(super) fn sentence_piece(strip: bool) -> Value {
    let mut steps =
        vec![json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    if strip {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
