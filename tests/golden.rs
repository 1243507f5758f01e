//! Golden tests: whole training runs computed in float64 by another framework (see `tests/golden/README.md`), reproduced
//! on the CPU device and on every adapter.

use crate::shared::root;
use pollster::block_on;
use serde::Deserialize;
use signet::data::Batch;
use signet::formats::TensorSource;
use signet::formats::safetensors::TensorFile;
use signet::graph::{Machine, Recompute, Spec, Tape};
use signet::model::{ARCHITECTURES, BinaryGroup, Forward, Linears, ModelConfig, Moments, Positions, Purpose, Weights, load, logits};
use signet::ops::{Control, FUSIONS, Objective};
use signet::train::{Schedule, Step, StepShape};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Run {
    hyperparameters: Hyperparameters,
    loss: Vec<[f64; 3]>,
    grad_norm_before_clip: Vec<f64>,
    lr_per_micro_step: Vec<f64>,
    flips_per_layer: Vec<BTreeMap<String, u32>>,
}

#[derive(Deserialize)]
struct Hyperparameters {
    lr: f64,
    end_lr: f64,
    warmup_steps: u64,
    total_steps: u64,
    accumulate: usize,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    clip: f64,
    loss: String,
    batch: usize,
    seq: usize,
    optimizer_steps: usize,
}

/// Directories of golden runs: those of the repository, or of `SIGNET_GOLDEN`.
fn runs() -> Vec<PathBuf> {
    let root = std::env::var_os("SIGNET_GOLDEN").map_or_else(|| root().join("tests/golden"), PathBuf::from);
    let entries = std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("run.json").exists()).collect();
    runs.sort();
    assert!(!runs.is_empty(), "{} holds no golden run", root.display());
    runs
}

/// The architectures without a golden run.
fn without_golden<'a>(architectures: &[&'a str], golden: &[String]) -> Vec<&'a str> {
    architectures.iter().copied().filter(|architecture| !golden.iter().any(|has| has == architecture)).collect()
}

#[test]
fn every_architecture_has_a_golden_run() {
    let students = runs().iter().map(|at| Golden::open(at).config("student").model_type).collect::<Vec<_>>();
    let all = ARCHITECTURES.map(|architecture| architecture.model_type);
    let missing = without_golden(&all, &students);
    assert!(missing.is_empty(), "{missing:?} of src/model/arch: no golden run in tests/golden; its README.md says how one is made");
    assert_eq!(without_golden(&[&all[..], &["qwen3"]].concat(), &students), ["qwen3"]);
}

/// ‖got − want‖ ÷ ‖want‖.
fn relative(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut got.iter().zip(want).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    difference / norm(&mut want.iter().map(|&b| f64::from(b))).max(1e-30)
}

struct Golden {
    run: Run,
    tensors: TensorFile,
    at: PathBuf,
}

impl Golden {
    fn open(at: &Path) -> Self {
        let run = serde_json::from_slice(&std::fs::read(at.join("run.json")).unwrap()).unwrap();
        Self { run, tensors: TensorFile::open(&at.join("run.safetensors")).unwrap(), at: at.to_path_buf() }
    }

    fn config(&self, model: &str) -> ModelConfig {
        let config: ModelConfig = serde_json::from_slice(&std::fs::read(self.at.join(model).join("config.json")).unwrap()).unwrap();
        config.check().unwrap();
        config
    }

    fn weights(&self, machine: &mut Machine, model: &str, linears: Linears, purpose: Purpose) -> Weights {
        let file = TensorFile::open(&self.at.join(model).join("model.safetensors")).unwrap();
        let weights = Weights::allocate(machine, &self.config(model), linears, purpose).unwrap();
        load(machine, &weights, &mut |name, rows, cols, range| file.read_rows(name, rows, cols, range).map_err(anyhow::Error::from)).unwrap();
        weights
    }

    fn objective(&self) -> Objective {
        match self.run.hyperparameters.loss.as_str() {
            "ad" => Objective::AD,
            "ar" => Objective::AR,
            "mix" => Objective::MIX,
            other => panic!("unknown loss {other}"),
        }
    }

    fn batch(&self, micro_step: usize) -> Batch {
        let h = &self.run.hyperparameters;
        let shape = self.tensors.shape("tokens").unwrap();
        let all = self.tensors.raw_words("tokens").unwrap();
        let row = shape[2];
        let windows: Vec<&[u32]> = (0..h.batch).map(|b| &all[(micro_step * h.batch + b) * row..][..row]).collect();
        Batch::from_windows(&windows)
    }

    fn tensor(&self, name: &str, spec: Spec) -> Vec<f32> {
        self.tensors.floats(name, spec.rows, spec.cols).unwrap()
    }
}

/// Checks logits of both models on the first batch, to 1e-5.
fn check_logits(machine: &mut Machine, golden: &Golden) {
    let h = &golden.run.hyperparameters;
    for (model, linears) in [("student", Linears::Binary), ("teacher", Linears::Dense)] {
        let weights = golden.weights(machine, model, linears, Purpose::Training(Moments::F32));
        let positions = Positions::new(machine, &weights.config, h.seq).unwrap();
        let batch = golden.batch(0);
        let mut tape = Tape::new();
        let spec = Spec::u32(batch.tokens.len(), 1);
        let location = signet::graph::TensorLocation { memory: machine.allocate(signet::graph::BufferKind::Words, spec.words()).unwrap(), offset: 0, spec };
        machine.write(&location, &batch.tokens).unwrap();
        let tokens = tape.persistent(location);
        let hidden = Forward { weights: &weights, positions, batch: h.batch, seq: h.seq, cache: None }.hidden(&mut tape, tokens).unwrap();
        let out = logits(&mut tape, &weights, hidden).unwrap();
        tape.keep(out);
        let mut program = machine.compile(tape).unwrap();
        machine.run(&mut program).unwrap();
        let got: Vec<f32> = bytemuck::cast_vec(block_on(machine.read_tensor(&program, out)).unwrap());
        let want = golden.tensors.raw_floats(&format!("step0.{model}_logits")).unwrap();
        let error = relative(&got, &want);
        assert!(error < 1e-5, "{}: {model} logits differ by {error:e}", golden.at.display());
    }
}

/// Checks a whole run: losses, gradients, norms, flips, and intermediate parameters.
fn check_run(machine: &mut Machine, golden: &Golden) {
    let h = &golden.run.hyperparameters;
    let student = golden.weights(machine, "student", Linears::Binary, Purpose::Training(Moments::F32));
    let teacher = golden.weights(machine, "teacher", Linears::Dense, Purpose::Inference(signet::graph::Storage::F32));
    let shape = StepShape { batch: h.batch, seq: h.seq, objective: golden.objective(), recompute: Recompute::Off };
    let mut step = Step::new(machine, student, Some(teacher), shape).unwrap();
    let schedule = Schedule { peak: h.lr, end: h.end_lr, warmup: h.warmup_steps, total: h.total_steps };
    let at = golden.at.display();
    for optimizer_step in 0..h.optimizer_steps {
        step.begin(machine).unwrap();
        let mut earlier = signet::train::Losses::default();
        for part in 0..h.accumulate {
            let micro_step = optimizer_step * h.accumulate + part;
            step.micro(machine, &golden.batch(micro_step), h.accumulate, 1.0).unwrap();
            let sums = block_on(step.losses(machine)).unwrap();
            let share = h.accumulate as f64;
            let (ad, ar) = ((sums.ad() - earlier.ad()) * share, (sums.ar() - earlier.ar()) * share);
            let trained = (sums.minimised(shape.objective) - earlier.minimised(shape.objective)) * share;
            earlier = sums;
            let tolerance = if optimizer_step == 0 { 1e-5 } else { 1e-3 };
            for (name, got, want) in [("loss", trained, 0), ("ad", ad, 1), ("ar", ar, 2)].map(|(name, got, n)| (name, got, golden.run.loss[micro_step][n])) {
                assert!((got - want).abs() <= tolerance * want.abs(), "{at}: {name} of micro-step {micro_step} is {got}, want {want}");
            }
        }
        if optimizer_step == 0 {
            compare(machine, &step, golden, "grad0", 2e-5);
        }
        let micro_step = ((optimizer_step + 1) * h.accumulate - 1) as u64;
        let rate = schedule.rate(micro_step);
        assert!((rate - golden.run.lr_per_micro_step[micro_step as usize]).abs() < 1e-12);
        let t = optimizer_step as i32 + 1;
        let control = Control {
            rate: rate as f32,
            beta1: h.betas[0] as f32,
            beta2: h.betas[1] as f32,
            epsilon: h.eps as f32,
            decay: h.weight_decay as f32,
            correction1: [(1.0 - h.betas[0].powi(t)) as f32; 2],
            correction2: [(1.0 - h.betas[1].powi(t)).sqrt() as f32; 2],
            clip: h.clip as f32,
            inverse_scale: 1.0,
            threshold: f32::MAX,
            step: t as f32,
        };
        let report = block_on(step.update(machine, &control).unwrap().wait()).unwrap();
        let want = golden.run.grad_norm_before_clip[optimizer_step];
        assert!(report.taken && (report.norm - want).abs() <= 2e-3 * want, "{at}: norm of step {optimizer_step} is {}, want {want}", report.norm);
        check_flips(golden, &step, optimizer_step, &report.flips);
        match optimizer_step {
            0 => compare(machine, &step, golden, "after1", 5e-4),
            1 => compare(machine, &step, golden, "after2", 5e-3),
            n if n + 1 == h.optimizer_steps => compare(machine, &step, golden, "final", 2e-2),
            _ => {}
        }
    }
}

fn check_flips(golden: &Golden, step: &Step, optimizer_step: usize, flips: &[u32]) {
    let want = &golden.run.flips_per_layer[optimizer_step];
    assert_eq!(flips.len(), want.len());
    let total = |flips: &mut dyn Iterator<Item = u32>| f64::from(flips.sum::<u32>());
    let (got_total, want_total) = (total(&mut flips.iter().copied()), total(&mut want.values().copied()));
    assert!((got_total - want_total).abs() <= 0.02 * want_total + 5.0, "{}: step {optimizer_step} flips {got_total}, want {want_total}", golden.at.display());
    for ((layer, _), &got) in step.student.binary.iter().flat_map(BinaryGroup::layers).zip(flips) {
        let want = f64::from(want[layer]);
        assert!((f64::from(got) - want).abs() <= 0.02 * want + 5.0, "{}: step {optimizer_step} flips {got} in {}, want {want}", golden.at.display(), layer);
    }
}

/// Compares all parameters (or gradients) with the golden tensors.
fn compare(machine: &mut Machine, step: &Step, golden: &Golden, stage: &str, tolerance: f64) {
    for name in step.student.names() {
        let trained = step.student.trained(name).unwrap();
        let location = if stage == "grad0" { trained.gradient } else { trained.value };
        let got = block_on(machine.read_f32(&location)).unwrap();
        let error = relative(&got, &golden.tensor(&format!("{stage}.{name}"), location.spec));
        assert!(error <= tolerance, "{}: {stage}.{name} differs by {error:e}, more than {tolerance:e}", golden.at.display());
    }
}

#[test]
fn golden_runs_on_the_cpu_device() {
    for run in runs() {
        let golden = Golden::open(&run);
        check_logits(&mut Machine::cpu(), &golden);
        check_run(&mut Machine::cpu(), &golden);
    }
}

#[test]
fn golden_runs_on_every_adapter() {
    let adapters = block_on(signet::device::adapters());
    assert!(!adapters.is_empty(), "no adapter: install a Vulkan driver; Debian's mesa-vulkan-drivers has a software one");
    for adapter in &adapters {
        println!("{adapter}");
        let gpu = std::sync::Arc::new(block_on(signet::device::Gpu::open(adapter, signet::device::Checks::Off)).unwrap());
        for run in runs() {
            let golden = Golden::open(&run);
            check_logits(&mut Machine::gpu(gpu.clone(), FUSIONS), &golden);
            check_run(&mut Machine::gpu(gpu.clone(), FUSIONS), &golden);
        }
    }
}
