//! Declarations in a model's files besides shape and weights: additional tokens, end tokens, and an untied head, as in
//! transformers 5.24 and llama.cpp; and that exports preserve them.

use crate::runs::ask;
use crate::train::Scratch;
use pollster::block_on;
use serde_json::{Value, json};
use signet::data::{CompanionFiles, JsonFields, Tokenizer};
use signet::formats::TensorSource;
use signet::formats::gguf::Gguf;
use signet::formats::safetensors::{Dtype, TensorWriter};
use signet::graph::{Machine, Storage};
use signet::infer::{Engine, Generator, Request, Sampling};
use signet::model::{ChatFormat, Floats, ModelFile, Purpose, Templates, export_dense, export_gguf, pack};
use signet::runner::{Command, DataRequest, Event, Loss, TrainConfig};
use signet::train::ModelSource;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Embedding rows of the test models.
const ROWS: usize = 36;

/// A byte-level BPE of the letters (0 to 25), a space (26) and `</s>` as an ordinary entry (27), with added tokens from 28 on.
fn tokenizer(added: &[&str]) -> Value {
    let mut vocabulary: BTreeMap<String, usize> = ('a'..='z').enumerate().map(|(id, letter)| (letter.to_string(), id)).collect();
    vocabulary.extend([("\u{120}".to_string(), 26), ("</s>".to_string(), 27)]);
    let added = added.iter().enumerate().map(
        |(n, text)| json!({ "id": 28 + n, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }),
    );
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(), "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null, "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    })
}

/// A model that predicts the next id after each token, in a folder with these files.
fn write_model(path: &Path, files: &[(&str, Value)]) {
    std::fs::create_dir_all(path).unwrap();
    let config = json!({
        "hidden_size": ROWS, "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": ROWS,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    });
    let files = [("config.json", config)].iter().chain(files).map(|(name, json)| (*name, json.clone())).collect::<BTreeMap<_, _>>();
    for (name, json) in files {
        std::fs::write(path.join(name), json.to_string()).unwrap();
    }
    write_tensors(&path.join("model.safetensors"), true, |row| Some((row + ROWS - 1) % ROWS));
}

/// Writes tensors: the embedding is the identity, blocks add zero, and each row of the head has a 1 at the index `head`.
fn write_tensors(path: &Path, with_head: bool, head: impl Fn(usize) -> Option<usize>) {
    let layer = |name: &str, rows: usize, cols: usize| (format!("model.layers.0.{name}.weight"), vec![rows, cols]);
    let mut tensors = vec![("model.embed_tokens.weight".to_string(), vec![ROWS, ROWS])];
    tensors.extend(["q_proj", "k_proj", "v_proj", "o_proj"].map(|name| layer(&format!("self_attn.{name}"), ROWS, ROWS)));
    tensors.extend([layer("mlp.gate_proj", 2, ROWS), layer("mlp.up_proj", 2, ROWS), layer("mlp.down_proj", ROWS, 2)]);
    let norms = ["model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight", "model.norm.weight"];
    tensors.extend(norms.map(|name| (name.to_string(), vec![ROWS])));
    tensors.extend(with_head.then(|| ("lm_head.weight".to_string(), vec![ROWS, ROWS])));
    let layout: Vec<_> = tensors.iter().map(|(name, shape)| (name.clone(), Dtype::F32, shape.clone())).collect();
    let mut file = Vec::new();
    let mut writer = TensorWriter::new(&mut file, &layout, &BTreeMap::new()).unwrap();
    for (name, shape) in &tensors {
        let one = |row: usize, col: usize| match name.as_str() {
            "model.embed_tokens.weight" => row == col,
            "lm_head.weight" => head(row) == Some(col),
            name => name.ends_with("norm.weight"),
        };
        let cols = *shape.last().unwrap();
        let values = (0..shape.iter().product()).map(|n: usize| f32::from(u8::from(one(n / cols, n % cols))));
        writer.tensor(name, &values.flat_map(f32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    }
    writer.finish().unwrap();
    std::fs::write(path, file).unwrap();
}

/// The ids of a text, and the ids that a model generates after it.
fn generate(path: &Path, prompt: &str) -> (Vec<u32>, Vec<u32>) {
    let file = ModelFile::open(path).unwrap();
    let tokenizer = file.tokenizer.clone().unwrap();
    let prompt = tokenizer.encode_document(prompt).unwrap();
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let mut generator = Generator::new(Engine::new(&mut machine, &weights, 48).unwrap());
    let request = Request { max_tokens: 12, sampling: Sampling::GREEDY, stop_tokens: tokenizer.ends(), ..Request::default() };
    let reply = block_on(generator.generate(&mut machine, &tokenizer, &prompt, &request, &|| false, &mut |_| {})).unwrap();
    (prompt, reply.ids)
}

/// The tokenizer of a `tokenizer.json` with the files beside it, and its special tokens.
fn files(tokenizer: &Value, config: &str, special: &str, added: &str) -> Result<(Tokenizer, Vec<(String, String)>), String> {
    let fields = |text: &str| if text.is_empty() { JsonFields::default() } else { JsonFields::parse(text.as_bytes()).unwrap() };
    let files = CompanionFiles { config: fields(config), special_tokens_map: fields(special), added_tokens: fields(added), ..CompanionFiles::default() };
    Tokenizer::with_files(tokenizer.to_string().as_bytes(), &files).map_err(|error| error.to_string())
}

#[test]
fn the_vocabulary_may_exceed_the_embedding() {
    let scratch = Scratch::new("above");
    let mut json = tokenizer(&["<pad>"]);
    json["model"]["vocab"]["<pad>"] = ROWS.into();
    json["added_tokens"][0]["id"] = ROWS.into();
    write_model(&scratch.path("m"), &[("tokenizer.json", json)]);
    let file = ModelFile::open(&scratch.path("m")).unwrap();
    let tokenizer = file.tokenizer.as_ref().unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.ids(), file.padding()), (ROWS, ROWS + 1, 0));
    assert_eq!(tokenizer.encode("hi").unwrap(), [7, 8]);
    let error = tokenizer.encode("hi<pad>").unwrap_err().to_string();
    assert!(error.contains("\"<pad>\" has the id 36, but the model's embedding has only 36 rows"), "{error}");
    assert_eq!(generate(&scratch.path("m"), "h").0, [7]);
    // The packed model gives the same ids.
    pack(&file, &scratch.path("p")).unwrap();
    assert_eq!(ModelFile::open(&scratch.path("p")).unwrap().tokenizer.unwrap().encode("hi").unwrap(), [7, 8]);
}

#[test]
fn declared_tokens_have_the_ids_of_transformers() {
    // The ids are those of `AutoTokenizer`.
    let plain = tokenizer(&["<x>"]);
    let cases: [(&str, &str, &str, &str, &[u32]); 12] = [
        // An id in a file only determines the order.
        (r#"{"added_tokens_decoder":{"33":{"content":"<b>","special":true},"31":{"content":"<a>","special":true}}}"#, "", "", "<a><b><x>", &[29, 30, 28]),
        (r#"{"added_tokens_decoder":{"29":{"content":"<a>","lstrip":true,"rstrip":true,"special":true}}}"#, "", "", "h <a> i", &[7, 29, 8]),
        (r#"{"added_tokens_decoder":{"29":{"content":"<a>","single_word":true,"special":true}},"extra_special_tokens":["<"]}"#, "", "", "h<a>", &[7, 0]),
        // Special tokens without an id get the next ids: standard roles first, then custom names, then the list.
        (r#"{"extra_special_tokens":["<e>"],"turn_token":"<t>","pad_token":"<p>","eos_token":"<q>"}"#, "", "", "<q><p><t><e>", &[29, 30, 31, 32]),
        (r#"{"additional_special_tokens":["<f>","<e>"]}"#, "", "", "<e><f>", &[30, 29]),
        (r#"{"additional_special_tokens":["<f>"],"extra_special_tokens":["<e>"]}"#, "", "", "<e>", &[29]),
        (r#"{"extra_special_tokens":{"z":"<z>","b":{"__type":"AddedToken","content":"<b>","lstrip":true}}}"#, "", "", "a <b><z>", &[0, 30, 29]),
        // An entry of the vocabulary becomes special and keeps its id.
        (r#"{"eos_token":"</s>"}"#, "", "", "a</s>", &[0, 27]),
        // special_tokens_map.json takes precedence, unless there is an added_tokens_decoder.
        (r#"{"eos_token":"<q>"}"#, r#"{"eos_token":{"content":"<r>","lstrip":true}}"#, "", "a <r>", &[0, 29]),
        (r#"{"eos_token":"<q>","added_tokens_decoder":{}}"#, r#"{"eos_token":"<r>"}"#, r#"{"<s>":29}"#, "<q>", &[29]),
        (r#"{"pad_token":"<p>"}"#, "", r#"{"<p>":30,"<s>":29}"#, "<p><s>", &[30, 29]),
        (r#"{}"#, r#"{"extra_special_tokens":["<e>"]}"#, r#"{"<s>":40}"#, "<s><e>", &[29, 30]),
    ];
    for (config, special, added, text, ids) in cases {
        let (tokenizer, _) = files(&plain, config, special, added).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{config} {special} {added}");
        let again = Tokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(again.encode(text).unwrap(), ids, "written and read again: {config}");
    }
    let (_, named) = files(&plain, r#"{"eos_token":"<q>","turn_token":"<t>"}"#, r#"{"eos_token":"<x>"}"#, "").unwrap();
    assert_eq!(named, [("eos_token".to_string(), "<x>".to_string()), ("turn_token".into(), "<t>".into())]);
}

#[test]
fn invalid_companion_files_are_named() {
    let many: String = (0..20_000).map(|n| format!(r#""a{n}_token":"<{n}>","#)).collect();
    let many = format!("{{{many}\"x\":0}}");
    for (config, special, added, problem) in [
        (r#"{"added_tokens_decoder":{"x":{"content":"<a>"}}}"#, "", "", "added_tokens_decoder: \"x\" is not an id"),
        (r#"{"added_tokens_decoder":{"3":7}}"#, "", "", "added_tokens_decoder: 3 is not a token"),
        (r#"{"added_tokens_decoder":[1]}"#, "", "", "added_tokens_decoder is not a JSON object"),
        (r#"{"eos_token":7}"#, "", "", "eos_token is neither"),
        ("", r#"{"eos_token":{"lstrip":true}}"#, "", "special_tokens_map.json: eos_token has no content"),
        ("", "", r#"{"<a>":-1}"#, "added_tokens.json: -1 is not an id"),
        (&many, "", "", "tokenizer_config.json has 20001 fields"),
    ] {
        let error = files(&tokenizer(&[]), config, special, added).map(drop).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_token_beyond_the_embedding_is_refused_when_encoded() {
    let scratch = Scratch::new("declared-beyond");
    let path = scratch.path("m");
    let names: Vec<String> = (0..9).map(|n| format!("<{n}>")).collect();
    write_model(&path, &[("tokenizer.json", tokenizer(&[])), ("tokenizer_config.json", json!({ "extra_special_tokens": names }))]);
    let file = ModelFile::open(&path).unwrap();
    let tokenizer = file.tokenizer.unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.ids()), (ROWS, ROWS + 1));
    assert_eq!(tokenizer.encode("a<7>").unwrap(), [0, 35]);
    let error = tokenizer.encode("a<8>").unwrap_err().to_string();
    assert!(error.contains("\"<8>\" has the id 36, but the model's embedding has only 36 rows"), "{error}");
}

/// The end tokens of replies and documents that a folder's files declare.
fn end_tokens(name: &str, files: &[(&str, Value)]) -> (Vec<u32>, Option<u32>) {
    let scratch = Scratch::new(&format!("declared-{name}"));
    let files = [&[("tokenizer.json", tokenizer(&["<|end|>", "<a>", "<b>", "<|endoftext|>"]))][..], files].concat();
    write_model(&scratch.path("m"), &files);
    let tokenizer = ModelFile::open(&scratch.path("m")).unwrap().tokenizer.unwrap();
    (tokenizer.ends(), tokenizer.end())
}

#[test]
fn end_tokens_follow_the_declarations() {
    let config = |ids: Value| {
        let scratch = Scratch::new("declared-config");
        write_model(&scratch.path("m"), &[]);
        let mut config: Value = serde_json::from_slice(&std::fs::read(scratch.path("m").join("config.json")).unwrap()).unwrap();
        config["eos_token_id"] = ids;
        ("config.json", config)
    };
    let generation = |ids: Value| ("generation_config.json", json!({ "eos_token_id": ids }));
    let eos = |text: &str| ("tokenizer_config.json", json!({ "eos_token": text }));
    let map = ("special_tokens_map.json", json!({ "eos_token": { "content": "<b>" } }));
    assert_eq!(end_tokens("list", &[generation(json!([29, 30])), config(json!(28)), eos("<|endoftext|>")]), (vec![31, 29, 30], Some(31)));
    assert_eq!(end_tokens("config", &[config(json!(29)), eos("<|endoftext|>")]), (vec![31, 29], Some(31)));
    assert_eq!(end_tokens("null", &[generation(Value::Null), config(json!(29)), eos("<b>")]), (vec![30], Some(30)), "the generation's own file counts alone");
    assert_eq!(end_tokens("map", &[map, eos("<a>")]), (vec![30], Some(30)));
    assert_eq!(end_tokens("config-alone", &[config(json!([30, 29]))]), (vec![30, 29], Some(30)));
    assert_eq!(end_tokens("unknown", &[eos("<new>")]), (vec![32], Some(32)));
    assert_eq!(end_tokens("vocabulary", &[eos("</s>")]), (vec![27], Some(27)), "an entry that is declared");
    assert_eq!(end_tokens("nobody", &[("tokenizer_config.json", json!({}))]), (vec![], None), "none is declared");
    // End tokens are inferred from special tokens only if the files declare none.
    assert_eq!(end_tokens("silent", &[]), (vec![28, 31], Some(28)));
}

#[test]
fn special_numbers_do_not_hide_declarations() {
    let scratch = Scratch::new("declared-numbers");
    let path = scratch.path("m");
    write_model(&path, &[("tokenizer.json", tokenizer(&["<a>", "<b>"]))]);
    let put = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    let end_tokens = || ModelFile::open(&path).unwrap().tokenizer.unwrap().ends();
    let config = std::fs::read_to_string(path.join("config.json")).unwrap();
    put("config.json", &config.replacen('{', r#"{"loss": NaN, "eos_token_id": 29, "#, 1));
    assert_eq!(end_tokens(), [29]);
    put("generation_config.json", r#"{"length_penalty": -Infinity, "eos_token_id": [28, 29]}"#);
    assert_eq!(end_tokens(), [28, 29]);
    put("tokenizer_config.json", r#"{"model_max_length": Infinity, "eos_token": "<b>", "odd_token": NaN}"#);
    put("special_tokens_map.json", r#"{"limit": Infinity}"#);
    put("added_tokens.json", r#"{"<c>": 30}"#);
    assert_eq!(end_tokens(), [29, 28]);
    let tokenizer = ModelFile::open(&path).unwrap().tokenizer.unwrap();
    assert_eq!((tokenizer.encode("<c>").unwrap(), tokenizer.ids()), (vec![30], 31));
    put("config.json", "{");
    assert!(ModelFile::open(&path).unwrap_err().to_string().contains("config.json: "));
}

#[test]
fn exports_declare_the_same_tokens_and_end_tokens() {
    let scratch = Scratch::new("declared-written");
    let path = scratch.path("m");
    let files = json!({ "eos_token": "<|over|>", "extra_special_tokens": ["<a>", "<b>", "<c>"], "chat_template": "{{ messages[0].content }}" });
    // "w" is followed by 23, 24, … and 30 and 29 are not reached before 28.
    let generation = json!({ "eos_token_id": [31, 30, 29] });
    let mut json = tokenizer(&[]);
    json["post_processor"] = Value::Null;
    write_model(&path, &[("tokenizer.json", json), ("tokenizer_config.json", files), ("generation_config.json", generation)]);
    let source = ModelFile::open(&path).unwrap();
    let end_tokens = source.tokenizer.as_ref().unwrap().ends();
    assert_eq!(end_tokens, [28, 31, 30, 29]);
    assert_eq!(generate(&path, "x"), (vec![23], vec![24, 25, 26, 27]));
    export_dense(&source, &scratch.path("dense"), Floats::F32, &mut |_, _| true).unwrap();
    export_gguf(&source, &scratch.path("m.gguf"), &mut |_, _| true).unwrap();
    pack(&source, &scratch.path("m.signet")).unwrap();
    for name in ["dense", "m.gguf", "m.signet"] {
        let tokenizer = ModelFile::open(&scratch.path(name)).unwrap().tokenizer.unwrap();
        assert_eq!((tokenizer.ends(), tokenizer.end()), (end_tokens.clone(), Some(28)), "{name}");
        assert_eq!(tokenizer.encode("a<c>b").unwrap(), [0, 31, 1], "{name}");
        assert_eq!(generate(&scratch.path(name), "x").1, [24, 25, 26, 27], "{name}");
    }
    let written = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(scratch.path("dense").join(name)).unwrap()).unwrap();
    assert_eq!(written("generation_config.json")["eos_token_id"], json!([28, 31, 30, 29]));
    assert_eq!(written("config.json")["eos_token_id"], json!([28, 31, 30, 29]));
    assert_eq!(written("tokenizer_config.json")["eos_token"], "<|over|>");
    let file = Gguf::open(&scratch.path("m.gguf")).unwrap();
    let key = |name: &str| file.metadata().count(&format!("tokenizer.ggml.{name}")).unwrap();
    assert_eq!(["eos_token_id", "eot_token_id", "eom_token_id"].map(key), [Some(28), Some(31), Some(30)]);
}

#[test]
fn exports_keep_templates_and_special_tokens() {
    let scratch = Scratch::new("declared-templates");
    let path = scratch.path("m");
    let config = json!({
        "eos_token": "<a>", "unk_token": "<u>", "pad_token": "<p>", "turn_token": "<t>", "extra_special_tokens": {"image": "<i>"},
        "chat_template": {"default": "d", "tool_use": "t", "rag": "r"},
    });
    write_model(&path, &[("tokenizer.json", tokenizer(&[])), ("tokenizer_config.json", config)]);
    let source = ModelFile::open(&path).unwrap();
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect::<BTreeMap<_, _>>();
    let templates = |pairs: &[(&str, &str)]| Some(Templates::Named(texts(pairs)));
    let tokens = texts(&[("eos_token", "<a>"), ("unk_token", "<u>"), ("pad_token", "<p>"), ("turn_token", "<t>"), ("image", "<i>")]);
    assert_eq!(source.chat, ChatFormat { template: templates(&[("default", "d"), ("tool_use", "t"), ("rag", "r")]), special_tokens: tokens });
    export_dense(&source, &scratch.path("dense"), Floats::F32, &mut |_, _| true).unwrap();
    export_gguf(&source, &scratch.path("m.gguf"), &mut |_, _| true).unwrap();
    pack(&source, &scratch.path("m.signet")).unwrap();
    let chat = |name: &str| ModelFile::open(&scratch.path(name)).unwrap().chat;
    assert_eq!((chat("dense"), chat("m.signet")), (source.chat.clone(), source.chat.clone()));
    assert_eq!((chat("m.gguf").template, chat("m.gguf").eos_token()), (source.chat.template, Some("<a>")));
    // Template files replace all templates in the configuration.
    std::fs::write(path.join("chat_template.jinja"), "D").unwrap();
    assert_eq!(chat("m").template, Some(Templates::One("D".into())));
    std::fs::create_dir(path.join("additional_chat_templates")).unwrap();
    std::fs::write(path.join("additional_chat_templates/tool_use.jinja"), "T").unwrap();
    std::fs::write(path.join("additional_chat_templates/README.md"), "no template").unwrap();
    assert_eq!(chat("m").template, templates(&[("default", "D"), ("tool_use", "T")]));
}

#[test]
fn exports_contain_the_rebuilt_tokenizer() {
    let scratch = Scratch::new("declared-class");
    let path = scratch.path("m");
    let mut json = tokenizer(&[]);
    json["model"]["vocab"].as_object_mut().unwrap().extend([("1".to_string(), json!(28)), ("2".into(), json!(29)), ("12".into(), json!(30))]);
    json["model"]["merges"] = json!([["1", "2"]]);
    json["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true }, json["pre_tokenizer"]] });
    write_model(&path, &[("tokenizer.json", json)]);
    let open = |name: &str| ModelFile::open(&scratch.path(name)).unwrap();
    assert_eq!(open("m").tokenizer.unwrap().encode("12").unwrap(), [28, 29]);
    let config = std::fs::read_to_string(path.join("config.json")).unwrap();
    std::fs::write(path.join("config.json"), config.replacen('{', r#"{"tokenizer_class": "GPT2TokenizerFast", "#, 1)).unwrap();
    let source = open("m");
    export_dense(&source, &scratch.path("dense"), Floats::F32, &mut |_, _| true).unwrap();
    export_gguf(&source, &scratch.path("m.gguf"), &mut |_, _| true).unwrap();
    pack(&source, &scratch.path("m.signet")).unwrap();
    for name in ["m", "dense", "m.gguf", "m.signet"] {
        let file = open(name);
        let tokenizer = file.tokenizer.unwrap();
        assert_eq!(tokenizer.encode("12<|endoftext|>").unwrap(), [30, 31], "{name}");
        assert_eq!((tokenizer.end(), tokenizer.ends(), file.chat.eos_token()), (Some(31), vec![31], Some("<|endoftext|>")), "{name}");
    }
}

#[test]
fn exports_keep_split_special_tokens() {
    let scratch = Scratch::new("declared-split");
    let config = json!({ "split_special_tokens": true, "eos_token": "<a>" });
    let mut json = tokenizer(&[]);
    json["model"]["vocab"].as_object_mut().unwrap().extend([("<".to_string(), json!(28)), (">".into(), json!(29))]);
    write_model(&scratch.path("m"), &[("tokenizer.json", json), ("tokenizer_config.json", config)]);
    let source = ModelFile::open(&scratch.path("m")).unwrap();
    export_dense(&source, &scratch.path("dense"), Floats::F32, &mut |_, _| true).unwrap();
    pack(&source, &scratch.path("m.signet")).unwrap();
    for name in ["m", "dense", "m.signet"] {
        let tokenizer = ModelFile::open(&scratch.path(name)).unwrap().tokenizer.unwrap();
        assert_eq!((tokenizer.encode("b<a>").unwrap(), tokenizer.end()), (vec![1, 28, 0, 29], Some(30)), "{name}");
    }
    let error = export_gguf(&source, &scratch.path("m.gguf"), &mut |_, _| true).unwrap_err().to_string();
    assert!(error.contains("split_special_tokens"), "{error}");
}

#[test]
fn a_tokenizer_path_includes_its_companion_files() {
    let scratch = Scratch::new("declared-named");
    let folder = scratch.path("t");
    std::fs::create_dir_all(&folder).unwrap();
    let template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
    for (name, json) in [
        ("tokenizer.json", tokenizer(&[])),
        ("alone.json", tokenizer(&[])),
        ("tokenizer_config.json", json!({ "eos_token": "<over>", "chat_template": template })),
        ("added_tokens.json", json!({ "<new>": 28 })),
    ] {
        std::fs::write(folder.join(name), json.to_string()).unwrap();
    }
    let rows = [r#"{"text": "a<new>"}"#, r#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}"#].join("\n") + "\n";
    let data = scratch.path("rows.jsonl");
    std::fs::write(&data, rows.repeat(200)).unwrap();
    let documents = |tokenizer: PathBuf| {
        let source = ModelSource::Path(tokenizer);
        let config = TrainConfig { tokenizer: source, teacher: ModelSource::None, loss: Loss::Ar, seq: 16, data: vec![data.clone()], ..TrainConfig::default() };
        let events = ask(Command::Data(Box::new(DataRequest { config, rows: 2 }))).unwrap();
        events.into_iter().find_map(|event| if let Event::Data(report) = event { Some(report.rows) } else { None }).unwrap()
    };
    for path in [folder.clone(), folder.join("tokenizer.json")] {
        assert_eq!(documents(path), ["a<new><over>", "hi<over>yo<over>"]);
    }
    // It lacks the characters around the roles of the default template.
    assert_eq!(documents(folder.join("alone.json")), ["anew", "userhiassistantyo"]);
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let config = TrainConfig { tokenizer: ModelSource::Path(folder), teacher: ModelSource::None, loss: Loss::Ar, ..TrainConfig::default() };
    let error = ask(Command::Data(Box::new(DataRequest { config, rows: 0 }))).unwrap_err();
    assert!(error.contains("tokenizer.json: there is no such file"), "{error}");
}

#[test]
fn an_untied_head_overrides_tie_word_embeddings() {
    let scratch = Scratch::new("declared-head");
    let config = |tied: bool, path: &Path| {
        let mut config: Value = serde_json::from_slice(&std::fs::read(path.join("config.json")).unwrap()).unwrap();
        config["tie_word_embeddings"] = tied.into();
        std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    };
    let model = |name: &str, tied: bool| {
        let path = scratch.path(name);
        write_model(&path, &[("tokenizer.json", tokenizer(&[])), ("tokenizer_config.json", json!({}))]);
        config(tied, &path);
        path
    };
    let own = model("own", true);
    let file = ModelFile::open(&own).unwrap();
    assert!(!file.config.tie_word_embeddings && generate(&own, "c").1[..3] == [3, 4, 5]);
    // A head equal to the embedding is tied, and so is a missing head.
    let same = model("same", true);
    write_tensors(&same.join("model.safetensors"), true, Some);
    let none = model("none", true);
    write_tensors(&none.join("model.safetensors"), false, |_| None);
    // A head without an embedding is the embedding.
    let alone = model("alone", true);
    write_tensors(&alone.join("model.safetensors"), false, |_| None);
    let mut bytes = std::fs::read(alone.join("model.safetensors")).unwrap();
    let name = b"\"model.embed_tokens.weight\":";
    let at = bytes.windows(name.len()).position(|bytes| bytes == name).unwrap();
    bytes[at..at + name.len()].copy_from_slice(format!("{:<1$}", "\"lm_head.weight\":", name.len()).as_bytes());
    std::fs::write(alone.join("model.safetensors"), bytes).unwrap();
    for path in [&same, &none, &alone] {
        let file = ModelFile::open(path).unwrap();
        assert!(file.config.tie_word_embeddings && generate(path, "c").1[..2] == [2, 2], "{}", path.display());
    }
    config(false, &none);
    assert!(ModelFile::open(&none).unwrap_err().to_string().contains("no tensor lm_head.weight"));
    // Exports have the untied head and declare it.
    pack(&file, &scratch.path("own.signet")).unwrap();
    export_gguf(&file, &scratch.path("own.gguf"), &mut |_, _| true).unwrap();
    export_dense(&file, &scratch.path("own-dense"), Floats::F32, &mut |_, _| true).unwrap();
    for name in ["own.signet", "own.gguf", "own-dense"] {
        assert!(!ModelFile::open(&scratch.path(name)).unwrap().config.tie_word_embeddings);
        assert_eq!(generate(&scratch.path(name), "c").1[..3], [3, 4, 5], "{name}");
    }
    assert!(Gguf::open(&scratch.path("own.gguf")).unwrap().shape("output.weight").is_some());
    // A tied model cannot load an untied head; an untied model can load a tied one.
    let mut machine = Machine::cpu();
    let tied = ModelFile::open(&same).unwrap().load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let refused = file.init_student(&mut machine, &tied).unwrap_err().to_string();
    assert!(refused.contains("has a separate head"), "{refused}");
    let untied = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    ModelFile::open(&same).unwrap().init_student(&mut machine, &untied).unwrap();
}

#[test]
fn a_huge_context_length_allocates_no_memory() {
    let scratch = Scratch::new("declared-long");
    let path = scratch.path("m");
    write_model(&path, &[("tokenizer.json", tokenizer(&[])), ("tokenizer_config.json", json!({}))]);
    let before = std::fs::read_to_string(path.join("config.json")).unwrap();
    for (context, fine) in [("4194304", true), ("10485760", true), ("2147483647", true), ("2147483648", false), ("0", false)] {
        std::fs::write(path.join("config.json"), before.replace("64", context)).unwrap();
        let opened = ModelFile::open(&path);
        assert_eq!(opened.is_ok(), fine, "{context}");
        if let Ok(file) = opened {
            assert_eq!(generate(&path, "a").1[..2], [1, 2]);
            pack(&file, &scratch.path("m.signet")).unwrap();
            assert_eq!(ModelFile::open(&scratch.path("m.signet")).unwrap().config, file.config);
            let _ = std::fs::remove_file(scratch.path("m.gguf"));
            export_gguf(&file, &scratch.path("m.gguf"), &mut |_, _| true).unwrap();
            assert_eq!(ModelFile::open(&scratch.path("m.gguf")).unwrap().config.max_position_embeddings.to_string(), context);
        }
    }
}
