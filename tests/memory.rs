//! Memory: a run uses what was planned, one that does not fit is an error before it starts, and recomputed activations give
//! the same bits as stored ones.

use crate::device::machine;
use crate::train::{Scratch, run};
use pollster::block_on;
use signet::data::Batch;
use signet::device::{Checks, Gpu, KNOWN_FAILURES, adapters};
use signet::graph::{Machine, Recompute, Storage};
use signet::infer::Engine;
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use signet::ops::Control;
use signet::ops::FUSIONS;
use signet::rng::Key;
use signet::train::{Loss, ModelSource, Setup, Shapes, TeacherShape, TrainConfig, plan};
use std::sync::Arc;

const VOCABULARY: usize = 301;

fn student() -> ModelConfig {
    let preset = ModelConfig::preset("tiny", VOCABULARY).unwrap();
    ModelConfig { hidden_size: 48, intermediate_size: 80, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: Some(2), ..preset }
}

fn shapes(taught: bool) -> Shapes {
    let config = ModelConfig { hidden_size: 32, num_hidden_layers: 2, num_key_value_heads: None, ..student() };
    let teacher = taught.then_some(TeacherShape { config, linears: Linears::Dense, purpose: Purpose::Inference(Storage::F32) });
    Shapes { student: student(), teacher, top: None, prompt: vec![1, 2, 3] }
}

fn settings(taught: bool) -> TrainConfig {
    let config = TrainConfig { batch: 2, seq: 33, ..TrainConfig::default() };
    if taught { config } else { TrainConfig { teacher: ModelSource::None, loss: Loss::Ar, binary: false, ..config } }
}

#[test]
fn a_plan_equals_the_memory_of_a_run() {
    for (taught, recompute) in [(true, Recompute::Off), (true, Recompute::On), (true, Recompute::Light), (false, Recompute::Off), (false, Recompute::On)] {
        let (config, shapes) = (settings(taught), shapes(taught));
        for mut machine in [Machine::cpu(), machine().1] {
            let planned = plan(&config, &shapes, recompute, machine.counter()).unwrap();
            let setup = Setup::new(&mut machine, &config, &shapes, recompute).unwrap();
            assert_eq!(planned.total(), machine.bytes());
            assert_eq!(planned, setup.memory(&machine));
        }
    }
    let mut machines = [Machine::cpu(), Machine::counting(usize::MAX, &[])];
    let totals = machines.each_mut().map(|machine| {
        let weights = Weights::allocate(machine, &student(), Linears::Binary, Purpose::Inference(Storage::F16)).unwrap();
        let plan = Engine::new(machine, &weights, 100).unwrap().memory(machine, &weights);
        assert_eq!(plan.total(), machine.bytes());
        plan
    });
    assert_eq!(totals[0], totals[1]);
}

/// The first adapter with a binding limit of `bytes`.
fn narrow_machine(bytes: u64) -> Machine {
    let adapters = block_on(adapters());
    let gpu = block_on(Gpu::open_within(&adapters[0], Checks::Off, bytes, KNOWN_FAILURES)).unwrap();
    Machine::gpu(Arc::new(gpu), FUSIONS)
}

#[test]
fn a_matrix_larger_than_a_binding_is_split_without_changing_results() {
    let (mut wide, mut narrow) = (machine().1, narrow_machine(48 << 10));
    assert!(narrow.max_words() * 3 < 1000 * 48, "the head must be split");
    let model = ModelConfig { vocab_size: 1000, ..student() };
    let decoded = [&mut wide, &mut narrow].map(|machine| {
        let weights = Weights::allocate(machine, &model, Linears::Binary, Purpose::Inference(Storage::F32)).unwrap();
        init_from_dense(machine, &weights, &mut init_dense(&model, 1)).unwrap();
        let mut engine = Engine::new(machine, &weights, 60).unwrap();
        let logits = block_on(engine.feed(machine, &[999, 0, 500, 255, 256, 7])).unwrap();
        [logits, block_on(engine.feed(machine, &[767])).unwrap()]
    });
    assert_eq!(decoded[0], decoded[1]);
    let steps = [machine().1, narrow_machine(48 << 10)].map(|mut machine| {
        let config = TrainConfig { batch: 1, seq: 12, ..settings(true) };
        let mut shapes = shapes(true);
        shapes.student = model.clone();
        shapes.teacher.as_mut().unwrap().config.vocab_size = 1000;
        let words = first_steps(&mut machine, &config, &shapes, Recompute::Off, 1.0);
        assert_eq!(machine.bytes(), plan(&config, &shapes, Recompute::Off, machine.counter()).unwrap().total());
        words
    });
    // Gradients of the last hidden state are sums over the vocabulary, split into blocks and so rounded
    // differently. AdamW's first steps change a weight by the learning rate, independent of the gradient's size.
    let pairs = || steps[0].iter().flatten().zip(steps[1].iter().flatten()).map(|(&a, &b)| (f32::from_bits(a), f32::from_bits(b)));
    let apart = pairs().filter(|(a, b)| (a - b).abs() > 1e-4 * (a.abs() + b.abs()) + 1e-6).count();
    assert!(apart * 1000 < pairs().count(), "{apart} of {} parameters differ", pairs().count());
}

#[test]
fn latent_weights_larger_than_a_binding_train_to_the_same_bits() {
    const LIMIT: u64 = 160 << 10;
    let steps = [machine().1, narrow_machine(LIMIT)].map(|mut machine| {
        let config = TrainConfig { batch: 1, ..settings(true) };
        let mut shapes = shapes(true);
        shapes.student = ModelConfig { hidden_size: 128, intermediate_size: 400, ..student() };
        // Clipping would differ by the rounding of the norm, which is summed page by page.
        first_steps(&mut machine, &config, &shapes, Recompute::On, f32::MAX)
    });
    let gate_and_up = 2 * 400 * 128 * 4;
    assert!(gate_and_up > 2 * LIMIT && (VOCABULARY * 128 * 4) as u64 <= LIMIT, "latent weights are split in three, the head is not");
    assert!(steps[0] == steps[1], "blocks of latent weights gave other bits");
}

#[test]
fn a_model_of_7b_trains_within_bindings_of_128_mib() {
    let largest = |max_words: usize| {
        let mut machine = Machine::counting(max_words, FUSIONS);
        let config = TrainConfig { batch: 1, seq: 1024, moments: Moments::Q8, ..TrainConfig::default() };
        let student = ModelConfig::preset("7B", 32_000).unwrap();
        let teacher = TeacherShape { config: student.clone(), linears: Linears::Dense, purpose: Purpose::Inference(Storage::F16) };
        let shapes = Shapes { student, teacher: Some(teacher), top: None, prompt: vec![1, 2, 3] };
        Setup::new(&mut machine, &config, &shapes, Recompute::On).unwrap();
        let Machine::Counting(counter) = &machine else { unreachable!() };
        counter.largest_operand()
    };
    let limit = 128 << 20;
    assert!(4 * largest(limit / 4) <= limit, "{} bytes are bound", 4 * largest(limit / 4));
    assert!(4 * largest(usize::MAX) > limit, "without a limit, no operand is split");
}

/// The parameters after two steps, and the bytes of activations.
fn trained(machine: &mut Machine, recompute: Recompute) -> (Vec<Vec<u32>>, u64) {
    let words = first_steps(machine, &settings(true), &shapes(true), recompute, 1.0);
    (words, machine.slot_bytes())
}

/// The parameters after two steps of two micro-steps.
fn first_steps(machine: &mut Machine, config: &TrainConfig, shapes: &Shapes, recompute: Recompute, clip: f32) -> Vec<Vec<u32>> {
    let Setup { mut step, .. } = Setup::new(machine, config, shapes, recompute).unwrap();
    init_from_dense(machine, &step.student, &mut init_dense(&step.student.config, 1)).unwrap();
    let teacher = step.teacher.as_ref().unwrap();
    init_from_dense(machine, teacher, &mut init_dense(&teacher.config, 2)).unwrap();
    for n in 1..3 {
        let control = Control {
            rate: 1e-2,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            decay: 0.1,
            correction1: [1.0 - 0.9f32.powi(n); 2],
            correction2: [(1.0 - 0.95f32.powi(n)).sqrt(); 2],
            clip,
            inverse_scale: 1.0,
            threshold: f32::MAX,
            step: 1.0,
        };
        step.begin(machine).unwrap();
        for part in 0..2 {
            let key = Key::new(n as u64, "tokens").child(part);
            let token = |i: u64| (key.bits(i) % shapes.student.vocab_size as u64) as u32;
            let windows: Vec<Vec<u32>> = (0..config.batch as u64).map(|b| (0..=config.seq as u64).map(|i| token(1000 * b + i)).collect()).collect();
            let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
            step.micro(machine, &Batch::from_windows(&windows), 2, 1.0).unwrap();
        }
        assert!(block_on(step.update(machine, &control).unwrap().wait()).unwrap().taken);
    }
    let names = step.student.names().iter();
    names.map(|name| block_on(machine.read(&step.student.location(name).unwrap())).unwrap()).collect()
}

#[test]
fn recomputed_activations_give_the_same_bits() {
    for machine in [|| Machine::cpu(), || machine().1] {
        let (held, bytes) = trained(&mut machine(), Recompute::Off);
        for (which, quarters) in [(Recompute::On, 3), (Recompute::Light, 4)] {
            let (again, fewer) = trained(&mut machine(), which);
            assert!(held == again, "other bits with recompute {which:?}");
            assert!(fewer < bytes * quarters / 4, "{fewer} bytes with recompute {which:?}, {bytes} without");
        }
    }
}

#[test]
fn a_run_that_does_not_fit_is_refused_before_it_starts() {
    let scratch = Scratch::new("memory");
    let runs = scratch.path("runs");
    let arguments = ["train", "--device", "cpu", "--name", "big", "--runs", runs.to_str().unwrap(), "--memory"];
    let (good, printed) = run(&[&arguments[..], &["20MB"]].concat());
    assert!(!good && printed.contains("the device has 20.0 MB") && printed.contains("use a smaller model"), "{printed}");
    let (good, printed) = run(&[&arguments[..], &["145MB", "--recompute", "off"]].concat());
    assert!(
        !good
            && printed.contains("each of these is enough: recompute = light")
            && printed.contains("recompute = on: ")
            && printed.contains("moments = q8")
            && printed.contains("batch = "),
        "{printed}"
    );
    assert!(!runs.exists());
    let (good, printed) = run(&["train", "--plan", "--model", "1.3B", "--batch", "1", "--seq", "2048", "--teacher-shape", "TinyLlama-1.1B", "--memory", "8GB"]);
    assert!(good && printed.contains("it does not fit"), "{printed}");
    let (good, printed) = run(&["train", "--memory", "much"]);
    assert!(!good && printed.contains("is not a size"), "{printed}");
}
