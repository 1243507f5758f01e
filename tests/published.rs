//! Models in published layouts, compared with the logits of transformers, and errors in such directories. They are made
//! by `published/make.py`.

use crate::shared::root;
use pollster::block_on;
use signet::formats::{FormatError, TensorSource, TorchFile};
use signet::graph::{Machine, Storage};
use signet::infer::Engine;
use signet::model::{Linears, ModelConfig, ModelFile, Purpose, RopeScaling, pack};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A temporary copy of one of the directories, removed when it is dropped.
pub(crate) struct Copied(pub(crate) PathBuf);

impl Copied {
    pub(crate) fn new(name: &str, test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-published-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for entry in std::fs::read_dir(published(name)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
        Self(path)
    }

    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(self.0.join(file), text.replacen(from, to, 1)).unwrap();
    }

    pub(crate) fn problem(&self) -> String {
        ModelFile::open(&self.0).unwrap_err().to_string()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn published(name: &str) -> PathBuf {
    root().join("tests/published").join(name)
}

fn torch(name: &str) -> Result<TorchFile, FormatError> {
    TorchFile::open(&published("torch").join(name))
}

#[derive(serde::Deserialize)]
struct Reference {
    tokens: Vec<u32>,
    rows: BTreeMap<usize, Vec<f32>>,
}

/// The maximum relative error of a model's logits against transformers.
pub(crate) fn distance(file: &ModelFile, name: &str) -> f64 {
    let reference: Reference = serde_json::from_slice(&std::fs::read(published(name).join("logits.json")).unwrap()).unwrap();
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
    let mut engine = Engine::new(&mut machine, &weights, 64).unwrap();
    let mut worst = 0f64;
    for (position, token) in reference.tokens.iter().enumerate() {
        let logits = block_on(engine.feed(&mut machine, &[*token])).unwrap();
        if let Some(want) = reference.rows.get(&position) {
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let off = norm(&mut logits.iter().zip(want).map(|(&a, &b)| f64::from(a) - f64::from(b)));
            worst = worst.max(off / norm(&mut want.iter().map(|&b| f64::from(b))));
        }
    }
    worst
}

#[test]
fn every_layout_and_option_gives_the_logits_of_transformers() {
    for (name, linears) in [("llama3", Linears::Dense), ("tied", Linears::Dense), ("heads", Linears::Dense), ("fbi", Linears::Binary)] {
        let file = ModelFile::open(&published(name)).unwrap();
        assert_eq!(file.linears, linears);
        let off = distance(&file, name);
        assert!(off < 5e-6, "{name}: {off:e}");
    }
}

#[test]
fn options_change_the_logits_of_a_model() {
    for (name, change) in [
        ("llama3", (|config| config.rope_scaling = None) as fn(&mut ModelConfig)),
        ("tied", |config| config.rope_scaling = Some(RopeScaling::Linear { factor: 2.0 })),
        ("tied", |config| config.rope_theta = 1e4),
    ] {
        let mut file = ModelFile::open(&published(name)).unwrap();
        change(&mut file.config);
        assert!(distance(&file, name) > 1e-3, "{name}");
    }
}

#[test]
fn options_survive_packing() {
    let copied = Copied::new("fbi", "packing");
    copied.edit("config.json", r#""rope_scaling": null"#, r#""rope_scaling": {"type": "linear", "factor": 2.5}"#);
    let latent = ModelFile::open(&copied.0).unwrap();
    pack(&latent, &copied.0.join("m.signet")).unwrap();
    let packed = ModelFile::open(&copied.0.join("m.signet")).unwrap();
    assert_eq!(packed.config, latent.config);
    assert_eq!(packed.config.rope_scaling, Some(RopeScaling::Linear { factor: 2.5 }));
}

#[test]
fn shards_are_checked_against_their_index() {
    let index = "model.safetensors.index.json";
    let copied = Copied::new("heads", "shards");
    std::fs::rename(copied.0.join("model-00002-of-00003.safetensors"), copied.0.join("away")).unwrap();
    let problem = copied.problem();
    assert!(problem.contains("model-00002-of-00003.safetensors: no such file"), "{problem}");
    std::fs::rename(copied.0.join("away"), copied.0.join("model-00002-of-00003.safetensors")).unwrap();
    std::fs::copy(copied.0.join("model-00001-of-00003.safetensors"), copied.0.join("model-00003-of-00003.safetensors")).unwrap();
    let problem = copied.problem();
    assert!(problem.contains("to model-00003-of-00003.safetensors, which does not have it"), "{problem}");
    std::fs::remove_file(copied.0.join(index)).unwrap();
    let problem = copied.problem();
    assert!(problem.contains("has no weights") && problem.contains("pytorch_model.bin.index.json"), "{problem}");
}

#[test]
fn a_truncated_shard_is_refused_by_name() {
    let copied = Copied::new("fbi", "cut");
    let path = copied.0.join("pytorch_model-00002-of-00002.bin");
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(61) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let problem = copied.problem();
        assert!(problem.contains("pytorch_model-00002-of-00002.bin: "), "{problem}");
    }
}

#[test]
fn pytorch_files_with_shared_storage_are_read() {
    let file = torch("shared.bin").unwrap();
    let whole: Vec<f32> = (0..12).map(|i| i as f32 / 8.0).collect();
    for name in ["a", "b", "half", "brain"] {
        assert_eq!(file.floats(name, 3, 4).unwrap(), whole, "{name}");
    }
    assert_eq!(file.floats("rows", 2, 4).unwrap(), whole[4..]);
    assert_eq!(file.read_finite("a", 4, 1..2).unwrap(), whole[4..8]);
    assert_eq!(file.floats("param", 1, 2).unwrap(), [1.5, -2.0]);
    assert_eq!(file.shape("none"), Some(&[0, 4][..]));
    assert!(file.floats("ids", 1, 3).unwrap_err().to_string().contains("tensor ids holds I64, not floats"));
    assert_eq!(file.names(), ["a", "b", "rows", "param", "half", "brain", "ids", "none"]);
    assert_eq!(torch("protocol4.bin").unwrap().floats("weight", 3, 4).unwrap(), whole);
}

#[test]
fn pytorch_files_are_read_as_pytorch_reads_them() {
    let whole: Vec<f32> = (0..12).map(|i| i as f32 / 8.0).collect();
    let turned: Vec<f32> = (0..12).map(|i| whole[i % 3 * 4 + i / 3]).collect();
    let at = |places: &[usize]| places.iter().map(|place| whole[*place]).collect::<Vec<_>>();
    for name in ["kinds.bin", "legacy.bin", "deflated.bin"] {
        let file = torch(name).unwrap();
        for (tensor, rows, cols, values) in [
            ("turned", 4, 3, turned.clone()),
            ("columns", 3, 2, at(&[1, 2, 5, 6, 9, 10])),
            ("steps", 2, 2, at(&[0, 3, 8, 11])),
            ("row", 1, 4, at(&[4, 5, 6, 7])),
            ("column", 1, 3, at(&[2, 6, 10])),
            ("repeated", 2, 4, at(&[0, 1, 2, 3, 0, 1, 2, 3])),
            ("negative", 4, 3, turned.iter().map(|value| -value).collect()),
            ("attribute", 3, 4, whole.clone()),
            ("double", 3, 4, whole.iter().map(|value| (f64::from(*value) + 1e-12) as f32).collect()),
        ] {
            assert_eq!(file.floats(tensor, rows, cols).unwrap(), values, "{name}: {tensor}");
            let by_ranges: Vec<f32> = (0..rows).flat_map(|row| file.read_rows(tensor, rows, cols, row..row + 1).unwrap()).collect();
            assert_eq!(by_ranges, values, "{name}: {tensor} row by row");
        }
        assert_eq!(file.shape("scalar"), Some(&[][..]));
        for (tensor, problem) in [
            ("complex", "tensor complex holds C64, not floats"),
            ("sparse", "tensor sparse is a sparse tensor, which Signet does not read"),
            ("quantized", "tensor quantized is a quantized tensor"),
            ("count", "tensor count is a number"),
            ("words", "tensor words is a dict"),
            ("none of these", "has no tensor none of these"),
        ] {
            let found = file.floats(tensor, 3, 4).unwrap_err().to_string();
            assert!(found.contains(problem), "{name}: {found}");
        }
    }
    for name in ["kinds.bin", "deflated.bin"] {
        let file = torch(name).unwrap();
        assert_eq!(file.floats("e4m3", 3, 4).unwrap(), whole, "{name}");
        // With two bits of mantissa some values are rounded.
        assert_eq!(file.floats("e5m2", 4, 3).unwrap(), [0.0, 0.5, 1.0, 0.125, 0.625, 1.0, 0.25, 0.75, 1.25, 0.375, 0.875, 1.5], "{name}");
        let problem = file.floats("meta", 2, 2).unwrap_err().to_string();
        assert!(problem.contains("tensor meta is a tensor without values"), "{problem}");
    }
    assert_eq!(torch("old.bin").unwrap().floats("weight", 3, 4).unwrap(), whole);
    assert_eq!(torch("turned.bin").unwrap().floats("turned", 4, 3).unwrap(), turned);
    assert_eq!(torch("padded.bin").unwrap().floats("weight", 3, 4).unwrap(), whole);
}

#[test]
fn pytorch_files_with_other_objects_are_refused() {
    for (name, word) in [("evil.bin", "it would call \"posix.system\""), ("checkpoint.bin", "\"model\" is a dict")] {
        let problem = torch(name).err().expect(name).to_string();
        assert!(problem.contains(name) && problem.contains(word), "{problem}");
    }
    let problem = torch("nan.bin").unwrap().floats("weight", 1, 2).unwrap_err().to_string();
    assert!(problem.contains("nan.bin: tensor weight holds NaN at element 1"), "{problem}");
}
