use pollster::block_on;
use signet::{data::*, graph::*, model::*, ops::*, train::*};
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let f = |n: usize| a[n].parse::<f64>().unwrap();
    // width layers ff heads lr steps batch wd
    let text = std::fs::read_to_string("assets/corpus.txt").unwrap();
    let tok = match std::fs::read("assets/tokenizer.json") {
        Ok(b) => Tokenizer::from_json(&b).unwrap(),
        _ => {
            let t = train(&[&text], 4096).unwrap();
            std::fs::write("assets/tokenizer.json", t.to_json().unwrap()).unwrap();
            t
        }
    };
    let t0 = Instant::now();
    let seq = 256;
    let batch = f(7) as usize;
    let corpus = Corpus::new(&text, &tok, seq).unwrap();
    println!("vocab {} tokens {} held {} in {:?}", tok.vocabulary(), corpus.train.len(), corpus.held_out.len(), t0.elapsed());
    let mut config = LlamaConfig::preset("5M", tok.vocabulary()).unwrap();
    config.hidden_size = f(1) as usize;
    config.num_hidden_layers = f(2) as usize;
    config.intermediate_size = f(3) as usize;
    config.num_attention_heads = f(4) as usize;
    config.num_key_value_heads = None;
    println!("{} params", config.parameters());
    let mut m = Machine::cpu();
    let student = Weights::allocate(&mut m, &config, Linears::Dense, Purpose::Training).unwrap();
    init_from_dense(&mut m, &student, &mut init_dense(&config, 11111)).unwrap();
    let shape = StepShape { batch, seq, objective: Objective { next_token: 1.0, temperature: 1.0 } };
    let mut step = Step::new(&mut m, student, None, shape).unwrap();
    let b = Batches::new(11111, corpus.train.len(), batch, seq);
    let held = held_out(&corpus.held_out, batch, seq, 1000);
    println!("{} windows an epoch, {} held-out batches", b.windows(), held.len());
    let steps = f(6) as u64;
    let sched = Schedule { peak: f(5), end: f(5) / 10.0, warmup: 200, total: steps };
    let t = Instant::now();
    let mut sum = 0.0;
    for s in 0..steps {
        let k = (s + 1) as i32;
        let c = Control {
            rate: sched.rate(s) as f32,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            decay: f(8) as f32,
            correction1: (1.0 - 0.9f64.powi(k)) as f32,
            correction2: (1.0 - 0.95f64.powi(k)).sqrt() as f32,
            clip: 1.0,
            inverse_scale: 1.0,
            threshold: f32::MAX,
        };
        step.begin(&mut m).unwrap();
        step.micro(&mut m, &b.batch(&corpus.train, s), 1, 1.0).unwrap();
        let r = block_on(step.update(&mut m, &c).unwrap().wait()).unwrap();
        sum += r.losses.ar;
        if (s + 1) % 250 == 0 {
            let h = block_on(step.evaluate(&mut m, &held)).unwrap();
            println!(
                "step {} train {:.4} held {:.4} ppl {:.2} norm {:.2} {:.0} tok/s",
                s + 1,
                sum / 250.0,
                h.ar,
                h.ar.exp(),
                r.norm,
                ((s + 1) as usize * batch * seq) as f64 / t.elapsed().as_secs_f64()
            );
            sum = 0.0;
        }
    }
}
