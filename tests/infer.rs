//! Packing, hostile model files, generation, and chat.

use crate::device::machine;
use crate::shared::root;
use pollster::block_on;
use signet::data::{END, Tokenizer, USER};
use signet::formats::TensorSource;
use signet::formats::safetensors::{Dtype, HeaderEntry, TensorFile, TensorWriter};
use signet::graph::{Machine, Storage};
use signet::infer::{Chat, ChatError, ChatTemplate, Engine, GenerateError, Generator, Message, Request, Sampling, Stopped};
use signet::model::{ChatFormat, Linears, ModelConfig, ModelFile, Moments, Purpose, Weights, init_dense, init_from_dense, pack};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A temporary directory, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-infer-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn student() -> PathBuf {
    root().join("tests/golden/ad/student")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(signet::assets::tokenizer().unwrap()).unwrap()
}

/// Logits after each of some tokens.
pub(crate) fn logits(file: &ModelFile, storage: Storage, tokens: &[u32]) -> Vec<f32> {
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(storage)).unwrap();
    let mut engine = Engine::new(&mut machine, &weights, 64).unwrap();
    tokens.iter().flat_map(|token| block_on(engine.feed(&mut machine, &[*token])).unwrap()).collect()
}

pub(crate) fn relative(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(&a, &b)| f64::from(a) - f64::from(b))) / norm(&mut want.iter().map(|&b| f64::from(b)))
}

/// Copies a model directory with everything but the latent weights rounded to f16.
fn rounded(source: &Path, out: &Path) {
    std::fs::create_dir_all(out).unwrap();
    std::fs::copy(source.join("config.json"), out.join("config.json")).unwrap();
    let file = TensorFile::open(&source.join("model.safetensors")).unwrap();
    let binary = |name: &str| name.strip_suffix(".weight").is_some_and(|layer| file.shape(&format!("{layer}.wscale")).is_some());
    let tensors: Vec<HeaderEntry> = file.names().into_iter().map(|name| (name.clone(), Dtype::F32, file.shape(&name).unwrap().to_vec())).collect();
    let mut bytes = Vec::new();
    let mut writer = TensorWriter::new(&mut bytes, &tensors, &BTreeMap::new()).unwrap();
    for (name, _, _) in &tensors {
        let values = file.raw_floats(name).unwrap();
        let round = |x: f32| if binary(name) { x } else { half::f16::from_f32(x).to_f32() };
        writer.tensor(name, &values.into_iter().flat_map(|x| round(x).to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    }
    writer.finish().unwrap();
    std::fs::write(out.join("model.safetensors"), bytes).unwrap();
}

#[test]
fn a_packed_model_gives_the_logits_of_the_latent_one() {
    let scratch = Scratch::new("pack");
    let latent = ModelFile::open(&student()).unwrap();
    let report = pack(&latent, &scratch.file("model.signet")).unwrap();
    assert_eq!(report.bytes, std::fs::metadata(scratch.file("model.signet")).unwrap().len());
    assert_eq!(report.binarized_weights, latent.config.binarized_weights());
    let packed = ModelFile::open(&scratch.file("model.signet")).unwrap();
    assert_eq!((packed.storage(), latent.storage()), (Storage::F16, Storage::F32));
    rounded(&student(), &scratch.file("rounded"));
    let near = ModelFile::open(&scratch.file("rounded")).unwrap();
    let tokens: Vec<u32> = (0..24).map(|n| n * 37 % 211).collect();
    let got = logits(&packed, Storage::F16, &tokens);
    let exact = relative(&got, &logits(&near, Storage::F16, &tokens));
    let close = relative(&got, &logits(&latent, Storage::F32, &tokens));
    assert!(exact < 1e-6, "{exact:e} from the model whose other tensors were rounded");
    assert!(close < 2e-3, "{close:e} from the latent model");
    let widened = relative(&got, &logits(&packed, Storage::F32, &tokens));
    assert!(widened < 1.0 / 2048.0, "{widened:e}: in f32 the same weights, and only keys and values are not rounded to halves");
}

#[test]
fn every_bit_survives_packing() {
    let scratch = Scratch::new("bits");
    let out = scratch.file("model.signet");
    pack(&ModelFile::open(&student()).unwrap(), &out).unwrap();
    let load = |path: &Path| {
        let mut machine = Machine::cpu();
        let weights = ModelFile::open(path).unwrap().load(&mut machine, Purpose::Inference(Storage::F16)).unwrap();
        let signs: Vec<Vec<u32>> = weights.binary.iter().map(|layer| block_on(machine.read(&layer.signs)).unwrap()).collect();
        signs
    };
    assert_eq!(load(&student()), load(&out));
    let file = TensorFile::open(&out).unwrap();
    let latent = TensorFile::open(&student().join("model.safetensors")).unwrap();
    let name = "model.layers.1.mlp.down_proj";
    let (words, values) = (file.raw_words(&format!("{name}.signs")).unwrap(), latent.raw_floats(&format!("{name}.weight")).unwrap());
    let row_words = 136usize.div_ceil(32);
    for (at, value) in values.iter().enumerate() {
        let (row, col) = (at / 136, at % 136);
        assert_eq!(words[row * row_words + col / 32] >> (col % 32) & 1 == 1, *value > 0.0, "row {row}, column {col}");
    }
}

/// The error of opening and loading a model.
fn refusal(path: &Path) -> String {
    let error = match ModelFile::open(path) {
        Ok(file) => file.load(&mut Machine::cpu(), Purpose::Inference(file.storage())).err(),
        Err(error) => Some(error),
    };
    let text = error.unwrap_or_else(|| panic!("{} was accepted", path.display())).to_string();
    assert!(text.contains(&path.display().to_string()), "no file is named: {text}");
    text
}

/// Changes bytes and shape of a named tensor; an empty shape removes it.
type Change<'a> = &'a dyn Fn(&str, &mut Vec<u8>, &mut Vec<usize>);

/// Rewrites a packed file: `change` gets each tensor's bytes and shape, and the metadata.
fn rewrite(from: &Path, to: &Path, change: Change<'_>, metadata: &dyn Fn(&mut BTreeMap<String, String>)) {
    let file = TensorFile::open(from).unwrap();
    let mut header: BTreeMap<String, String> =
        ["signet.format", "config", "tokenizer"].iter().filter_map(|key| Some((key.to_string(), file.metadata(key)?.to_string()))).collect();
    metadata(&mut header);
    let mut tensors = Vec::new();
    let mut data = Vec::new();
    for name in file.names() {
        let (dtype, mut shape) = (file.dtype(&name).unwrap(), file.shape(&name).unwrap().to_vec());
        let mut bytes: Vec<u8> = match dtype {
            Dtype::U32 => file.raw_words(&name).unwrap().iter().flat_map(|word| word.to_le_bytes()).collect(),
            _ => file.raw_floats(&name).unwrap().iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        };
        change(&name, &mut bytes, &mut shape);
        if !shape.is_empty() {
            tensors.push((name, dtype, shape));
            data.push(bytes);
        }
    }
    let mut out = Vec::new();
    let mut writer = TensorWriter::new(&mut out, &tensors, &header).unwrap();
    for ((name, _, _), bytes) in tensors.iter().zip(&data) {
        writer.tensor(name, bytes).unwrap();
    }
    writer.finish().unwrap();
    std::fs::write(to, out).unwrap();
}

#[test]
fn hostile_packed_files_are_refused_with_a_reason() {
    let scratch = Scratch::new("hostile");
    let good = scratch.file("good.signet");
    pack(&ModelFile::open(&student()).unwrap(), &good).unwrap();
    let bad = scratch.file("bad.signet");
    let same = |_: &str, _: &mut Vec<u8>, _: &mut Vec<usize>| {};
    let expect = |text: &str| {
        let error = refusal(&bad);
        assert!(error.contains(text), "{error}");
    };
    rewrite(&good, &bad, &same, &|_| {});
    ModelFile::open(&bad).unwrap().load(&mut Machine::cpu(), Purpose::Inference(Storage::F16)).unwrap();
    for (key, value, reason) in [
        ("signet.format", "2", "made by a newer Signet (format 2; this version reads 1)"),
        ("signet.format", "x", "signet.format is \"x\""),
        ("config", "{}", "config: missing field"),
        ("config", "{\"hidden_size\":0}", "config"),
        ("tokenizer", "{\"version\":", "tokenizer"),
    ] {
        rewrite(&good, &bad, &same, &|header| _ = header.insert(key.into(), value.into()));
        expect(reason);
    }
    rewrite(&good, &bad, &same, &|header| _ = header.remove("signet.format"));
    expect("is not a packed model");
    // The embedded tokenizer has thousands of ids, the golden student's embedding 211 rows: texts with ids below are valid.
    rewrite(&good, &bad, &same, &|header| _ = header.insert("tokenizer".into(), tokenizer().to_json().unwrap()));
    let foreign = ModelFile::open(&bad).unwrap().tokenizer.unwrap();
    assert_eq!((foreign.vocabulary(), foreign.encode("x").unwrap().len()), (211, 1));
    let beyond = foreign.encode("the words").unwrap_err().to_string();
    assert!(beyond.contains("the model's embedding has only 211 rows"), "{beyond}");
    rewrite(&good, &bad, &same, &|header| {
        _ = header.insert("config".into(), header["config"].replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":1048576"))
    });
    expect("num_hidden_layers is 1048576; it must be between 1 and 1024");
    // A huge shape is an error before memory is allocated.
    let huge = |header: &mut BTreeMap<String, String>| {
        let config =
            header["config"].replace("\"vocab_size\":211", "\"vocab_size\":1048576").replace("\"intermediate_size\":136", "\"intermediate_size\":1048576");
        header.insert("config".into(), config);
    };
    rewrite(&good, &bad, &same, &huge);
    expect("tensor model.layers.0.mlp.gate_proj.signs has shape [136, 2]; [1048576, 2] is needed");
    rewrite(&good, &bad, &same, &|header| {
        _ = header.insert("config".into(), header["config"].replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":1000"))
    });
    expect("has no tensor model.layers.2.self_attn.q_proj.signs");
    hostile_tensors(&good, &bad, &expect);
}

fn hostile_tensors(good: &Path, bad: &Path, expect: &dyn Fn(&str)) {
    let at = "model.layers.1.self_attn.k_proj";
    let signs = format!("{at}.signs");
    // 48 columns: the second word of a row has 16 bits of padding.
    rewrite(
        good,
        bad,
        &|name, bytes, _| {
            if name == signs {
                bytes[8 * 3 + 7] |= 0x80
            }
        },
        &|_| {},
    );
    expect("k_proj.signs has bits set past column 48 in row 3");
    rewrite(
        good,
        bad,
        &|name, bytes, _| {
            if name.ends_with("1.self_attn.k_proj.wscale") {
                bytes[..2].copy_from_slice(&0x7e00u16.to_le_bytes())
            }
        },
        &|_| {},
    );
    expect("k_proj.wscale holds NaN at element 0");
    rewrite(
        good,
        bad,
        &|name, bytes, _| {
            if name == "lm_head.weight" {
                bytes[2..4].copy_from_slice(&0xfc00u16.to_le_bytes())
            }
        },
        &|_| {},
    );
    expect("lm_head.weight is not finite at element 1");
    rewrite(
        good,
        bad,
        &|name, _, shape| {
            if name == signs {
                shape.reverse()
            }
        },
        &|_| {},
    );
    expect("k_proj.signs has shape [2, 24]; [24, 2] is needed");
    rewrite(
        good,
        bad,
        &|name, _, shape| {
            if name == "model.norm.weight" {
                shape.clear()
            }
        },
        &|_| {},
    );
    expect("has no tensor model.norm.weight");
    let bytes = std::fs::read(good).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for length in [0, 1, 7, 8, 9, header / 2, header + 7, header + 8, header + 9, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(bad, &bytes[..length]).unwrap();
        // An empty file cannot be mapped on some systems.
        expect(if length == 0 { "bad.signet: " } else { "is not a complete safetensors file" });
    }
    for length in [u64::MAX, u64::MAX / 2, bytes.len() as u64] {
        std::fs::write(bad, [&length.to_le_bytes(), &bytes[8..]].concat()).unwrap();
        expect("is not a complete safetensors file");
    }
}

#[test]
fn a_full_precision_model_packs_to_halves() {
    let scratch = Scratch::new("dense");
    let teacher = ModelFile::open(&student().with_file_name("teacher")).unwrap();
    let report = pack(&teacher, &scratch.file("teacher.signet")).unwrap();
    let packed = ModelFile::open(&scratch.file("teacher.signet")).unwrap();
    assert_eq!((report.binarized_weights, packed.linears, packed.packed()), (0, Linears::Dense, false));
    assert!(packed.load(&mut Machine::cpu(), Purpose::Training(Moments::F32)).is_ok());
    let tokens = [3, 14, 15, 92, 65];
    let (got, want) = (logits(&packed, Storage::F16, &tokens), logits(&teacher, Storage::F32, &tokens));
    let error: f64 = got.iter().zip(&want).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let size: f64 = want.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>().sqrt();
    assert!(error < 2e-3 * size, "{error} of {size}");
}

#[test]
fn models_that_cannot_be_packed_or_trained_are_refused() {
    let scratch = Scratch::new("refused");
    let out = scratch.file("model.signet");
    pack(&ModelFile::open(&student()).unwrap(), &out).unwrap();
    let packed = ModelFile::open(&out).unwrap();
    assert!(pack(&packed, &out).unwrap_err().to_string().contains("is packed already"));
    assert!(packed.load(&mut Machine::cpu(), Purpose::Training(Moments::F32)).unwrap_err().to_string().contains("cannot be trained"));
    let nowhere = pack(&ModelFile::open(&student()).unwrap(), &scratch.file("no/such/model")).unwrap_err().to_string();
    assert!(nowhere.contains("no/such/model: cannot be written"), "{nowhere}");
    let nothing = ModelFile::open(&scratch.file("nothing")).unwrap_err().to_string();
    assert!(nothing.starts_with("cannot read ") && nothing.contains("nothing"), "{nothing}");
    std::fs::create_dir(scratch.file("empty")).unwrap();
    assert!(ModelFile::open(&scratch.file("empty")).unwrap_err().to_string().contains("A model is a file made by `signet pack`"));
    // The error names a missing asset.
    if let Err(error) = ModelFile::embedded_student() {
        assert!(error.to_string().starts_with("the embedded student: "), "{error}");
    }
}

#[test]
fn embedded_models_can_be_opened() {
    let scratch = Scratch::new("embedded");
    pack(&ModelFile::open(&student()).unwrap(), &scratch.file("m")).unwrap();
    let bytes = std::fs::read(scratch.file("m")).unwrap();
    let packed = ModelFile::from_snapshot("the demo", Arc::new(bytes)).unwrap();
    let tokens = [1, 2, 3];
    assert_eq!(logits(&packed, Storage::F16, &tokens), logits(&ModelFile::open(&scratch.file("m")).unwrap(), Storage::F16, &tokens));
}

#[test]
fn a_student_has_its_template_and_a_tokenizer_truncated_to_its_rows() {
    let scratch = Scratch::new("beside");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(student().join(name), scratch.file(name)).unwrap();
    }
    std::fs::write(scratch.file("chat_template.jinja"), "x").unwrap();
    std::fs::write(scratch.file("tokenizer.json"), signet::assets::tokenizer().unwrap()).unwrap();
    let latent = ModelFile::open(&scratch.0).unwrap();
    assert_eq!((latent.linears, latent.chat), (Linears::Binary, ChatFormat::new("x", &[])));
    assert_eq!(latent.tokenizer.unwrap().vocabulary(), 211);
}

/// A model with random weights and the embedded tokenizer's vocabulary.
fn random_generator(machine: &mut Machine, capacity: usize) -> (Generator, Tokenizer) {
    let tokenizer = tokenizer();
    let config = ModelConfig {
        num_hidden_layers: 1,
        hidden_size: 64,
        intermediate_size: 96,
        num_attention_heads: 2,
        num_key_value_heads: None,
        ..ModelConfig::preset("tiny", tokenizer.vocabulary()).unwrap()
    };
    let weights = Weights::allocate(machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).unwrap();
    init_from_dense(machine, &weights, &mut init_dense(&config, 5)).unwrap();
    (Generator::new(Engine::new(machine, &weights, capacity).unwrap()), tokenizer)
}

fn warm(max_tokens: usize) -> Request {
    Request { max_tokens, sampling: Sampling { temperature: 1.0, ..Sampling::GREEDY }, ..Request::default() }
}

#[test]
fn text_is_emitted_in_whole_characters_and_the_cache_is_used() {
    for machine in [Machine::cpu(), machine().1] {
        text_is_whole(machine);
    }
}

fn text_is_whole(mut machine: Machine) {
    let (mut generator, tokenizer) = random_generator(&mut machine, 256);
    let prompt = tokenizer.encode("<|user|>hello there<|assistant|>").unwrap();
    let mut pieces = String::new();
    let first = block_on(generator.generate(&mut machine, &tokenizer, &prompt, &warm(60), &|| false, &mut |text| pieces.push_str(text))).unwrap();
    assert_eq!(pieces, first.text);
    assert_eq!((first.report.tokens, first.report.cached_tokens, first.report.stopped), (60, 0, Stopped::MaxTokens));
    assert!(first.report.first_token_seconds > 0.0 && first.report.tokens_per_second > 0.0);
    // Generate again: all but the last prompt token are cached, and the text is the same.
    let again = block_on(generator.generate(&mut machine, &tokenizer, &prompt, &warm(60), &|| false, &mut |_| {})).unwrap();
    assert_eq!((&again.ids, again.report.cached_tokens), (&first.ids, prompt.len() - 1));
    let (mut fresh, _) = random_generator(&mut machine, 256);
    let longer = [&prompt[..], &first.ids[..20]].concat();
    let warm_cache = block_on(generator.generate(&mut machine, &tokenizer, &longer, &warm(10), &|| false, &mut |_| {})).unwrap();
    let cold_cache = block_on(fresh.generate(&mut machine, &tokenizer, &longer, &warm(10), &|| false, &mut |_| {})).unwrap();
    assert_eq!(warm_cache.report.cached_tokens, longer.len() - 1);
    assert_eq!(warm_cache.ids, cold_cache.ids);
}

#[test]
fn generation_reports_its_stop_reason() {
    for machine in [Machine::cpu(), machine().1] {
        text_ends(machine);
    }
}

fn text_ends(mut machine: Machine) {
    let (mut generator, tokenizer) = random_generator(&mut machine, 40);
    let prompt = tokenizer.encode("once upon a time").unwrap();
    let mut run = |prompt: &[u32], request: &Request, asked: &dyn Fn() -> bool| {
        block_on(generator.generate(&mut machine, &tokenizer, prompt, request, asked, &mut |_| {}))
    };
    let whole = run(&prompt, &warm(30), &|| false).unwrap();
    let stop = Request { stop_tokens: vec![whole.ids[4]], ..warm(30) };
    let ended = run(&prompt, &stop, &|| false).unwrap();
    assert_eq!((ended.report.stopped, &ended.ids[..]), (Stopped::EndToken, &whole.ids[..4]));
    // Tokens in flight beyond the end are discarded: the text continues as if they had not been started.
    let longer = [&prompt[..], &ended.ids].concat();
    let resumed = run(&longer, &warm(10), &|| false).unwrap();
    assert_eq!((resumed.report.cached_tokens, &resumed.ids[..]), (longer.len() - 1, &whole.ids[4..14]));
    let characters: Vec<char> = whole.text.chars().collect();
    let string: String = characters[3..6].iter().collect();
    let cut = run(&prompt, &Request { stop_strings: vec![string.clone()], ..warm(30) }, &|| false).unwrap();
    assert_eq!((cut.report.stopped, &cut.text[..]), (Stopped::StopString, &whole.text[..whole.text.find(&string).unwrap()]));
    let full = run(&prompt, &warm(1000), &|| false).unwrap();
    assert_eq!((full.report.stopped, prompt.len() + full.ids.len()), (Stopped::ContextFull, 41));
    assert_eq!(run(&prompt, &warm(10), &|| true).unwrap().report.stopped, Stopped::Requested);
    assert!(run(&prompt, &warm(0), &|| false).unwrap().ids.is_empty());
    let long = vec![5; 40];
    assert!(matches!(run(&long, &warm(1), &|| false), Err(GenerateError::PromptTooLong { tokens: 40, capacity: 40 })));
    assert!(run(&[], &warm(1), &|| false).unwrap_err().to_string().contains("the prompt has no tokens"));
    assert!(run(&[1 << 20], &warm(1), &|| false).unwrap_err().to_string().contains("token id 1048576"));
    let absurd = Request { sampling: Sampling { temperature: f64::NAN, ..Sampling::GREEDY }, ..warm(1) };
    assert!(run(&prompt, &absurd, &|| false).unwrap_err().to_string().contains("temperature"));
}

#[test]
fn a_conversation_reuses_its_cache_and_drops_old_turns_if_needed() {
    let mut machine = Machine::cpu();
    let (mut generator, tokenizer) = random_generator(&mut machine, 160);
    let mut chat = Chat::new(ChatTemplate::new(&ChatFormat::default()).unwrap(), warm(12));
    let (mut dropped, mut before) = (0, 0);
    for turn in 0..12 {
        let text = format!("turn {turn}: tell me about it");
        let reply = block_on(chat.send(&mut machine, &mut generator, &tokenizer, &text, &|| false, &mut |_| {})).unwrap();
        if reply.dropped == 0 && turn > 0 {
            // Re-encoding sampled text may give other tokens, but all tokens before the last reply must be cached.
            assert!(reply.report.cached_tokens + 12 + 1 >= before, "turn {turn}: {} of {before} cached", reply.report.cached_tokens);
        }
        dropped += reply.dropped;
        before = reply.report.context_used;
        assert_eq!(chat.messages().last(), Some(&Message::new("assistant", &reply.text)));
        assert!(reply.report.prompt_tokens <= 160 - 12);
    }
    assert!(dropped >= 2 && dropped % 2 == 0, "{dropped} messages dropped");
    assert_eq!(chat.messages()[0].role(), "user");
    let long = "many words ".repeat(200);
    let before = chat.messages().to_vec();
    let refused = block_on(chat.send(&mut machine, &mut generator, &tokenizer, &long, &|| false, &mut |_| {}));
    assert!(matches!(refused, Err(ChatError::Generate(GenerateError::PromptTooLong { .. }))));
    assert_eq!(chat.messages(), before);
    let stopped = block_on(chat.send(&mut machine, &mut generator, &tokenizer, "hm", &|| true, &mut |_| {})).unwrap();
    assert_eq!((stopped.report.stopped, chat.messages()), (Stopped::Requested, &before[..]));
    chat.reset();
    assert!(chat.messages().is_empty());
    let ends = chat.request(&tokenizer).stop_tokens;
    assert!(ends.contains(&tokenizer.id(END).unwrap()) && ends.contains(&tokenizer.id(USER).unwrap()));
}
