//! GGUF files: the same contents as read by Python, and errors. The files in `tests/gguf` are made by `make.py` there.

use crate::infer::{logits, relative};
use crate::runs::ask;
use crate::shared::root;
use crate::train::{Scratch, as_str, run};
use serde_json::Value;
use signet::formats::gguf::Gguf;
use signet::formats::safetensors::TensorFile;
use signet::formats::{FormatError, TensorSource};
use signet::graph::{Machine, Storage};
use signet::infer::{ChatTemplate, Message};
use signet::model::{ModelConfig, ModelFile, Purpose, RopeScaling, export_gguf};
use signet::runner::{Command, Event, InputKind};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) fn fixture(name: &str) -> PathBuf {
    root().join("tests/gguf").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn reference() -> TensorFile {
    TensorFile::open(&fixture("reference.safetensors")).unwrap()
}

/// Ids in a list.
pub(crate) fn ids(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn every_type_is_dequantized_as_in_the_gguf_package() {
    let (file, reference) = (Gguf::open(&fixture("blocks.gguf")).unwrap(), reference());
    assert_eq!(file.names(), ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]);
    for name in file.names() {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        let want = reference.floats(&format!("blocks.{name}"), 3, 512).unwrap();
        assert_eq!(bits(file.floats(&name, 3, 512).unwrap()), bits(want.clone()), "{name}");
        assert_eq!(bits(file.read_finite(&name, 512, 1..3).unwrap()), bits(want[512..].to_vec()), "{name}");
        assert_eq!(file.dtype_name(&name), Some(&*name));
    }
}

#[test]
fn a_tiny_model_gives_the_logits_of_transformers() {
    let (file, printed) = (ModelFile::open(&fixture("tiny.gguf")).unwrap(), json("tiny.json"));
    let config = &file.config;
    assert_eq!((config.hidden_size, config.kv_heads(), config.head_dim(), config.rope_theta, config.rms_norm_eps), (32, 2, 12, 50_000.0, 1e-5));
    assert!(config.tie_word_embeddings && file.storage() == Storage::F32);
    let tokens = ids(&printed["ids"]);
    let want = reference().floats("tiny.logits", tokens.len(), config.vocab_size).unwrap();
    let error = relative(&logits(&file, Storage::F32, &tokens), &want);
    assert!(error < 1e-5, "{error:e} from transformers");
    let tokenizer = file.tokenizer.as_ref().unwrap();
    for text in printed["texts"].as_array().unwrap() {
        assert_eq!(tokenizer.encode(text["text"].as_str().unwrap()).unwrap(), ids(&text["ids"]), "{text}");
    }
    assert_eq!((file.chat.bos_token(), file.chat.eos_token()), (Some("<|im_start|>"), Some("<|im_end|>")));
    let asked = ChatTemplate::new(&file.chat).unwrap().render(&[Message::new("user", "Hi")], true).unwrap();
    assert_eq!(asked, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

#[test]
fn rows_are_read_in_order_in_bands_of_every_size() {
    let file = ModelFile::open(&fixture("tiny.gguf")).unwrap();
    let file = file.tensors();
    for (part, rows, cols) in [("self_attn.q_proj", 48, 32), ("self_attn.k_proj", 24, 32), ("mlp.down_proj", 32, 256)] {
        let name = format!("model.layers.2.{part}.weight");
        let whole = file.floats(&name, rows, cols).unwrap();
        for step in [1, 5, 12, 17] {
            let bands = (0..rows).step_by(step).flat_map(|first| file.read_finite(&name, cols, first..rows.min(first + step)).unwrap());
            assert!(bands.eq(whole.iter().copied()), "{name} by {step} rows");
        }
    }
}

#[test]
fn a_sentence_piece_vocabulary_gives_llama_2s_ids() {
    let file = Gguf::open(&fixture("sentence.gguf")).unwrap();
    let tokenizer = signet::data::Tokenizer::from_gguf(file.metadata()).unwrap().unwrap();
    for text in json("sentence.json")["texts"].as_array().unwrap() {
        let plain = text["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(plain).unwrap(), ids(&text["ids"]), "{text}");
        assert_eq!(tokenizer.encode_document(plain).unwrap(), ids(&text["document"]), "{text}");
        assert_eq!(tokenizer.decode(&ids(&text["document"]), false).unwrap(), text["decoded"], "{text}");
    }
}

#[test]
fn a_gguf_file_is_dropped_teaches_initializes_a_student_and_is_packed() {
    let scratch = Scratch::new("gguf");
    // Detected by extension and by content.
    let events = ask(Command::CheckInput { path: fixture("tiny.gguf"), kind: InputKind::Any }).unwrap();
    let Some(Event::Input { kind: InputKind::Model, problem: None, what, .. }) = events.first() else { panic!("{events:?}") };
    assert!(what.contains("a model of 127.3 k") && what.contains("320 token ids, with its tokenizer"), "{what}");
    let place = |name: &str| scratch.path(name).display().to_string();
    let tiny = fixture("tiny.gguf").display().to_string();
    std::fs::copy(&tiny, scratch.path("nameless")).unwrap();
    let config = ModelFile::open(&scratch.path("nameless")).unwrap().config;
    std::fs::write(scratch.path("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    std::fs::write(scratch.path("text.txt"), "The capital of France is what the text says it is. ".repeat(200)).unwrap();
    let succeeds = |arguments: &str, paths: &[(&str, String)]| {
        let mut all: Vec<String> = arguments.split(' ').map(String::from).collect();
        paths.iter().for_each(|(option, path)| all.extend([option.to_string(), path.clone()]));
        let (good, printed) = run(&as_str(&all.into_iter().filter(|argument| !argument.is_empty()).collect::<Vec<_>>()));
        assert!(good, "{printed}");
        printed
    };
    let train = "train --device cpu --init teacher --name student --steps 4 --warmup 1 --seq 16 --sample-every 2 --eval-batches 1";
    let both = [("--teacher", tiny.clone()), ("--data", place("text.txt"))];
    succeeds(train, &[&both[..], &[("--model", place("config.json")), ("--runs", place("runs"))]].concat());
    let student = ModelFile::open(&scratch.path("runs/student/checkpoints/step-00000004")).unwrap();
    assert!(student.tokenizer.unwrap().same_ids(&ModelFile::open(&fixture("tiny.gguf")).unwrap().tokenizer.unwrap()));
    succeeds("teach --device cpu --seq 16 --top 9", &[&both[..], &[("--out", place("cache"))]].concat());
    succeeds("pack", &[("", tiny.clone()), ("", place("tiny.signet"))]);
    let (file, packed) = (ModelFile::open(&fixture("tiny.gguf")).unwrap(), ModelFile::open(&scratch.path("tiny.signet")).unwrap());
    assert_eq!(packed.chat, file.chat);
    let ids = [1, 40, 200, 77];
    let error = relative(&logits(&packed, Storage::F16, &ids), &logits(&file, Storage::F32, &ids));
    assert!(error < 5e-3, "{error:e} by rounding to halves");
}

#[test]
fn exports_are_read_back() {
    let scratch = Scratch::new("gguf-again");
    let student = ModelFile::embedded_student().unwrap();
    export_gguf(&student, &scratch.path("student.gguf"), &mut |_, _| true).unwrap();
    let again = ModelFile::open(&scratch.path("student.gguf")).unwrap();
    assert_eq!((&again.config, &again.chat.template), (&student.config, &student.chat.template));
    let tokens = student.tokenizer.as_ref().unwrap().encode("<|user|>Hi, how are 12 of you?<|assistant|>").unwrap();
    assert_eq!(again.tokenizer.as_ref().unwrap().encode("<|user|>Hi, how are 12 of you?<|assistant|>").unwrap(), tokens);
    let error = relative(&logits(&again, Storage::F32, &tokens), &logits(&student, Storage::F32, &tokens));
    assert!(error < 2e-3, "{error:e} by rounding to halves");
    // The scaling of Llama 3, and linear scaling.
    let tiny = ModelFile::open(&fixture("tiny.gguf")).unwrap();
    let llama3 = |factor, original| RopeScaling::Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: original };
    for scaling in [llama3(8.0, 8192), llama3(4.0, 64), llama3(32.0, 2000), RopeScaling::Linear { factor: 2.0 }] {
        let mut scaled = ModelFile::open(&fixture("tiny.gguf")).unwrap();
        scaled.config.rope_scaling = Some(scaling.clone());
        let out = scratch.path(&format!("{scaling:?}"));
        export_gguf(&scaled, &out, &mut |_, _| true).unwrap();
        let again = ModelFile::open(&out).unwrap();
        assert_eq!(again.config, ModelConfig { rope_scaling: Some(scaling), ..tiny.config.clone() });
    }
    // Factors that match no published scaling are kept.
    let mut strange = tiny;
    strange.config.rope_scaling = Some(RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 8.0, original_max_position_embeddings: 512 });
    export_gguf(&strange, &scratch.path("strange"), &mut |_, _| true).unwrap();
    let again = ModelFile::open(&scratch.path("strange")).unwrap();
    assert!(matches!(again.config.rope_scaling, Some(RopeScaling::Factors(_))));
    let off = strange.config.rope_frequencies().iter().zip(again.config.rope_frequencies()).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
    assert!(off < 1e-7, "{off:e}");
    export_gguf(&again, &scratch.path("once more"), &mut |_, _| true).unwrap();
    assert_eq!(ModelFile::open(&scratch.path("once more")).unwrap().config, again.config);
}

/// Opens a file with these bytes and reads all its tensors.
fn opened(bytes: Vec<u8>) -> Result<(), String> {
    let file = Gguf::owned("forged.gguf", Arc::new(bytes)).map_err(|error: FormatError| error.to_string())?;
    let file = ModelFile::from_gguf(file).map_err(|error| error.to_string())?;
    file.load(&mut Machine::cpu(), Purpose::Inference(Storage::F32)).map(drop).map_err(|error| error.to_string())
}

/// The error of the tiny model with some bytes replaced.
fn error_with_bytes(from: &[u8], to: &[u8]) -> String {
    let mut bytes = std::fs::read(fixture("tiny.gguf")).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap_or_else(|| panic!("{} is not in the file", String::from_utf8_lossy(from)));
    bytes.splice(at..at + from.len(), to.iter().copied());
    let problem = opened(bytes).err().unwrap_or_else(|| panic!("{} was accepted", String::from_utf8_lossy(to)));
    assert!(problem.contains("forged.gguf"), "{problem}");
    problem
}

#[test]
fn unsupported_models_are_refused_by_name() {
    for (from, to, reason) in [
        ("\u{5}\0\0\0\0\0\0\0llama", "\u{5}\0\0\0\0\0\0\0qwen2", "has the architecture qwen2, which Signet does not support. Supported: llama"),
        ("llama.rope.freq_base", "llama.rope.freq_bass", "metadata llama.rope.freq_bass is not supported"),
        ("llama.block_count", "llama.black_count", "metadata llama.black_count is not supported"),
        ("general.architecture", "general.architectura", "has no metadata general.architecture"),
        ("blk.1.attn_q.weight", "blk.1.attn_q.kitten", "tensor blk.1.attn_q.kitten is not supported"),
        ("blk.1.attn_q.weight", "blk.1.attn_k.weight", "tensor blk.1.attn_k.weight is duplicated"),
        ("tokenizer.ggml.pre", "tokenizer.ggml.pro", "has no metadata tokenizer.ggml.pre"),
        ("\u{6}\0\0\0\0\0\0\0smollm", "\u{6}\0\0\0\0\0\0\0viking", "its tokenizer splits text as \"viking\""),
        ("\u{4}\0\0\0\0\0\0\0gpt2", "\u{4}\0\0\0\0\0\0\0bert", "its tokenizer is \"bert\""),
        ("\u{1}\0\0\0\0\0\0\0!", "\u{1}\0\0\0\0\0\0\0\"", "are both \"\\\"\""),
        ("\u{4}\0\0\0\0\0\0\0Ġ t", "\u{4}\0\0\0\0\0\0\0Ġ \u{7f}", "its metadata do not describe a valid tokenizer"),
        ("\u{4}\0\0\0\0\0\0\0Ġ t", "\u{4}\0\0\0\0\0\0\0Ġ. ", "merge 1 is \"Ġ. \""),
    ] {
        let problem = error_with_bytes(from.as_bytes(), to.as_bytes());
        assert!(problem.contains(reason), "{problem}");
    }
}

#[test]
fn a_nan_weight_is_named_with_its_element() {
    let mut bytes = std::fs::read(fixture("tiny.gguf")).unwrap();
    let file = Gguf::open(&fixture("tiny.gguf")).unwrap();
    // The last tensor is a norm of 32 floats.
    assert_eq!(file.names().last().unwrap(), "output_norm.weight");
    let at = bytes.len() - 4 * 7;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let problem = opened(bytes).unwrap_err();
    assert!(problem.contains("tensor output_norm.weight (model.norm.weight) holds NaN at element 25"), "{problem}");
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    // The number of bytes that end with a value: the rest is padding.
    for (name, step, padding) in [("blocks.gguf", 1, 20), ("sentence.gguf", 1, 31), ("tiny.gguf", 211, 0)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let least = whole.len() - padding;
        for length in (0..least).step_by(step).chain([least - 1]) {
            let error = Gguf::owned("cut.gguf", Arc::new(whole[..length].to_vec())).err().unwrap_or_else(|| panic!("{length} bytes of {name} were accepted"));
            let expected = if length == 0 { "it is empty" } else { "incomplete" };
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn declared_lengths_are_checked() {
    for name in ["blocks.gguf", "sentence.gguf", "tiny.gguf"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let header = whole.len().min(12_000);
        for (value, step) in [(u64::MAX, 1), (1 << 40, 3), (1 << 31, 5)] {
            for at in (0..header - 8).step_by(step) {
                let mut bytes = whole[..].to_vec();
                bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
                // Some of these only change a text; none may panic or allocate too much memory.
                if let Err(error) = Gguf::owned("forged.gguf", Arc::new(bytes)) {
                    assert!(error.to_string().starts_with("forged.gguf: "), "{error}");
                }
            }
        }
    }
    for at in (24..9000).step_by(97) {
        let mut bytes = std::fs::read(fixture("tiny.gguf")).unwrap();
        bytes[at..at + 8].fill(0xff);
        if let Err(problem) = opened(bytes) {
            assert!(problem.contains("forged.gguf"), "{problem}");
        }
    }
}
