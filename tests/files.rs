//! Model directories from other programs: loaded as in transformers, or rejected with an error that names the problem.

use crate::published::{Copied, distance};
use pollster::block_on;
use signet::formats::TensorSource;
use signet::formats::safetensors::{Dtype, HeaderEntry, TensorFile, TensorWriter};
use signet::graph::{Machine, Storage};
use signet::infer::Engine;
use signet::model::{Floats, ModelFile, Purpose, export_dense, export_latent, pack};
use std::collections::BTreeMap;
use std::path::Path;

/// Relative tolerance of logits.
const CLOSE: f64 = 5e-6;

/// A tensor to write: name, type and values.
type Written = (String, Dtype, Vec<f32>);

/// Rewrites the tensors of a file with names, types and values from `change`.
fn rewritten(path: &Path, change: &mut dyn FnMut(&str, Vec<f32>) -> Option<Written>) {
    let file = TensorFile::open(path).unwrap();
    let mut tensors = Vec::new();
    for name in file.names() {
        let shape = file.shape(&name).unwrap().to_vec();
        if let Some((name, dtype, values)) = change(&name, file.read_values(&name, shape.iter().product(), 0..1).unwrap()) {
            tensors.push(((name, dtype, shape), values));
        }
    }
    drop(file);
    let infos: Vec<HeaderEntry> = tensors.iter().map(|(info, _)| info.clone()).collect();
    let mut out = Vec::new();
    let mut writer = TensorWriter::new(&mut out, &infos, &BTreeMap::new()).unwrap();
    for ((name, dtype, _), values) in &tensors {
        let bytes: Vec<u8> = match dtype {
            Dtype::F64 => values.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect(),
            Dtype::I32 => values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect(),
            _ => bytemuck::cast_slice(values).to_vec(),
        };
        writer.tensor(name, &bytes).unwrap();
    }
    writer.finish().unwrap();
    std::fs::write(path, out).unwrap();
}

fn renamed(copied: &Copied, name: &dyn Fn(&str) -> String) {
    rewritten(&copied.0.join("model.safetensors"), &mut |own, values| Some((name(own), Dtype::F32, values)));
}

#[test]
fn tensor_names_of_training_code_are_read() {
    for (n, name) in [
        (|own: &str| own.strip_prefix("model.").expect("no head of its own").to_string()) as fn(&str) -> String,
        |own| format!("_orig_mod.{own}"),
        |own| format!("module.{own}"),
        |own| format!("model.{own}"),
        |own| format!("base_model.model.{own}"),
        |own| own.replace(".self_attn", "._orig_mod.self_attn"),
    ]
    .into_iter()
    .enumerate()
    {
        let copied = Copied::new("tied", &format!("names-{n}"));
        renamed(&copied, &name);
        let file = ModelFile::open(&copied.0).unwrap();
        assert!(distance(&file, "tied") < CLOSE, "{n}");
    }
    let copied = Copied::new("tied", "adapter");
    renamed(&copied, &|own| own.replace("q_proj.weight", "q_proj.base_layer.weight"));
    assert!(copied.problem().contains("belongs to an adapter"), "{}", copied.problem());
    let copied = Copied::new("tied", "prefix");
    renamed(&copied, &|own| format!("student.{own}"));
    assert!(copied.problem().contains("all tensor names begin with \"student.\""), "{}", copied.problem());
}

#[test]
fn a_missing_head_is_named() {
    let copied = Copied::new("llama3", "head");
    rewritten(&copied.0.join("model.safetensors"), &mut |own, values| own.strip_prefix("model.").map(|name| (name.to_string(), Dtype::F32, values)));
    assert!(copied.problem().contains("has no tensor lm_head.weight"), "{}", copied.problem());
}

#[test]
fn an_index_may_name_extra_tensors_other_files_and_subfolders() {
    let index = "model.safetensors.index.json";
    let copied = Copied::new("heads", "index");
    copied.edit(index, r#""lm_head.weight": "model-00003"#, r#""lm_head.weight": "model-00001"#);
    copied.edit(index, r#""weight_map": {"#, r#""weight_map": {"model.layers.0.self_attn.rotary_emb.inv_freq": "model-00001-of-00003.safetensors","#);
    assert!(distance(&ModelFile::open(&copied.0).unwrap(), "heads") < CLOSE);
    std::fs::create_dir(copied.0.join("parts")).unwrap();
    for n in 1..=3 {
        let name = format!("model-0000{n}-of-00003.safetensors");
        std::fs::rename(copied.0.join(&name), copied.0.join("parts").join(&name)).unwrap();
    }
    let text = std::fs::read_to_string(copied.0.join(index)).unwrap().replace(r#": "model-"#, r#": "parts/model-"#);
    std::fs::write(copied.0.join(index), text).unwrap();
    assert!(distance(&ModelFile::open(&copied.0).unwrap(), "heads") < CLOSE);
}

#[test]
fn equivalent_configs_are_read() {
    let copied = Copied::new("llama3", "otherwise");
    copied.edit("config.json", r#""hidden_act": "silu""#, r#""hidden_act": "swish", "note": NaN"#);
    // A byte order mark, and float64 in addition to float32.
    let config = std::fs::read(copied.0.join("config.json")).unwrap();
    std::fs::write(copied.0.join("config.json"), [b"\xef\xbb\xbf", &config[..]].concat()).unwrap();
    let path = copied.0.join("model.safetensors");
    rewritten(&path, &mut |own, values| Some((own.to_string(), if own.contains("mlp") { Dtype::F64 } else { Dtype::F32 }, values)));
    // The header's metadata are null.
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = [br#"{"__metadata__":null,"#, &bytes[9..8 + length]].concat();
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat()).unwrap();
    let file = ModelFile::open(&copied.0).unwrap();
    assert!(distance(&file, "llama3") < CLOSE);
    copied.edit("config.json", "swish", "gelu");
    assert!(copied.problem().contains("hidden_act"));
}

#[test]
fn integers_in_place_of_floats_are_refused() {
    let copied = Copied::new("llama3", "integers");
    let path = copied.0.join("model.safetensors");
    rewritten(&path, &mut |own, values| Some((own.to_string(), if own == "model.norm.weight" { Dtype::I32 } else { Dtype::F32 }, values)));
    let mut machine = Machine::cpu();
    let loaded = ModelFile::open(&copied.0).unwrap().load(&mut machine, Purpose::Inference(Storage::F32));
    let problem = loaded.unwrap_err().to_string();
    assert!(problem.contains("tensor model.norm.weight holds I32, not floats"), "{problem}");
}

#[test]
fn an_embedding_row_affects_only_its_token() {
    let copied = Copied::new("llama3", "row");
    let tokens: Vec<u32> = serde_json::from_slice::<serde_json::Value>(&std::fs::read(copied.0.join("logits.json")).unwrap()).unwrap()["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect();
    let free = (0..41).find(|id| !tokens.contains(id)).expect("a token that the text does not have");
    let path = copied.0.join("model.safetensors");
    let spoil = |tensor: &'static str| {
        rewritten(&path, &mut |own, mut values| {
            if own == tensor {
                let cols = values.len() / 41;
                values[free as usize * cols + 1] = f32::NAN;
            }
            Some((own.to_string(), Dtype::F32, values))
        });
    };
    spoil("model.embed_tokens.weight");
    let file = ModelFile::open(&copied.0).unwrap();
    assert!(distance(&file, "llama3") < CLOSE);
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let mut engine = Engine::new(&mut machine, &weights, 64).unwrap();
    let problem = block_on(engine.feed(&mut machine, &[1, free])).unwrap_err().to_string();
    assert!(problem.contains(&format!("token id {free} has an embedding that is not finite")), "{problem}");
    // Padded with the last token, not with one that may be unusable.
    assert!(block_on(engine.feed(&mut machine, &tokens[..3])).unwrap().iter().all(|logit| logit.is_finite()));
    std::fs::copy(crate::published::published("llama3").join("model.safetensors"), &path).unwrap();
    spoil("lm_head.weight");
    let problem = ModelFile::open(&copied.0).unwrap().load(&mut machine, Purpose::Inference(Storage::F32)).unwrap_err().to_string();
    assert!(problem.contains("tensor lm_head.weight holds NaN"), "{problem}");
}

#[test]
fn an_embedding_row_without_a_token_is_kept_in_other_formats() {
    let unusable = |path: &Path| {
        let file = ModelFile::open(path).unwrap();
        let weights = file.load(&mut Machine::cpu(), Purpose::Inference(Storage::F32)).unwrap();
        weights.unusable().to_vec()
    };
    let spoil = |path: &Path| {
        rewritten(path, &mut |own, mut values| {
            if own == "model.embed_tokens.weight" {
                let cols = values.len() / 41;
                (values[7 * cols + 1], values[30 * cols]) = (f32::NAN, f32::INFINITY);
            }
            Some((own.to_string(), Dtype::F32, values))
        });
    };
    let copied = Copied::new("llama3", "row-files");
    spoil(&copied.0.join("model.safetensors"));
    let file = ModelFile::open(&copied.0).unwrap();
    for floats in [Floats::F32, Floats::F16, Floats::Bf16] {
        let out = copied.0.join(format!("{floats:?}"));
        export_dense(&file, &out, floats, &mut |_, _| true).unwrap();
        assert_eq!(unusable(&out), [7, 30], "{floats:?}");
    }
    let packed = copied.0.join("packed.signet");
    pack(&file, &packed).unwrap();
    assert_eq!(unusable(&packed), [7, 30]);
    // A binarized model.
    let latent = copied.0.join("latent");
    export_latent(&ModelFile::open(&crate::published::published("fbi")).unwrap(), &latent, &mut |_, _| true).unwrap();
    spoil(&latent.join("model.safetensors"));
    let packed = copied.0.join("fbi.signet");
    pack(&ModelFile::open(&latent).unwrap(), &packed).unwrap();
    assert!(ModelFile::open(&packed).unwrap().packed());
    assert_eq!(unusable(&packed), [7, 30]);
    // A non-finite head affects every text.
    rewritten(&latent.join("model.safetensors"), &mut |own, mut values| {
        values[0] = if own == "lm_head.weight" { f32::NAN } else { values[0] };
        Some((own.to_string(), Dtype::F32, values))
    });
    let problem = pack(&ModelFile::open(&latent).unwrap(), &packed).unwrap_err().to_string();
    assert!(problem.contains("tensor lm_head.weight holds NaN"), "{problem}");
}

#[test]
fn a_file_with_other_contents_is_named() {
    const POINTER: &[u8] =
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4cac19622fc3ada9c0fdeadb33f88f367b541f38b89102a3f1261ac81fd5bcb5\nsize 84977953\n";
    const PAGE: &[u8] = b"<!doctype html>\n<html><head><title>Not found</title></head></html>\n";
    let wide: Vec<u8> = "\u{feff}{\"model_type\": \"llama\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        for (bytes, words) in
            [(POINTER, "Git LFS pointer"), (PAGE, "HTML"), (&wide, "UTF-16"), (b"PK\x03\x04 and so on", "zip archive"), (b"\x1f\x8b\x08", "gzip")]
        {
            if (file, words) == ("chat_template.jinja", "HTML") {
                continue;
            }
            let copied = Copied::new("llama3", "place");
            std::fs::write(copied.0.join(file), bytes).unwrap();
            let problem = copied.problem();
            assert!(problem.contains(&format!("{file}: ")) && problem.contains(words), "{file}: {problem}");
        }
    }
    let copied = Copied::new("llama3", "directory");
    std::fs::remove_file(copied.0.join("config.json")).unwrap();
    assert!(copied.problem().contains("config.json: is missing"), "{}", copied.problem());
    std::fs::create_dir(copied.0.join("config.json")).unwrap();
    assert!(copied.problem().contains("config.json: this is a directory"), "{}", copied.problem());
    let copied = Copied::new("heads", "pointer");
    std::fs::write(copied.0.join("model-00002-of-00003.safetensors"), POINTER).unwrap();
    assert!(copied.problem().contains("model-00002-of-00003.safetensors: this is a Git LFS pointer"), "{}", copied.problem());
    for (name, words) in
        [("adapter_model.safetensors", "adapter without its base model"), ("consolidated.00.pth", "in Meta's format"), ("m.gguf", "Pass its path as the model")]
    {
        let copied = Copied::new("llama3", "weights");
        std::fs::rename(copied.0.join("model.safetensors"), copied.0.join(name)).unwrap();
        assert!(copied.problem().contains(words), "{}", copied.problem());
    }
}
