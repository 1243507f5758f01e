//! Tokenizer classes that rebuild their tokenizer: the ids are those of `AutoTokenizer` of transformers 5.24 for a folder
//! with these files and the `config.json` of a LLaMA.

use serde_json::{Value, json};
use signet::data::{CompanionFiles, JsonFields, Tokenizer};
use std::collections::BTreeMap;

fn added(id: usize, text: &str) -> Value {
    json!({ "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
}

/// A `tokenizer.json` like that of LLaMA 2: three special tokens, bytes from 3 on, a space (259), letters (260 to 285), and
/// merged tokens; without byte fallback.
fn pieces() -> Value {
    let texts = ["<unk>", "<s>", "</s>"].map(String::from).into_iter();
    let texts = texts.chain((0..=255u8).map(|byte| format!("<0x{byte:02X}>"))).chain(["\u{2581}".to_string()]);
    let texts = texts.chain(('a'..='z').map(String::from)).chain(["\u{2581}h", "hi", "\u{2581}hi"].map(String::from));
    let vocabulary: BTreeMap<String, usize> = texts.enumerate().map(|(id, text)| (text, id)).collect();
    let space = "\u{2581}";
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": space }, { "type": "Replace", "pattern": { "String": " " }, "content": space },
        ] },
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": space }, "content": " " }, { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": [[space, "h"], ["h", "i"], [space, "hi"]],
        },
    })
}

/// A byte-level `tokenizer.json` with letters, a space (26), `</s>` (27), and digits that are pre-tokenized one by one.
fn bytes() -> Value {
    let texts = ('a'..='z').map(String::from).chain(["\u{120}", "</s>", "1", "2", "12"].map(String::from));
    let vocabulary: BTreeMap<String, usize> = texts.enumerate().map(|(id, text)| (text, id)).collect();
    let level = |prefix: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true }, level(false)] },
        "post_processor": null, "decoder": level(true),
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [["1", "2"]] },
    })
}

fn read(tokenizer: &Value, config: &Value) -> (Tokenizer, Vec<(String, String)>) {
    let files = CompanionFiles { config: JsonFields::parse(config.to_string().as_bytes()).unwrap(), ..CompanionFiles::default() };
    Tokenizer::with_files(tokenizer.to_string().as_bytes(), &files).unwrap()
}

fn names(named: &[(String, String)]) -> Vec<(&str, &str)> {
    named.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// Texts and their expected ids.
type Encodings<'a> = &'a [(&'a str, &'a [u32])];
/// Special tokens: names and texts.
type SpecialTokens<'a> = &'a [(&'a str, &'a str)];

#[test]
fn llama_tokenizers_encode_spaces_and_bytes() {
    let class = |name: &str| json!({ "tokenizer_class": name });
    let cases: [(Value, Encodings); 5] = [
        (json!({}), &[("hi", &[286, 268]), (" hi", &[259, 286, 268]), ("h</s>hi", &[286, 2, 286, 268]), ("\u{fc}", &[259, 0])]),
        (class("LlamaTokenizer"), &[("hi", &[286, 268]), (" hi", &[286, 268]), ("h</s>hi", &[286, 2, 287]), ("\u{fc}", &[259, 198, 191])]),
        (class("LlamaTokenizerFast"), &[("a  b", &[259, 260, 259, 259, 261]), ("h</s>hi", &[286, 2, 287])]),
        (json!({ "tokenizer_class": "LlamaTokenizer", "legacy": true }), &[(" hi", &[286, 268]), ("h</s>hi", &[286, 2, 286, 268])]),
        (
            json!({ "tokenizer_class": "LlamaTokenizer", "add_prefix_space": false }),
            &[("hi", &[287]), (" hi", &[286, 268]), ("a  b", &[260, 259, 259, 261]), ("\u{fc}", &[198, 191])],
        ),
    ];
    for (config, texts) in cases {
        let (tokenizer, named) = read(&pieces(), &config);
        let own = [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
        assert_eq!(names(&named), if config == json!({}) { vec![] } else { own.to_vec() });
        let reread = Tokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
        for (text, ids) in texts {
            assert_eq!(tokenizer.encode(text).unwrap(), *ids, "{text:?} with {config}");
            assert_eq!(tokenizer.encode_document(text).unwrap(), [&[1][..], *ids].concat(), "{text:?} with {config}");
            assert_eq!(reread.encode(text).unwrap(), *ids, "written and read again: {text:?} with {config}");
        }
    }
    let (tokenizer, _) = read(&pieces(), &json!({ "tokenizer_class": "LlamaTokenizer", "add_prefix_space": false }));
    assert_eq!(tokenizer.decode(&[286, 268], false).unwrap(), " hi");
}

#[test]
fn a_class_adds_its_own_tokens_to_declared_ones() {
    // A null field counts as absent, and tokens missing from `added_tokens_decoder` are not added.
    let mut plain = pieces();
    plain["added_tokens"] = json!([]);
    let (tokenizer, named) = read(&plain, &json!({ "tokenizer_class": "LlamaTokenizer", "eos_token": null }));
    assert_eq!(names(&named), [("bos_token", "<s>"), ("unk_token", "<unk>")]);
    assert_eq!(tokenizer.encode("h</s>hi").unwrap(), [286, 63, 50, 278, 65, 287]);
    plain["added_tokens"] = json!([added(0, "<unk>"), added(1, "<s>"), added(2, "</s>"), added(292, "<x>")]);
    let decoder = json!({ "300": { "content": "<y>", "special": true } });
    let (tokenizer, _) = read(&plain, &json!({ "tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": decoder }));
    for (text, ids) in [("<x>", &[259, 63, 283, 65][..]), ("<y>", &[289][..]), ("</s>", &[2][..])] {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text}");
    }
}

#[test]
fn byte_level_classes_split_as_in_transformers() {
    let (bos, eos, unk, pad) = ("bos_token", "eos_token", "unk_token", "pad_token");
    let end = "<|endoftext|>";
    let cases: [(&str, &[u32], SpecialTokens); 8] = [
        ("GPT2Tokenizer", &[0, 30], &[(bos, end), (eos, end), (unk, end)]),
        ("CodeGenTokenizerFast", &[0, 30], &[(bos, end), (eos, end), (unk, end)]),
        ("GPTNeoXTokenizerFast", &[0, 30], &[(bos, end), (eos, end), (unk, end), (pad, "<|padding|>")]),
        ("Qwen2Tokenizer", &[0, 28, 29], &[(eos, end), (unk, end), (pad, end)]),
        ("Qwen3_5TokenizerFast", &[0, 28, 29], &[(eos, end), (unk, end), (pad, end)]),
        ("LlamaTokenizer", &[0, 28, 29], &[]),
        ("PreTrainedTokenizerFast", &[0, 28, 29], &[]),
        ("NoSuchTokenizer", &[0, 28, 29], &[]),
    ];
    for (class, ids, special) in cases {
        let (tokenizer, named) = read(&bytes(), &json!({ "tokenizer_class": class }));
        assert_eq!(tokenizer.encode("a12").unwrap(), ids, "{class}");
        assert_eq!(names(&named), special, "{class}");
        if !special.is_empty() {
            assert_eq!(tokenizer.encode(end).unwrap(), [31], "{class}");
        }
    }
    let (tokenizer, _) = read(&bytes(), &json!({ "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true }));
    assert_eq!(tokenizer.encode("a12").unwrap(), [26, 0, 30]);
}

#[test]
fn code_llama_has_fill_tokens_and_a_bos_token() {
    let read = |config: Value| read(&pieces(), &config);
    for class in ["CodeLlamaTokenizer", "CodeLlamaTokenizerFast"] {
        let (tokenizer, named) = read(json!({ "tokenizer_class": class, "eos_token": "</s>", "legacy": true }));
        let special = [
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("prefix_token", "\u{2581}<PRE>"),
            ("middle_token", "\u{2581}<MID>"),
            ("suffix_token", "\u{2581}<SUF>"),
            ("eot_token", "\u{2581}<EOT>"),
            ("fill_token", "<FILL_ME>"),
        ];
        assert_eq!(names(&named), special);
        assert_eq!(tokenizer.encode("<s>hi </s> hi").unwrap(), [1, 287, 259, 2, 286, 268]);
        assert_eq!(tokenizer.encode("a\u{2581}<MID>a\u{fc}").unwrap(), [259, 260, 290, 260, 198, 191]);
        assert_eq!(tokenizer.encode_document("<s>hi").unwrap(), [1, 1, 287]);
        assert_eq!(tokenizer.decode(&[286, 268], false).unwrap(), "hi");
    }
    let (tokenizer, _) = read(json!({ "tokenizer_class": "CodeLlamaTokenizer", "add_prefix_space": false, "bos_token": null }));
    assert_eq!(tokenizer.encode_document("a  b").unwrap(), [260, 259, 259, 261]);
    let more = json!({ "tokenizer_class": "CodeLlamaTokenizer", "prefix_token": "<p>", "eot_token": null, "additional_special_tokens": ["<z>"] });
    let (tokenizer, named) = read(more);
    assert_eq!(
        names(&named)[3..],
        [("prefix_token", "<p>"), ("middle_token", "\u{2581}<MID>"), ("suffix_token", "\u{2581}<SUF>"), ("fill_token", "<FILL_ME>")]
    );
    for (text, ids) in [("<p>", &[289][..]), ("\u{2581}<SUF>", &[291]), ("<z>", &[293]), ("\u{2581}<PRE>", &[259, 63, 83, 85, 72, 65])] {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text}");
    }
}

#[test]
fn gemma_tokenizers_add_no_leading_space() {
    let common = [("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"), ("mask_token", "<mask>")];
    for (class, upper) in [("GemmaTokenizer", &[75, 268][..]), ("GemmaTokenizerFast", &[75, 268]), ("Siglip2Tokenizer", &[287])] {
        let (tokenizer, named) = read(&pieces(), &json!({ "tokenizer_class": class }));
        assert_eq!(names(&named), common, "{class}");
        let texts: [(&str, &[u32]); 4] = [("<s>hi </s> hi", &[1, 287, 259, 2, 286, 268]), ("\u{fc}", &[198, 191]), ("<eos>", &[290]), ("Hi", upper)];
        for (text, ids) in texts {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{class}: {text}");
        }
        assert_eq!(tokenizer.decode(&[286, 268], false).unwrap(), " hi", "{class}");
    }
    // Without an unknown token, characters without a token are errors.
    let (tokenizer, _) = read(&bytes(), &json!({ "tokenizer_class": "GemmaTokenizer", "unk_token": null }));
    assert!(tokenizer.encode("a").is_ok() && tokenizer.encode("a?").unwrap_err().to_string().contains("`None` not found"));
}

#[test]
fn roberta_tokenizers_are_byte_level_with_cls_and_sep() {
    let roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let texts = ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"];
    let cohere = ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>", "<MASK_TOKEN>"];
    for (class, special, ids, document) in [
        ("RobertaTokenizerFast", texts, &[0, 26, 27, 30][..], &[31, 0, 26, 27, 30, 27][..]),
        ("BartTokenizer", texts, &[0, 26, 27, 30], &[31, 0, 26, 27, 30, 27]),
        ("LongformerTokenizer", texts, &[0, 26, 27, 30], &[31, 0, 26, 27, 30, 27]),
        ("CohereTokenizer", cohere, &[0, 26, 18, 28, 29], &[0, 26, 18, 28, 29]),
    ] {
        let (tokenizer, named) = read(&bytes(), &json!({ "tokenizer_class": class }));
        assert_eq!(names(&named), std::iter::zip(roles, special).collect::<Vec<_>>(), "{class}");
        assert_eq!(tokenizer.encode("a </s>12").unwrap(), ids, "{class}");
        assert_eq!(tokenizer.encode_document("a </s>12").unwrap(), document, "{class}");
    }
    let (tokenizer, _) = read(&bytes(), &json!({ "tokenizer_class": "RobertaTokenizer", "add_prefix_space": true }));
    assert_eq!(tokenizer.encode("a </s>12").unwrap(), [26, 0, 26, 27, 26, 30]);
}

#[test]
fn unsupported_classes_are_refused_by_name() {
    for class in ["BertTokenizer", "T5TokenizerFast", "XLMRobertaTokenizer", "WhisperTokenizerFast", "ElectraTokenizer", "CTRLTokenizer"] {
        let files = CompanionFiles { class: Some(class.into()), model_type: Some("llama".into()), ..CompanionFiles::default() };
        let error = Tokenizer::with_files(bytes().to_string().as_bytes(), &files).unwrap_err().to_string();
        assert!(error.contains(class.trim_end_matches("Fast")) && error.contains(r#""tokenizer_class": "PreTrainedTokenizerFast""#), "{error}");
        // A class in `tokenizer_config.json` takes precedence.
        let config = JsonFields::parse(br#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#).unwrap();
        let (tokenizer, _) = Tokenizer::with_files(bytes().to_string().as_bytes(), &CompanionFiles { config, ..files }).unwrap();
        assert_eq!(tokenizer.encode("a12").unwrap(), [0, 28, 29]);
    }
}

#[test]
fn model_types_have_registered_classes() {
    let read = |json: Value, model_type: &str, class: Option<&str>| {
        let files = CompanionFiles { class: class.map(String::from), model_type: Some(model_type.into()), ..CompanionFiles::default() };
        let (tokenizer, named) = Tokenizer::with_files(json.to_string().as_bytes(), &files).unwrap();
        (tokenizer.encode("h</s>hi12").unwrap(), named.len())
    };
    let (apart, joined) = (vec![7, 18, 7, 8, 28, 29], vec![7, 18, 7, 8, 30]);
    for (model_type, class, ids, special) in [
        ("llama", None, &apart, 0),
        ("qwen2", None, &apart, 3),
        ("qwen2", Some("GPT2Tokenizer"), &apart, 3),
        ("qwen3_5", Some("GPT2TokenizerFast"), &apart, 3),
        ("cohere", None, &apart, 7),
        ("cohere", Some("GPT2Tokenizer"), &joined, 3),
        ("gemma", Some("PreTrainedTokenizerFast"), &apart, 0),
        ("bart", Some("NoSuchTokenizer"), &apart, 0),
    ] {
        assert_eq!(read(bytes(), model_type, class), (ids.clone(), special), "{model_type} {class:?}");
    }
    // Mistral's files name this class, and are used unchanged.
    assert_eq!(read(pieces(), "mistral", Some("LlamaTokenizer")).0[..4], [286, 2, 286, 268]);
    assert_eq!(read(pieces(), "llama", Some("LlamaTokenizer")).0[..3], [286, 2, 287]);
}

#[test]
fn the_padding_token_is_special_without_declarations() {
    let mut json = bytes();
    json["padding"] =
        json!({ "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<|b|>" });
    let (tokenizer, named) = Tokenizer::with_files(json.to_string().as_bytes(), &CompanionFiles::default()).unwrap();
    assert_eq!(names(&named), [("pad_token", "<|b|>")]);
    assert_eq!(tokenizer.encode("a<|b|>").unwrap(), [0, 31]);
    assert_eq!(tokenizer.decode(&[0, 31], false).unwrap(), "a");
    assert_eq!(Tokenizer::from_json(json.to_string().as_bytes()).unwrap().encode("a<|b|>").unwrap(), [0, 31]);
}

#[test]
fn objects_in_lists_of_special_tokens_are_read_as_in_transformers() {
    let fields = |json: Value| JsonFields::parse(json.to_string().as_bytes()).unwrap();
    let object = json!({ "__type": "AddedToken", "content": "<e>", "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let short = json!({ "content": "<e>", "lstrip": false });
    let split = |more: Value| {
        if more.is_null() { json!({ "split_special_tokens": true }) } else { json!({ "split_special_tokens": true, "extra_special_tokens": [more] }) }
    };
    for (config, map, added, ids) in [
        (split(object), json!({}), json!({ "<e>": 31 }), &[0, 31][..]),
        (split(json!("<e>")), json!({}), json!({ "<e>": 31 }), &[0, 4]),
        (split(Value::Null), json!({ "extra_special_tokens": [short] }), json!({ "<e>": 31 }), &[0, 4]),
        (split(Value::Null), json!({ "extra_special_tokens": [short] }), json!({}), &[0, 4]),
    ] {
        let about = format!("{config} {map} {added}");
        let files = CompanionFiles { config: fields(config), special_tokens_map: fields(map), added_tokens: fields(added), ..CompanionFiles::default() };
        let (tokenizer, _) = Tokenizer::with_files(bytes().to_string().as_bytes(), &files).unwrap();
        assert_eq!(tokenizer.encode("a<e>").unwrap(), ids, "{about}");
    }
    // Special tokens are matched before normalization.
    let files =
        CompanionFiles { special_tokens_map: fields(json!({ "extra_special_tokens": [{ "content": "i ", "rstrip": false }] })), ..CompanionFiles::default() };
    let (tokenizer, _) = Tokenizer::with_files(pieces().to_string().as_bytes(), &files).unwrap();
    assert_eq!(tokenizer.encode("a i b").unwrap(), [259, 260, 259, 289, 259, 261]);
}

#[test]
fn classes_keep_or_reset_token_properties() {
    let token = |text: &str, special: bool| json!({ "content": text, "special": special, "lstrip": true });
    let decoder = json!({ "31": token("<|endoftext|>", true), "32": token("<e>", false), "33": token("<n>", true) });
    let texts = ["a <|endoftext|>", "a <e>", "a <n>"];
    for (class, ids) in [("GPT2Tokenizer", [vec![0, 31], vec![0, 32], vec![0, 33]]), ("Qwen2Tokenizer", [vec![0, 26, 31], vec![0, 26, 32], vec![0, 33]])] {
        let (tokenizer, _) = read(&bytes(), &json!({ "tokenizer_class": class, "added_tokens_decoder": decoder, "extra_special_tokens": ["<e>"] }));
        assert_eq!(texts.map(|text| tokenizer.encode(text).unwrap()), ids, "{class}");
    }
    // The padding token.
    let padding = json!({ "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<p>" });
    for (mut json, class, ids) in [(pieces(), "LlamaTokenizer", [289]), (bytes(), "GPT2Tokenizer", [15]), (bytes(), "Qwen2Tokenizer", [15])] {
        json["padding"] = padding.clone();
        assert_eq!(read(&json, &json!({ "tokenizer_class": class })).0.encode("<p>").unwrap(), ids, "{class}");
    }
}

#[test]
fn older_files_and_models_work_with_a_class() {
    let fields = |text: &str| JsonFields::parse(text.as_bytes()).unwrap();
    let (special_tokens_map, added_tokens) = (fields(r#"{"eos_token": "<q>"}"#), fields(r#"{"<new>": 289}"#));
    let files = CompanionFiles { special_tokens_map, added_tokens, class: Some("LlamaTokenizerFast".into()), ..CompanionFiles::default() };
    let mut json = pieces();
    json["added_tokens"] = json!([added(0, "<unk>")]);
    let (tokenizer, named) = Tokenizer::with_files(json.to_string().as_bytes(), &files).unwrap();
    assert_eq!(names(&named), [("bos_token", "<s>"), ("eos_token", "<q>"), ("unk_token", "<unk>")]);
    assert_eq!(tokenizer.encode("a<new></s><q>").unwrap(), [259, 260, 289, 63, 50, 278, 65, 290]);
    // A vocabulary with scores has no merges.
    let scored = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab"].map(|text| json!([text, -1.0]));
    json["model"] = json!({ "type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": false });
    json["added_tokens"] = json!([]);
    let (tokenizer, _) = read(&json, &json!({ "tokenizer_class": "LlamaTokenizer" }));
    assert_eq!(tokenizer.encode("ab a").unwrap(), [3, 4, 5, 3, 4]);
}

#[test]
fn split_special_tokens_encodes_them_as_text() {
    let mut json = bytes();
    json["added_tokens"] = json!([added(31, "<|endoftext|>")]);
    for (split, ids) in [(json!(true), &[0, 4, 13, 3, 14, 5, 19, 4, 23, 19][..]), (json!(false), &[0, 31][..])] {
        let (tokenizer, _) = read(&json, &json!({ "split_special_tokens": split }));
        assert_eq!(tokenizer.encode("a<|endoftext|>").unwrap(), ids);
    }
}
