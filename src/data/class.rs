//! Tokenizer classes of transformers 5.24 that rebuild a tokenizer from the vocabulary and the merges of a
//! `tokenizer.json`, whatever its other parts are, and that have special tokens of their own.

use super::gguf::QWEN_2;
use serde_json::{Value, json};

/// SentencePiece's character for a space.
const SPACE: &str = "\u{2581}";

/// A class that rebuilds its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `LlamaTokenizer`.
    Llama,
    /// `GPT2Tokenizer`.
    Gpt2,
    /// `GPTNeoXTokenizer`.
    GptNeoX,
    /// `Qwen2Tokenizer`.
    Qwen2,
}

/// Settings of a class in a `tokenizer_config.json`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClassSettings {
    /// Puts a space in front of a text, if it is said.
    pub(super) add_prefix_space: Option<bool>,
    /// Puts it behind special tokens, too.
    pub(super) legacy: bool,
}

impl Class {
    /// The class of a name, with `Fast` at its end or without, for the contents of a `tokenizer.json`; `None` if that is
    /// taken as it is.
    pub(super) fn of(name: &str, tokenizer: &[u8]) -> Option<Self> {
        const BYTES: &[u8] = b"\"ByteLevel\"";
        match name.strip_suffix("Fast").unwrap_or(name) {
            // Llama 3 declares this class, and has a BPE over bytes.
            "LlamaTokenizer" if tokenizer.windows(BYTES.len()).any(|part| part == BYTES) => None,
            "LlamaTokenizer" => Some(Self::Llama),
            "GPT2Tokenizer" => Some(Self::Gpt2),
            "GPTNeoXTokenizer" => Some(Self::GptNeoX),
            "Qwen2Tokenizer" => Some(Self::Qwen2),
            _ => None,
        }
    }

    /// The special token of a name where no file says anything of it.
    pub(super) fn special_token(self, name: &str) -> Option<&'static str> {
        match (self, name) {
            (Self::Llama, "bos_token") => Some("<s>"),
            (Self::Llama, "eos_token") => Some("</s>"),
            (Self::Llama, "unk_token") => Some("<unk>"),
            (Self::Gpt2 | Self::GptNeoX, "bos_token" | "eos_token" | "unk_token") => Some("<|endoftext|>"),
            (Self::GptNeoX, "pad_token") => Some("<|padding|>"),
            (Self::Qwen2, "eos_token" | "unk_token" | "pad_token") => Some("<|endoftext|>"),
            _ => None,
        }
    }

    /// Returns true if the token by which a `tokenizer.json` fills texts is the class's `pad_token` where no file names one.
    pub(super) fn takes_padding(self) -> bool {
        self != Self::Gpt2
    }

    /// Makes the contents of a `tokenizer.json` those of the class, without added tokens.
    pub(super) fn rebuild(self, tokenizer: &mut Value, settings: ClassSettings) {
        let Some(tokenizer) = tokenizer.as_object_mut() else { return };
        let prefix = settings.add_prefix_space.unwrap_or(self == Self::Llama);
        let bytes = |prefix: bool, split: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": split });
        let nfc = json!({ "type": "NFC" });
        let (normalizer, before, decoder) = match self {
            Self::Llama => (Value::Null, metaspace(prefix, settings.legacy), sentence_piece(prefix)),
            Self::Gpt2 => (Value::Null, bytes(prefix, true), bytes(true, true)),
            Self::GptNeoX => (nfc, bytes(prefix, true), bytes(true, true)),
            Self::Qwen2 => {
                let split = json!({ "type": "Split", "pattern": { "Regex": QWEN_2 }, "behavior": "Isolated", "invert": false });
                (nfc, json!({ "type": "Sequence", "pretokenizers": [split, bytes(prefix, false)] }), bytes(true, true))
            }
        };
        if self == Self::GptNeoX {
            tokenizer.insert("post_processor".into(), Value::Null);
        }
        let model = tokenizer.get_mut("model").map(Value::take).unwrap_or_default();
        let parts = [("normalizer", normalizer), ("pre_tokenizer", before), ("decoder", decoder), ("added_tokens", json!([])), ("model", self.model(model))];
        tokenizer.extend(parts.map(|(name, part)| (name.to_string(), part)));
    }

    /// A BPE of the vocabulary and the merges of another model.
    fn model(self, mut model: Value) -> Value {
        let mut part = |name: &str| model.get_mut(name).map(Value::take).unwrap_or_default();
        let merges = Some(part("merges")).filter(Value::is_array).unwrap_or_else(|| json!([]));
        let vocabulary = match part("vocab") {
            // Tokens in order, with a score each.
            Value::Array(list) => {
                let text = |entry: &Value| entry.as_str().or(entry[0].as_str()).map(str::to_string);
                Value::Object(list.iter().enumerate().filter_map(|(id, entry)| Some((text(entry)?, id.into()))).collect())
            }
            vocabulary => vocabulary,
        };
        let pieces = self == Self::Llama;
        json!({ "type": "BPE", "fuse_unk": pieces, "byte_fallback": pieces, "ignore_merges": false, "vocab": vocabulary, "merges": merges })
    }
}

/// The pre-tokenizer of SentencePiece, which writes spaces as [`SPACE`].
fn metaspace(prefix: bool, legacy: bool) -> Value {
    let scheme = match (prefix, legacy) {
        (false, _) => "never",
        (true, false) => "first",
        (true, true) => "always",
    };
    json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false })
}

/// The decoder of SentencePiece.
fn sentence_piece(prefix: bool) -> Value {
    let mut steps =
        vec![json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    if prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
