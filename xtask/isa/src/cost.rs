//! `cargo xtask isa --cost`: the expected time of each kernel of a training step and of a token, on cards that are not here. The
//! operations and bytes are those of the dispatches that a program records; the rates are those of `cards`, and the share of
//! multiply-adds in a kernel's hot loop is that of RDNA 3 in docs/isa.md.

use crate::cards::{CARDS, Card, DISPATCH_SECONDS};
use serde::Serialize;
use signet::device::kernel;
use signet::graph::{CountedLaunch, Counter, Machine, Program, Recompute, Storage};
use signet::infer::Engine;
use signet::model::{Linears, ModelConfig, Moments, Purpose, Weights};
use signet::ops::{FUSIONS, Objective};
use signet::train::{Step, StepShape};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The variants that tuning is expected to choose on a GPU.
const PREFERRED: &[&str] = &["wide", "blocked"];
/// Tokens in the KV cache.
const CONTEXT: usize = 512;
/// Sequences in a training step, and tokens in each.
const BATCH: [usize; 2] = [4, 256];

/// A program, and its dispatches by kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    title: String,
    rows: Vec<CostRow>,
}

/// All dispatches of a kernel in a program.
#[derive(Debug, Serialize)]
struct CostRow {
    kernel: &'static str,
    dispatches: usize,
    operations: f64,
    bytes: u64,
    /// On each card.
    seconds: Vec<Expected>,
}

/// The expected time of a kernel on a card.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Expected {
    /// At the card's peak rates, with the share of its units that have a workgroup.
    peak: f64,
    /// The same, where the arithmetic takes the share of instructions that the compiler gave it.
    compiled: f64,
    /// Of `compiled`, the part that the memory takes.
    memory: f64,
    /// Of `compiled`, the part that would be saved if every unit had a workgroup at all times.
    idle: f64,
}

impl Expected {
    /// Returns the expected time of a dispatch whose hot loop has this share of multiply-adds.
    fn of(launch: &CountedLaunch, card: &Card, share: f64) -> Self {
        let groups: u64 = launch.groups.iter().map(|&n| u64::from(n)).product();
        let busy = groups as f64 / (groups.div_ceil(card.units) * card.units) as f64;
        let memory = launch.work.bytes as f64 / card.bandwidth;
        let arithmetic = launch.work.operations / card.operations;
        let time = |share: f64| (arithmetic / busy / share).max(memory);
        Self { peak: time(1.0), compiled: time(share), memory: memory.min(time(share)), idle: time(share) - (arithmetic / share).max(memory) }
    }

    fn add(&mut self, other: Self) {
        self.peak += other.peak;
        self.compiled += other.compiled;
        self.memory += other.memory;
        self.idle += other.idle;
    }

    /// The resource that takes most of the time: m for memory, u for too few workgroups for all units, a for arithmetic.
    fn bound(&self) -> char {
        match self {
            _ if self.memory > 0.5 * self.compiled => 'm',
            _ if self.idle > 0.5 * self.compiled => 'u',
            _ => 'a',
        }
    }
}

/// Returns the dispatch with the bytes that it can touch. An operand counts in full, but a kernel without a loop (docs/isa.md)
/// reads only some rows of an embedding, or writes some of a cache: at most 64 words an invocation.
fn touched(launch: &CountedLaunch) -> CountedLaunch {
    const WORDS: u64 = 64;
    let mut launch = launch.clone();
    if let Some(kernel) = kernel(launch.kernel).filter(|_| documented(launch.kernel).is_some_and(|row| row.contains("no loop"))) {
        let invocations: u64 = launch.groups.iter().chain(&kernel.workgroup).map(|&n| u64::from(n)).product();
        launch.work.bytes = launch.work.bytes.min(4 * WORDS * invocations);
    }
    launch
}

/// The dispatches of programs, summed by kernel.
fn workload(title: String, programs: &[&Program], share: &dyn Fn(&str) -> f64) -> Workload {
    let mut rows: BTreeMap<&'static str, CostRow> = BTreeMap::new();
    for launch in programs.iter().flat_map(|program| program.launches()).map(touched) {
        let empty = || CostRow { kernel: launch.kernel, dispatches: 0, operations: 0.0, bytes: 0, seconds: vec![Expected::default(); CARDS.len()] };
        let row = rows.entry(launch.kernel).or_insert_with(empty);
        row.dispatches += 1;
        row.operations += launch.work.operations;
        row.bytes += launch.work.bytes;
        for (seconds, card) in row.seconds.iter_mut().zip(&CARDS) {
            seconds.add(Expected::of(&launch, card, share(launch.kernel)));
        }
    }
    let mut rows: Vec<CostRow> = rows.into_values().collect();
    rows.sort_by(|a, b| b.seconds[0].compiled.total_cmp(&a.seconds[0].compiled));
    Workload { title, rows }
}

/// Returns a kernel's row of the table for RDNA 3 in docs/isa.md.
fn documented(kernel: &str) -> Option<&'static str> {
    const TABLES: &str = include_str!("../../../docs/isa.md");
    let (_, table) = TABLES.split_once("RDNA 3 (navi31):")?;
    table.lines().find(|line| line.strip_prefix("| ").is_some_and(|row| row.starts_with(&format!("{kernel} | "))))
}

/// Returns the share of multiply-adds in a kernel's hot loop, as docs/isa.md has it; 1 for a kernel without a loop, or without
/// multiply-adds in it.
pub(crate) fn documented_share(kernel: &str) -> f64 {
    let percent = documented(kernel).and_then(|row| row.split_once('(')?.1.split_once("%)")?.0.parse::<f64>().ok());
    percent.filter(|&percent| percent > 0.0).map_or(1.0, |percent| percent / 100.0)
}

/// The models whose tokens are costed.
fn models() -> Result<[(&'static str, ModelConfig); 3], String> {
    let preset = |name, vocabulary| ModelConfig::preset(name, vocabulary).map_err(|error| error.to_string());
    // The shape of SmolLM2-1.7B.
    let middle = ModelConfig {
        hidden_size: 2048,
        intermediate_size: 8192,
        num_hidden_layers: 24,
        num_attention_heads: 32,
        num_key_value_heads: Some(32),
        tie_word_embeddings: true,
        ..preset("1.3B", 49_152)?
    };
    Ok([("130M", preset("130M", 32_000)?), ("1.7B", middle), ("7B", preset("7B", 32_000)?)])
}

fn machine() -> Machine {
    Machine::Counting(Counter::new(usize::MAX, FUSIONS).preferring(PREFERRED))
}

/// Records the programs, without a device, and returns their costs. `share` is the share of multiply-adds in a kernel's hot
/// loop.
pub(crate) fn workloads(share: &dyn Fn(&str) -> f64) -> Result<Vec<Workload>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot plan: {error}");
    let models = models()?;
    let [batch, seq] = BATCH;
    let mut machine_of_training = machine();
    let student =
        Weights::allocate(&mut machine_of_training, &models[0].1, Linears::Binary, Purpose::Training(Moments::F32)).map_err(|error| failed(&error))?;
    let shape = StepShape { batch, seq, objective: Objective::AR, recompute: Recompute::Off };
    let step = Step::new(&mut machine_of_training, student, None, shape).map_err(|error| failed(&error))?;
    let mut all = vec![workload(format!("A training step of 130M, {batch} × {seq} tokens, without a teacher"), &step.programs(), share)];
    for (name, config) in &models {
        let mut machine = machine();
        let weights = Weights::allocate(&mut machine, config, Linears::Binary, Purpose::Inference(Storage::F16)).map_err(|error| failed(&error))?;
        let engine = Engine::new(&mut machine, &weights, CONTEXT).map_err(|error| failed(&error))?;
        all.push(workload(format!("A token of {name}, packed, with {CONTEXT} in the KV cache"), &[engine.decode_program()], share));
    }
    Ok(all)
}

/// The tables as Markdown.
pub(crate) fn markdown(workloads: &[Workload]) -> String {
    let mut text = String::from("| card | f32, TFLOP/s | memory, GB/s | units | source |\n|---|---:|---:|---:|---|\n");
    for card in &CARDS {
        writeln!(text, "| {} | {:.1} | {:.0} | {} | {} |", card.name, card.operations / 1e12, card.bandwidth / 1e9, card.units, card.source).expect("a string");
    }
    for workload in workloads {
        workload.write(&mut text).expect("a string");
    }
    text
}

impl Workload {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let names: String = CARDS.iter().map(|card| format!(" {} |", card.name)).collect();
        writeln!(text, "\n{}. Predicted milliseconds.\n", self.title)?;
        writeln!(text, "| kernel | dispatches | G operations | MB |{names}\n|---|---:|---:|---:|{}", "---:|".repeat(CARDS.len()))?;
        let total = |value: &dyn Fn(&CostRow) -> f64| self.rows.iter().map(value).sum::<f64>();
        // Kernels of less than a hundredth of the time on every card are one row.
        let (shown, small): (Vec<&CostRow>, Vec<&CostRow>) =
            self.rows.iter().partition(|row| (0..CARDS.len()).any(|card| row.seconds[card].compiled > 0.01 * total(&|row| row.seconds[card].compiled)));
        for row in shown {
            line(text, row.kernel, &[row])?;
        }
        if !small.is_empty() {
            line(text, &format!("{} others", small.len()), &small)?;
        }
        let all: Vec<&CostRow> = self.rows.iter().collect();
        line(text, "all kernels", &all)?;
        let dispatches = self.rows.iter().map(|row| row.dispatches).sum::<usize>();
        let overhead = dispatches as f64 * DISPATCH_SECONDS;
        let with: String = (0..CARDS.len())
            .map(|card| {
                let [peak, compiled] = [total(&|row| row.seconds[card].peak), total(&|row| row.seconds[card].compiled)];
                format!(" {} / {} |", milliseconds(peak + overhead), milliseconds(compiled + overhead))
            })
            .collect();
        writeln!(text, "| with dispatches | {dispatches} | | |{with}")?;
        writeln!(text, "| measured | | | |{}", " – |".repeat(CARDS.len()))
    }
}

/// Writes a line of the sum of rows.
fn line(text: &mut String, name: &str, rows: &[&CostRow]) -> std::fmt::Result {
    let mut seconds = vec![Expected::default(); CARDS.len()];
    for row in rows {
        seconds.iter_mut().zip(&row.seconds).for_each(|(sum, &part)| sum.add(part));
    }
    let cells: String = seconds.iter().map(|time| format!(" {} / {} {} |", milliseconds(time.peak), milliseconds(time.compiled), time.bound())).collect();
    let [dispatches, bytes] = [rows.iter().map(|row| row.dispatches as u64).sum::<u64>(), rows.iter().map(|row| row.bytes).sum()];
    let operations: f64 = rows.iter().map(|row| row.operations).sum();
    writeln!(text, "| {name} | {dispatches} | {:.2} | {:.1} |{cells}", operations / 1e9, bytes as f64 / 1e6)
}

fn milliseconds(seconds: f64) -> String {
    let value = seconds * 1e3;
    if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_these_tables() {
        const DOCUMENT: &str = include_str!("../../../docs/performance.md");
        let tables = markdown(&workloads(&documented_share).expect("plans"));
        assert!(documented_share("matmul.wide/tiled") > 0.5 && documented_share("add/forward") == 1.0);
        assert!(DOCUMENT.contains(&tables), "docs/performance.md should have the output of `cargo xtask isa --cost`:\n{tables}");
    }

    /// The operations of a kernel of a workload.
    fn operations(workload: &Workload, kernels: &[&str]) -> f64 {
        workload.rows.iter().filter(|row| kernels.iter().any(|name| row.kernel.starts_with(name))).map(|row| row.operations).sum()
    }

    #[test]
    fn operations_are_those_of_the_shapes() {
        let all = workloads(&|_| 1.0).expect("plans");
        let (training, models) = (&all[0], models().expect("presets"));
        let tokens = (BATCH[0] * BATCH[1]) as f64;
        let weights = |config: &ModelConfig| config.groups().iter().map(|group| (group.out() * group.width) as f64).sum::<f64>();
        let config = &models[0].1;
        for kernel in ["forward", "input", "weight"] {
            assert_eq!(operations(training, &[&format!("fbi_linear.wide/{kernel}")]), 2.0 * tokens * weights(config), "{kernel}");
        }
        // Forward has two products, backward seven: dq recomputes two and has one, dk and dv recompute two and have two.
        let pairs = BATCH[0] as f64 * (BATCH[1] * (BATCH[1] + 1)) as f64 / 2.0 * (config.hidden_size * config.num_hidden_layers) as f64;
        assert_eq!(operations(training, &["attention"]), 2.0 * 9.0 * pairs);
        let head = (config.vocab_size * config.hidden_size) as f64;
        assert_eq!(operations(training, &["matmul"]), 3.0 * 2.0 * tokens * head);
        for (token, (name, config)) in all[1..].iter().zip(&models) {
            assert_eq!(operations(token, &["fbi_linear", "fused"]), 2.0 * weights(config), "{name}");
            assert_eq!(operations(token, &["matmul"]), 2.0 * (config.vocab_size * config.hidden_size) as f64, "{name}");
        }
    }

    #[test]
    fn a_card_is_bound_by_its_slowest_resource() {
        let card = Card { name: "", operations: 1e12, bandwidth: 1e11, units: 10, source: "" };
        let launch = |operations: f64, bytes: u64, groups| {
            let work = signet::graph::Work { operations, bytes };
            Expected::of(&CountedLaunch { kernel: "", work, groups }, &card, 0.5)
        };
        let busy = launch(1e9, 10, [10, 2, 1]);
        assert!((busy.peak - 1e-3).abs() < 1e-12 && (busy.compiled - 2e-3).abs() < 1e-12 && busy.bound() == 'a');
        let alone = launch(1e9, 10, [1, 1, 1]);
        assert!((alone.peak - 1e-2).abs() < 1e-12 && alone.bound() == 'u');
        let memory = launch(1e6, 1_000_000_000, [10, 2, 1]);
        assert!((memory.compiled - 1e-2).abs() < 1e-12 && memory.bound() == 'm');
    }
}
