//! Exports for other programs: they compute the same, and are written atomically.

use crate::infer::{logits, relative, student};
use crate::train::{Scratch, run, teacher};
use signet::formats::TensorSource;
use signet::formats::safetensors::{Dtype, TensorFile};
use signet::graph::Storage;
use signet::model::{Floats, Linears, ModelFile, Templates, export_dense, export_gguf, export_latent};

const TOKENS: [u32; 6] = [3, 17, 29, 5, 40, 11];

fn dense(source: &ModelFile, scratch: &Scratch, floats: Floats) -> ModelFile {
    let out = scratch.path(&format!("{floats:?}"));
    let mut seen = Vec::new();
    export_dense(source, &out, floats, &mut |done, of| {
        seen.push((done, of));
        true
    })
    .unwrap();
    let tensors = 7 * source.config.num_hidden_layers + source.config.others().len();
    assert_eq!((seen.len(), seen.last()), (tensors, Some(&(tensors, tensors))));
    ModelFile::open(&out).unwrap()
}

#[test]
fn a_dense_export_gives_the_logits_of_the_signs() {
    let scratch = Scratch::new("dense");
    for (name, source) in [("latent", ModelFile::open(&student()).unwrap()), ("packed", ModelFile::embedded_student().unwrap())] {
        let scratch = Scratch::new(&format!("dense-{name}"));
        let want = logits(&source, Storage::F32, &TOKENS);
        for (floats, most) in [(Floats::F32, 2e-6), (Floats::F16, 2e-3), (Floats::Bf16, 2e-2)] {
            let file = dense(&source, &scratch, floats);
            assert_eq!((file.linears, file.config.clone()), (Linears::Dense, source.config.clone()));
            let got = relative(&logits(&file, Storage::F32, &TOKENS), &want);
            assert!(got < most && (floats == Floats::F32 || got > 1e-6), "{name}, {floats:?}: {got:.2e}");
        }
    }
    let tensors = TensorFile::open(&{
        let source = ModelFile::open(&student()).unwrap();
        dense(&source, &scratch, Floats::Bf16);
        scratch.path("Bf16").join("model.safetensors")
    })
    .unwrap();
    assert_eq!(tensors.dtype("model.layers.0.mlp.up_proj.weight"), Some(Dtype::BF16));
    // transformers requires it.
    assert_eq!(tensors.metadata("format"), Some("pt"));
}

#[test]
fn tokenizer_and_template_are_exported() {
    let scratch = Scratch::new("along");
    let source = ModelFile::embedded_student().unwrap();
    let file = dense(&source, &scratch, Floats::F16);
    assert_eq!(file.chat.template, source.chat.template);
    let (own, then) = (file.tokenizer.unwrap(), source.tokenizer.unwrap());
    assert_eq!(own.encode("hi, how are you?<|end|>").unwrap(), then.encode("hi, how are you?<|end|>").unwrap());
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(scratch.path("F16").join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["model_type"], &config["eos_token_id"], &config["torch_dtype"]), (&"llama".into(), &then.end().into(), &"float16".into()));
}

#[test]
fn latent_weights_round_trip_exactly() {
    let scratch = Scratch::new("latent");
    let out = scratch.path("out");
    let source = student();
    export_latent(&ModelFile::open(&source).unwrap(), &out, &mut |_, _| true).unwrap();
    let (then, now) = (TensorFile::open(&source.join("model.safetensors")).unwrap(), TensorFile::open(&out.join("model.safetensors")).unwrap());
    let sorted = |file: &TensorFile| {
        let mut names = TensorSource::names(file);
        names.sort();
        names
    };
    assert_eq!(sorted(&now), sorted(&then));
    for name in sorted(&then) {
        assert!(now.raw(&name).unwrap() == then.raw(&name).unwrap(), "{name}");
    }
    let packed = export_latent(&ModelFile::embedded_student().unwrap(), &scratch.path("no"), &mut |_, _| true).unwrap_err().to_string();
    assert!(packed.contains("no latent weights"), "{packed}");
    let teacher = export_latent(&ModelFile::embedded_teacher().unwrap(), &scratch.path("no"), &mut |_, _| true).unwrap_err().to_string();
    assert!(teacher.contains("--dense") && !scratch.path("no").exists(), "{teacher}");
}

#[test]
fn existing_files_stay_and_a_stopped_export_leaves_nothing() {
    let scratch = Scratch::new("stays");
    let source = ModelFile::embedded_student().unwrap();
    let there = scratch.path("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("precious"), "x").unwrap();
    for out in [&there, &there.join("precious")] {
        for error in [export_dense(&source, out, Floats::F16, &mut |_, _| true), export_gguf(&source, out, &mut |_, _| true)] {
            assert!(error.unwrap_err().to_string().contains("already exists"));
        }
    }
    assert_eq!(std::fs::read_to_string(there.join("precious")).unwrap(), "x");
    let half = scratch.path("half");
    for stopped in [export_dense(&source, &half, Floats::F16, &mut |done, _| done < 5), export_gguf(&source, &half, &mut |done, _| done < 5)] {
        let error = stopped.unwrap_err().to_string();
        assert!(error.contains("stopped; nothing was written"), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(scratch.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["there"]);
    let nameless = export_gguf(&ModelFile::open(&student()).unwrap(), &half, &mut |_, _| true).unwrap_err().to_string();
    assert!(nameless.contains("has no tokenizer"), "{nameless}");
}

#[test]
fn a_student_uses_its_teachers_chat_template() {
    let scratch = Scratch::new("speaks");
    let model = teacher(&scratch);
    let template = "{% for message in messages %}<|user|>{{ message.content }}{% endfor %}<|assistant|>";
    let config = serde_json::json!({"chat_template": template, "eos_token": "<|end|>"});
    std::fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
    let path = |name: &str| scratch.path(name).display().to_string();
    let fixed = "train --device cpu --name pupil --steps 1 --seq 32 --batch 1 --sample-every 0 --eval-batches 1";
    let mut arguments: Vec<&str> = fixed.split(' ').collect();
    let (small, runs, model) = (path("small.json"), path("runs"), model.display().to_string());
    arguments.extend(["--model", &small, "--runs", &runs, "--teacher", &model]);
    let (good, printed) = run(&arguments);
    assert!(good, "{printed}");
    let pupil = ModelFile::open(&scratch.path("runs/pupil/checkpoints/step-00000001")).unwrap();
    assert_eq!((&pupil.chat.template, pupil.chat.eos_token()), (&Some(Templates::One(template.into())), Some("<|end|>")));
    let exported = dense(&pupil, &scratch, Floats::F16);
    assert_eq!(exported.chat, pupil.chat);
}
