//! The executor: dispatches, memory and errors of programs.

use crate::device::machine;
use signet::data::Batch;
use signet::graph::{BufferKind, Machine, MachineError, Pending, Program, Recompute, Spec, Storage, Tape, TensorLocation, Variants};
use signet::infer::Engine;
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use signet::ops::{Add, Objective, PARTIALS, SumSquares};
use signet::train::{Step, StepShape};

fn allocate(machine: &mut Machine, spec: Spec) -> TensorLocation {
    let memory = machine.allocate(BufferKind::of(spec.storage), spec.words()).expect("allocates");
    TensorLocation { memory, offset: 0, spec }
}

#[test]
fn machines_programs_and_readbacks_are_send() {
    fn sent<T: Send>() {}
    sent::<Machine>();
    sent::<Program>();
    sent::<Pending>();
}

#[test]
fn a_program_runs_any_number_of_times_in_submits_of_32() {
    for mut machine in [machine().1, Machine::cpu()] {
        let spec = Spec::f32(3, 65);
        let x = allocate(&mut machine, spec);
        let mut tape = Tape::new();
        let one = tape.persistent(x);
        let mut sum = one;
        for _ in 0..70 {
            sum = tape.push_one(Add, &[sum, one], &[]).expect("fits");
        }
        tape.keep(sum);
        let mut program = machine.compile(tape).expect("compiles");
        assert_eq!(program.dispatches(), 70);
        for run in 1..4 {
            machine.write_f32(&x, &[run as f32; 195]).expect("writes");
            machine.run(&mut program).expect("runs");
            let words = pollster::block_on(machine.read_tensor(&program, sum)).expect("reads");
            assert_eq!(words, [(71.0 * run as f32).to_bits(); 195]);
        }
        assert_eq!(program.submits(), if matches!(machine, Machine::Cpu(_)) { 0 } else { 3 });
        // Two activations are live at a time; kept tensors have their own slots.
        assert_eq!(program.slot_bytes(), 3 * 195 * 4);
    }
}

#[test]
fn long_lived_tensors_do_not_take_slots_of_large_short_lived_ones() {
    let mut machine = Machine::counting(usize::MAX, &[]);
    let (large, small) = (allocate(&mut machine, Spec::f32(100, 64)), allocate(&mut machine, Spec::f32(1, 64)));
    let mut tape = Tape::new();
    let [large, small] = [large, small].map(|location| tape.persistent(location));
    let mut held = Vec::new();
    for _ in 0..8 {
        tape.push_one(Add, &[large, large], &[]).expect("fits");
        held.push(tape.push_one(Add, &[small, small], &[]).expect("fits"));
    }
    for pair in held.chunks(2) {
        tape.push_one(Add, pair, &[]).expect("fits");
    }
    // One slot for all large tensors, reused for the sums; eight for tensors that are held.
    assert_eq!(machine.compile(tape).expect("compiles").slot_bytes(), 4 * 64 * (100 + 8));
}

#[test]
fn an_unaligned_tensor_is_refused_by_name() {
    let (_, mut machine) = machine();
    let x = allocate(&mut machine, Spec::f32(4, 65));
    let mut tape = Tape::new();
    let rows = [x.rows(0, 1), x.rows(1, 1)].map(|location| tape.persistent(location));
    tape.push(Add, &rows, &[]).expect("fits");
    let error = machine.compile(tape).expect_err("refused").to_string();
    assert!(error.starts_with("add cannot run on this GPU: add/forward: input 1 (1, 65) F32: 260 bytes at offset 260"), "{error}");
}

#[test]
fn one_buffer_read_and_written_by_an_operation_is_refused() {
    let (_, mut machine) = machine();
    let x = allocate(&mut machine, Spec::f32(2, PARTIALS));
    let mut tape = Tape::new();
    let [row, sums] = [x.rows(0, 1), x.rows(1, 1)].map(|location| tape.persistent(location));
    tape.push(SumSquares::new(PARTIALS), &[row], &[sums]).expect("fits");
    let error = machine.compile(tape).expect_err("refused").to_string();
    assert!(error.contains("both read-only and read-write"), "{error}");
}

#[test]
fn a_program_of_another_machine_is_refused() {
    let (_, mut machine) = machine();
    let mut program = Machine::cpu().compile(Tape::new()).expect("compiles");
    assert!(matches!(machine.run(&mut program), Err(MachineError::Foreign)));
}

/// The results of a program do not depend on the length of submissions.
#[test]
fn short_submits_do_not_change_bits() {
    let outcome = |longest: Option<f64>| {
        let (_, mut machine) = machine();
        if let (Machine::Gpu(gpu), Some(seconds)) = (&mut machine, longest) {
            gpu.set_max_submit_seconds(seconds);
        }
        let spec = Spec::f32(3, 5);
        let location = allocate(&mut machine, spec);
        machine.write_f32(&location, &[0.1; 15]).unwrap();
        let mut tape = Tape::new();
        let first = tape.persistent(location);
        let mut last = first;
        for _ in 0..40 {
            last = tape.push_one(Add, &[last, first], &[]).unwrap();
        }
        tape.keep(last);
        let mut program = machine.compile(tape).unwrap();
        machine.run(&mut program).unwrap();
        machine.run(&mut program).unwrap();
        (pollster::block_on(machine.read_tensor(&program, last)).unwrap(), program.submits())
    };
    let (bits, submits) = outcome(Some(0.0));
    assert_eq!(submits, 40, "each dispatch takes longer than nothing");
    let (same, fewer) = outcome(None);
    assert_eq!(bits, same);
    assert!(fewer < 40, "{fewer} submits");
}

/// Gradients of two micro-steps, with every dispatch split into single bands and with none split, for both kinds of tiles.
#[test]
fn bands_do_not_change_bits() {
    let outcome = |variant: &str, longest: f64| {
        let (_, mut machine) = machine();
        if let Machine::Gpu(gpu) = &mut machine {
            gpu.set_max_submit_seconds(longest);
            gpu.set_variants(Variants::preferring(variant));
        }
        let config = ModelConfig { num_hidden_layers: 1, ..ModelConfig::preset("tiny", 300).expect("a preset") };
        let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).expect("allocates");
        init_from_dense(&mut machine, &student, &mut init_dense(&config, 1)).expect("writes");
        let shape = StepShape { batch: 2, seq: 100, objective: Objective::AR, recompute: Recompute::Off };
        let mut step = Step::new(&mut machine, student, None, shape).expect("compiles");
        let windows: Vec<Vec<u32>> = (0..2).map(|b| (0..101).map(|i| (b * 37 + i * 11) % 300).collect()).collect();
        let batch = Batch::from_windows(&windows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        step.begin(&mut machine).expect("begins");
        for _ in 0..2 {
            step.micro(&mut machine, &batch, 2, 1.0).expect("runs");
        }
        let locations: Vec<TensorLocation> = step.student.gradients();
        let bits: Vec<Vec<u32>> = locations.iter().map(|location| pollster::block_on(machine.read(location)).expect("reads")).collect();
        (bits, step.micro_program().dispatches())
    };
    for (variant, more) in [("portable", 20), ("wide", 7)] {
        let ((cut, many), (whole, few)) = (outcome(variant, 0.0), outcome(variant, 1e9));
        assert!(many > few + more, "{variant}: {many} dispatches cut, {few} whole");
        assert!(cut == whole, "{variant}: bands gave other bits");
        assert!(whole.iter().flatten().any(|&word| f32::from_bits(word) != 0.0));
    }
}

/// Dispatches of decoding with a packed preset: per layer, and outside layers.
fn decode_dispatches(layers: usize) -> usize {
    let (_, mut machine) = machine();
    let config = ModelConfig { num_hidden_layers: layers, ..ModelConfig::preset("tiny", 300).expect("a preset") };
    let weights = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Inference(Storage::F16)).expect("allocates");
    Engine::new(&mut machine, &weights, 64).expect("compiles").decode_program().dispatches()
}

#[test]
fn decode_takes_at_most_6_dispatches_a_layer_and_4_besides() {
    let (one, three) = (decode_dispatches(1), decode_dispatches(3));
    let layer = (three - one) / 2;
    assert!(layer <= 6 && one - layer <= 4, "{layer} a layer, {} besides", one - layer);
}

/// Dispatches of a micro-step without a teacher, forward and backward.
fn micro_dispatches(layers: usize) -> usize {
    let (_, mut machine) = machine();
    let config = ModelConfig { num_hidden_layers: layers, ..ModelConfig::preset("tiny", 300).expect("a preset") };
    let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).expect("allocates");
    let shape = StepShape { batch: 1, seq: 16, objective: Objective::AR, recompute: Recompute::Off };
    Step::new(&mut machine, student, None, shape).expect("compiles").micro_program().dispatches()
}

#[test]
fn training_takes_at_most_30_dispatches_a_layer() {
    let layer = (micro_dispatches(3) - micro_dispatches(1)) / 2;
    assert!(layer <= 30, "{layer} dispatches a layer, forward and backward");
}
