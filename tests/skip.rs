//! AdamW's bias corrections count the applied steps, although the host does not know the outcome of the last step when it
//! launches the next.

use pollster::block_on;
use signet::data::Batch;
use signet::device::{Checks, Gpu, adapters};
use signet::graph::{Machine, Recompute};
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights, init_dense, init_from_dense};
use signet::ops::{Control, FUSIONS, Objective};
use signet::rng::Key;
use signet::train::{Step, StepShape};

const BETAS: [f64; 2] = [0.9, 0.95];
/// Applied and skipped steps, at both ends of a run.
const TAKEN: [bool; 9] = [false, true, false, true, true, false, false, true, true];

fn control(n: usize, taken: u64, outstanding: bool, threshold: f32) -> Control<f32> {
    let (correction1, correction2) = Control::corrections(BETAS, taken, outstanding);
    Control {
        rate: 1e-2,
        beta1: BETAS[0] as f32,
        beta2: BETAS[1] as f32,
        epsilon: 1e-8,
        decay: 0.1,
        correction1,
        correction2,
        clip: 1.0,
        inverse_scale: 1.0,
        threshold,
        step: n as f32,
    }
}

/// The parameters after the steps. With `held`, skipped steps are launched with a threshold that skips them; else they are
/// omitted and every step has the correct count.
fn trained(mut machine: Machine, moments: Moments, held: bool) -> Vec<Vec<u32>> {
    let config = ModelConfig::preset("tiny", 211).unwrap();
    let config = ModelConfig { hidden_size: 64, intermediate_size: 72, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: None, ..config };
    let student = Weights::allocate(&mut machine, &config, Linears::Binary, Purpose::Training(moments)).unwrap();
    init_from_dense(&mut machine, &student, &mut init_dense(&config, 1)).unwrap();
    let shape = StepShape { batch: 1, seq: 16, objective: Objective::AR, recompute: Recompute::Off };
    let mut step = Step::new(&mut machine, student, None, shape).unwrap();
    // Applied steps known to the host, and the report that it has not read yet.
    let (mut known, mut outstanding) = (0, None);
    for (n, taken) in TAKEN.into_iter().enumerate().filter(|(_, taken)| held || *taken) {
        let window: Vec<u32> = (0..17).map(|i| (Key::new(3, "tokens").child(n as u64).bits(i) % 211) as u32).collect();
        step.begin(&mut machine).unwrap();
        step.micro(&mut machine, &Batch::from_windows(&[&window]), 1, 1.0).unwrap();
        let control = control(n, known, held && outstanding.is_some(), if taken { f32::MAX } else { 0.0 });
        let report = step.update(&mut machine, &control).unwrap();
        let earlier = outstanding.replace(report);
        // Without skipped steps, each report is read before the next step is launched.
        let settled = if held { earlier } else { outstanding.take() };
        known += settled.map_or(0, |report| u64::from(block_on(report.wait()).unwrap().taken));
    }
    let names = step.student.names().to_vec();
    names.iter().map(|name| block_on(machine.read(&step.student.location(name).unwrap())).unwrap()).collect()
}

fn adapter() -> Machine {
    let adapters = block_on(adapters());
    let adapter = adapters.first().expect("no adapter: Debian's mesa-vulkan-drivers has a software one");
    Machine::gpu(block_on(Gpu::open(adapter, Checks::Off)).unwrap().into(), FUSIONS)
}

#[test]
fn a_skipped_step_does_not_change_the_bias_corrections() {
    for moments in [Moments::F32, Moments::Q8] {
        for machine in [|| Machine::cpu(), adapter] {
            assert!(trained(machine(), moments, true) == trained(machine(), moments, false), "other bits with {moments:?}");
        }
    }
}

#[test]
fn bias_corrections_without_skipped_steps_count_all_steps() {
    for step in [1, 2, 10, 1000, 1 << 20] {
        let (first, second) = ((1.0 - BETAS[0].powi(step)) as f32, (1.0 - BETAS[1].powi(step)).sqrt() as f32);
        assert_eq!(Control::corrections(BETAS, step as u64 - 1, false), ([first; 2], [second; 2]));
        let (firsts, seconds) = Control::corrections(BETAS, (step as u64).saturating_sub(2), true);
        assert!(step == 1 || (firsts[1], seconds[1]) == (first, second));
    }
}
