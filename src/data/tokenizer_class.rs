//! Tokenizer classes of transformers 5.24 that rebuild a tokenizer from the vocabulary and merges of a
//! `tokenizer.json`, ignore its other parts, and have their own special tokens.

use super::steps::{ByteLevelSplit, QWEN_2, QWEN_3_5, SPACE, bytes, sentence_piece, spaces};
use serde_json::{Value, json};

/// Special tokens by their names.
type NamedTokens = &'static [(&'static str, &'static str)];

/// A class that rebuilds its tokenizer.
#[derive(Debug)]
pub(super) struct TokenizerClass {
    /// Its names, without the suffix `Fast`.
    names: &'static [&'static str],
    steps: Steps,
    around: ClassPostProcessor,
    /// How it adds its special tokens a second time, if it does.
    pub(super) repeat: Option<Repeat>,
    /// Defaults of special tokens that all tokenizers have.
    special: NamedTokens,
    /// Special tokens of this class alone.
    pub(super) own: NamedTokens,
}

/// The steps of a class around its BPE.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Steps {
    /// SentencePiece's, with a space before the first word.
    Words {
        /// Puts the space after special tokens too, if the files have `legacy`.
        legacy: bool,
    },
    /// SentencePiece's, without that space.
    Spaces { lowercase: bool },
    /// Those of a byte-level BPE.
    Bytes { nfc: bool, split: ByteLevelSplit },
}

/// The post-processor: the tokens around a document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ClassPostProcessor {
    /// That of the file.
    File,
    Nothing,
    Bos,
    /// `cls_token` and `sep_token`.
    Roberta,
}

/// How a class adds its special tokens a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// As plain texts, with default properties.
    Plain,
    /// With their properties, marked as special.
    Special,
}

/// Settings of a class from `tokenizer_config.json`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClassSettings {
    /// Prepends a space to a text, if set.
    pub(super) add_prefix_space: Option<bool>,
    /// Puts the space after special tokens, too.
    pub(super) legacy: bool,
}

const END: &str = "<|endoftext|>";
const LLAMA: NamedTokens = &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
const GPT_2: NamedTokens = &[("bos_token", END), ("eos_token", END), ("unk_token", END)];
const GPT_NEO_X: NamedTokens = &[("bos_token", END), ("eos_token", END), ("unk_token", END), ("pad_token", "<|padding|>")];
const QWEN: NamedTokens = &[("eos_token", END), ("unk_token", END), ("pad_token", END)];
const GEMMA: NamedTokens = &[("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>")];
const ROBERTA: NamedTokens = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const COHERE: NamedTokens = &[
    ("bos_token", "<BOS_TOKEN>"),
    ("eos_token", "<|END_OF_TURN_TOKEN|>"),
    ("unk_token", "<UNK>"),
    ("sep_token", "<SEP>"),
    ("pad_token", "<PAD>"),
    ("cls_token", "<CLS>"),
    ("mask_token", "<MASK_TOKEN>"),
];
const FILL: NamedTokens = &[
    ("prefix_token", "\u{2581}<PRE>"),
    ("middle_token", "\u{2581}<MID>"),
    ("suffix_token", "\u{2581}<SUF>"),
    ("eot_token", "\u{2581}<EOT>"),
    ("fill_token", "<FILL_ME>"),
];

impl TokenizerClass {
    const fn new(names: &'static [&'static str], steps: Steps, special: NamedTokens) -> Self {
        Self { names, steps, special, around: ClassPostProcessor::File, repeat: None, own: &[] }
    }
}

/// The classes that Signet rebuilds as transformers does.
static CLASSES: [TokenizerClass; 11] = [
    TokenizerClass::new(&["LlamaTokenizer", "Phi3Tokenizer"], Steps::Words { legacy: true }, LLAMA),
    TokenizerClass { around: ClassPostProcessor::Bos, own: FILL, ..TokenizerClass::new(&["CodeLlamaTokenizer"], Steps::Words { legacy: false }, LLAMA) },
    TokenizerClass::new(&["GemmaTokenizer"], Steps::Spaces { lowercase: false }, GEMMA),
    TokenizerClass::new(&["Siglip2Tokenizer"], Steps::Spaces { lowercase: true }, GEMMA),
    TokenizerClass::new(&["GPT2Tokenizer"], Steps::Bytes { nfc: false, split: ByteLevelSplit::Gpt2 }, GPT_2),
    TokenizerClass::new(&["CodeGenTokenizer"], Steps::Bytes { nfc: false, split: ByteLevelSplit::Gpt2 }, GPT_2),
    TokenizerClass {
        around: ClassPostProcessor::Nothing,
        ..TokenizerClass::new(&["GPTNeoXTokenizer"], Steps::Bytes { nfc: true, split: ByteLevelSplit::Gpt2 }, GPT_NEO_X)
    },
    TokenizerClass {
        repeat: Some(Repeat::Plain),
        ..TokenizerClass::new(&["Qwen2Tokenizer"], Steps::Bytes { nfc: true, split: ByteLevelSplit::Pattern(QWEN_2) }, QWEN)
    },
    TokenizerClass::new(&["Qwen3_5Tokenizer"], Steps::Bytes { nfc: true, split: ByteLevelSplit::Pattern(QWEN_3_5) }, QWEN),
    TokenizerClass {
        repeat: Some(Repeat::Special),
        ..TokenizerClass::new(&["CohereTokenizer"], Steps::Bytes { nfc: true, split: ByteLevelSplit::Digits }, COHERE)
    },
    TokenizerClass {
        around: ClassPostProcessor::Roberta,
        ..TokenizerClass::new(
            &["RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "LongformerTokenizer", "MvpTokenizer"],
            Steps::Bytes { nfc: false, split: ByteLevelSplit::Gpt2 },
            ROBERTA,
        )
    },
];

impl TokenizerClass {
    /// Looks up a class by its name without the suffix `Fast`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.names.contains(&name))
    }

    /// The default of a special token.
    pub(super) fn special_token(&self, name: &str) -> Option<&'static str> {
        self.special.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Returns true if the padding token of a `tokenizer.json` becomes `pad_token` by default. Byte-level classes define
    /// their own, or none.
    pub(super) fn uses_file_padding(&self) -> bool {
        self.is_sentence_piece()
    }

    /// Returns true for SentencePiece classes.
    fn is_sentence_piece(&self) -> bool {
        !matches!(self.steps, Steps::Bytes { .. })
    }

    /// Rebuilds the contents of a `tokenizer.json`, without added tokens; `unk` is the text of `unk_token`.
    pub(super) fn rebuild(&self, tokenizer: &mut Value, settings: ClassSettings, unk: Option<&str>) {
        let Some(tokenizer) = tokenizer.as_object_mut() else { return };
        let prefix = settings.add_prefix_space.unwrap_or(self.is_sentence_piece());
        let nfc = json!({ "type": "NFC" });
        let (normalizer, before, decoder) = match self.steps {
            Steps::Words { legacy } => (Value::Null, metaspace(prefix, legacy && settings.legacy), sentence_piece(prefix || !legacy)),
            Steps::Spaces { lowercase: false } => (spaces(), Value::Null, sentence_piece(false)),
            Steps::Spaces { lowercase: true } => {
                (json!({ "type": "Sequence", "normalizers": [{ "type": "Lowercase" }, spaces()] }), Value::Null, sentence_piece(false))
            }
            Steps::Bytes { nfc: composed, split } => (if composed { nfc } else { Value::Null }, split.step(prefix), bytes(true, true)),
        };
        let model = tokenizer.get_mut("model").map(Value::take).unwrap_or_default();
        let parts =
            [("normalizer", normalizer), ("pre_tokenizer", before), ("decoder", decoder), ("added_tokens", json!([])), ("model", self.model(model, unk))];
        tokenizer.extend(parts.map(|(name, part)| (name.to_string(), part)));
    }

    /// Builds a BPE from the vocabulary and merges of another model.
    fn model(&self, mut model: Value, unk: Option<&str>) -> Value {
        let mut part = |name: &str| model.get_mut(name).map(Value::take).unwrap_or_default();
        let merges = Some(part("merges")).filter(Value::is_array).unwrap_or_else(|| json!([]));
        let vocabulary = match part("vocab") {
            // A list of tokens with scores, as Unigram models have it.
            Value::Array(list) => {
                let text = |entry: &Value| entry.as_str().or(entry[0].as_str()).map(str::to_string);
                Value::Object(list.iter().enumerate().filter_map(|(id, entry)| Some((text(entry)?, id.into()))).collect())
            }
            vocabulary => vocabulary,
        };
        // transformers writes a missing token as `None`: a character with neither a token nor byte tokens is an error.
        let unk = Some(unk.unwrap_or("None")).filter(|_| self.is_sentence_piece() && self.steps != Steps::Words { legacy: true });
        json!({
            "type": "BPE", "unk_token": unk, "fuse_unk": self.is_sentence_piece(), "byte_fallback": self.is_sentence_piece(), "ignore_merges": false,
            "vocab": vocabulary, "merges": merges,
        })
    }

    /// Returns the class's post-processor: `None` to keep the file's, null for none. `token` returns the text and id of a
    /// special token.
    pub(super) fn post_processor(&self, settings: ClassSettings, token: &dyn Fn(&str) -> Option<(String, u32)>) -> Result<Option<Value>, String> {
        let needed = |name: &str| token(name).ok_or_else(|| format!("tokenizer_config.json: {} needs a {name}", self.names[0]));
        match self.around {
            ClassPostProcessor::File => Ok(None),
            ClassPostProcessor::Nothing => Ok(Some(Value::Null)),
            ClassPostProcessor::Bos => Ok(Some(token("bos_token").map_or(Value::Null, |(text, id)| bos_template(&text, id)))),
            ClassPostProcessor::Roberta => {
                let prefix = settings.add_prefix_space.unwrap_or(false);
                let (sep, cls) = (needed("sep_token")?, needed("cls_token")?);
                Ok(Some(json!({ "type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": true, "add_prefix_space": prefix })))
            }
        }
    }
}

/// SentencePiece's pre-tokenizer, which writes spaces as [`SPACE`].
fn metaspace(prefix: bool, legacy: bool) -> Value {
    let scheme = match (prefix, legacy) {
        (false, _) => "never",
        (true, false) => "first",
        (true, true) => "always",
    };
    json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false })
}

/// The post-processor that prepends one token to a document.
fn bos_template(text: &str, id: u32) -> Value {
    let token = |part: u32| json!({ "SpecialToken": { "id": text, "type_id": part } });
    let sequence = |name: &str, part: u32| json!({ "Sequence": { "id": name, "type_id": part } });
    json!({
        "type": "TemplateProcessing",
        "single": [token(0), sequence("A", 0)],
        "pair": [token(0), sequence("A", 0), token(1), sequence("B", 1)],
        "special_tokens": { text: { "id": text, "ids": [id], "tokens": [text] } },
    })
}
