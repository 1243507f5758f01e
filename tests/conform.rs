//! Conformance of all cases and whole models on every adapter of this machine, including software adapters, and of all
//! cases on the CPU device.

mod matrices;
mod poison;
mod tracking;

use signet::conform::{Check, ConformOptions, ConformTarget, Report, run};
use signet::device::{Adapter, adapters};

/// The seed of the operands: `SIGNET_SEED`, or one from the clock, which is printed.
fn options(checks: &[Check]) -> ConformOptions {
    let clock = || std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs();
    let seed = std::env::var("SIGNET_SEED").map_or_else(|_| clock(), |seed| seed.parse().expect("SIGNET_SEED is a number"));
    ConformOptions { filter: std::env::var("SIGNET_FILTER").ok(), checks: checks.to_vec(), ..ConformOptions::all(seed) }
}

fn passed(report: &Report) -> bool {
    println!("{}\n", report.table());
    report.passed()
}

fn on_adapter(adapter: &Adapter) -> bool {
    println!("{adapter}");
    let target = pollster::block_on(ConformTarget::both_ways(adapter)).expect("the adapter opens");
    let mut report = pollster::block_on(run(&target, &options(&[Check::Forward, Check::Backward]), |_| true));
    report.models = pollster::block_on(signet::certify::models(&target, &|| false, |_| {}));
    passed(&report)
}

#[test]
fn the_cpu_agrees_with_the_oracle_and_the_oracle_with_differences() {
    assert!(passed(&pollster::block_on(run(&ConformTarget::Cpu, &options(&Check::ALL), |_| true))));
}

#[test]
fn every_adapter_agrees_with_the_oracle() {
    let adapters = pollster::block_on(adapters());
    assert!(!adapters.is_empty(), "no adapter: install a Vulkan driver; Debian's mesa-vulkan-drivers has a software one");
    let outcomes: Vec<bool> = adapters.iter().map(on_adapter).collect();
    assert!(outcomes.iter().all(|&passed| passed), "see the tables above");
}
