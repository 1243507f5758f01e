//! `cargo xtask attack`: fault injection. Commands that write files are killed, get I/O errors or a full disk at
//! every system call on a file, and the files that they wrote are damaged. Afterwards every file must be intact or
//! its damage detected, and every run must resume to the same bits. Files must be synced in an order that survives
//! a power cut. Linux on x86-64 only.

mod damage;
mod durability;
mod scenario;
mod trace;

use crate::program;
use crate::steps::Outcome;
use scenario::{Scenario, scenarios};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use trace::Fault;

/// Trials of each kind of fault in each scenario, unless all are requested.
const SOME: usize = 24;

/// The attack as a step of `cargo xtask test`.
pub(crate) fn step() -> Outcome {
    match run(false) {
        Ok(summary) => Outcome::Passed(summary),
        Err(problem) => Outcome::Failed(problem),
    }
}

/// Attacks `signet` in the tests' build: at every call if `all`, else at evenly spaced ones. Returns a summary.
pub(crate) fn run(all: bool) -> Result<String, String> {
    let program = program::native()?;
    let root = Root::new()?;
    let mut summaries = Vec::new();
    let mut wrong = Vec::new();
    for scenario in scenarios(&program, &root.0)? {
        let begun = Instant::now();
        let (line, found) = attack(&scenario, &root.0, all)?;
        println!("{line} ({:.1} s)", begun.elapsed().as_secs_f64());
        summaries.push(line);
        wrong.extend(found);
    }
    let begun = Instant::now();
    let (line, found) = damage::run(&program, &root.0, all)?;
    println!("{line} ({:.1} s)", begun.elapsed().as_secs_f64());
    summaries.push(line);
    wrong.extend(found);
    match wrong.len() {
        0 => Ok(summaries.iter().map(|line| format!("\n  {line}")).collect()),
        n => Err(format!("{n} wrong outcomes:\n  {}", wrong.join("\n  "))),
    }
}

/// Runs all faults of a scenario. Returns a summary, and the failed trials.
fn attack(scenario: &Scenario, root: &Path, all: bool) -> Result<(String, Vec<String>), String> {
    let whole = scenario.run_trial(root, Fault::None)?;
    let faults = faults(whole.calls, whole.changes, all);
    let unsynced: Vec<String> = whole.unsynced.iter().map(|problem| format!("{}: {}: {problem}", scenario.name, Fault::None)).collect();
    unsynced.iter().for_each(|problem| println!("{problem}"));
    let wrong = Mutex::new(unsynced);
    parallel(&faults, &|&fault| {
        if let Err(problem) = scenario.run_trial(root, fault) {
            println!("{}: {fault}: {problem}", scenario.name);
            wrong.lock().expect("no panic").push(format!("{}: {fault}: {problem}", scenario.name));
        }
    });
    let count = |of: fn(&Fault) -> bool| faults.iter().filter(|fault| of(fault)).count();
    let (kills, errors, full) =
        (count(|fault| matches!(fault, Fault::Kill(_))), count(|fault| matches!(fault, Fault::Error(..))), count(|fault| matches!(fault, Fault::Full(_))));
    let wrong = wrong.into_inner().expect("no panic");
    let line = format!(
        "{}: {} calls, {} of them changes: {kills} kills, {errors} I/O errors, {full} full disks, {} wrong",
        scenario.name,
        whole.calls,
        whole.changes,
        wrong.len()
    );
    Ok((line, wrong))
}

/// The faults for a command with this number of calls and changes.
fn faults(calls: usize, changes: usize, all: bool) -> Vec<Fault> {
    use nix::errno::Errno::{EIO, ENOSPC};
    let some = |of: usize| (1..=of).step_by(if all { 1 } else { of.div_ceil(SOME).max(1) });
    let kills = some(changes).map(Fault::Kill);
    let errors = some(calls).enumerate().map(|(n, call)| Fault::Error(call, if n % 2 == 0 { EIO } else { ENOSPC }));
    let full = some(changes).step_by(2).map(Fault::Full);
    kills.chain(errors).chain(full).collect()
}

/// Runs `work` on all items, in two threads.
fn parallel<T: Sync>(all: &[T], work: &(dyn Fn(&T) + Sync)) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

/// The folder of all trials, removed when dropped.
struct Root(PathBuf);

impl Root {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("signet-attack-{}", std::process::id()));
        let made = fs::create_dir(&path).and_then(|()| fs::canonicalize(&path));
        made.map(Self).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
