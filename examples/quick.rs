use pollster::block_on;
use signet::{data::*, graph::*, model::*, ops::*, train::*};
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (size, batch, seq, steps, dense) =
        (&a[1], a[2].parse::<usize>().unwrap(), a[3].parse::<usize>().unwrap(), a[4].parse::<usize>().unwrap(), a.get(5).is_some());
    let vocab = if size == "130M" { 32000 } else { 4096 };
    let config = LlamaConfig::preset(size, vocab).unwrap();
    let mut m = Machine::cpu();
    let student = Weights::allocate(&mut m, &config, if dense { Linears::Dense } else { Linears::Binary }, Purpose::Training).unwrap();
    init_from_dense(&mut m, &student, &mut init_dense(&config, 1)).unwrap();
    let teacher = if dense {
        None
    } else {
        let t = Weights::allocate(&mut m, &config, Linears::Dense, Purpose::Inference(Storage::F32)).unwrap();
        init_from_dense(&mut m, &t, &mut init_dense(&config, 2)).unwrap();
        Some(t)
    };
    let shape = StepShape { batch, seq, objective: Objective { next_token: if dense { 1.0 } else { 0.0 }, temperature: 1.0 } };
    let mut step = Step::new(&mut m, student, teacher, shape).unwrap();
    let tokens: Vec<u32> = (0..200_000u64).map(|i| (signet::rng::Key::new(5, "x").bits(i) % vocab as u64) as u32).collect();
    let b = Batches::new(1, tokens.len(), batch, seq);
    println!("memory {} MB slots {} MB", m.memory_bytes() >> 20, step.slot_bytes() >> 20);
    let c = Control {
        rate: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        decay: 0.1,
        correction1: 0.1,
        correction2: 0.2,
        clip: 1.0,
        inverse_scale: 1.0,
        threshold: f32::MAX,
    };
    for s in 0..steps {
        let t = Instant::now();
        step.begin(&mut m).unwrap();
        step.micro(&mut m, &b.batch(&tokens, s as u64), 1, 1.0).unwrap();
        let tm = t.elapsed();
        let r = block_on(step.update(&mut m, &c).unwrap().wait()).unwrap();
        println!(
            "{:?} micro {:?} {:.0} tok/s  {:.4} {:.3} flips {}",
            t.elapsed(),
            tm,
            (batch * seq) as f64 / t.elapsed().as_secs_f64(),
            r.losses.trained(shape.objective),
            r.norm,
            r.flips.iter().sum::<u32>()
        );
    }
    profile_dump();
}
fn profile_dump() {
    signet::graph::cpu::dump_profile();
}
