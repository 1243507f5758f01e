//! `cargo xtask attack`: commands that write files are killed, denied system calls and starved of disk space at
//! every call that names a file, and files that they wrote are damaged bit by bit; afterwards every file must be
//! whole, and every run must resume to the same bits. Files must reach the disk in an order that outlives a power
//! cut. Linux on x86-64 only.

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

/// Tries of each kind of fault in each scenario, unless all are asked for.
const SOME: usize = 24;

/// The attack as a step of `cargo xtask test`.
pub(crate) fn step() -> Outcome {
    match run(false) {
        Ok(said) => Outcome::Passed(said),
        Err(problem) => Outcome::Failed(problem),
    }
}

/// Attacks `signet` as the tests build it; every call if `all`, evenly spaced ones otherwise. Returns the counts.
pub(crate) fn run(all: bool) -> Result<String, String> {
    let program = program::native()?;
    let root = Root::new()?;
    let mut said = Vec::new();
    let mut wrong = Vec::new();
    for scenario in scenarios(&program, &root.0)? {
        let begun = Instant::now();
        let (line, found) = attack(&scenario, &root.0, all)?;
        println!("{line} ({:.1} s)", begun.elapsed().as_secs_f64());
        said.push(line);
        wrong.extend(found);
    }
    let begun = Instant::now();
    let (line, found) = damage::run(&program, &root.0, all)?;
    println!("{line} ({:.1} s)", begun.elapsed().as_secs_f64());
    said.push(line);
    wrong.extend(found);
    match wrong.len() {
        0 => Ok(said.iter().map(|line| format!("\n  {line}")).collect()),
        n => Err(format!("{n} wrong outcomes:\n  {}", wrong.join("\n  "))),
    }
}

/// Tries every fault of a scenario; the counts in words, and the tries that came out wrong.
fn attack(scenario: &Scenario, root: &Path, all: bool) -> Result<(String, Vec<String>), String> {
    let whole = scenario.attempt(root, Fault::None)?;
    let faults = faults(whole.calls, whole.changes, all);
    let unsynced: Vec<String> = whole.unsynced.iter().map(|problem| format!("{}: {}: {problem}", scenario.name, Fault::None)).collect();
    unsynced.iter().for_each(|problem| println!("{problem}"));
    let wrong = Mutex::new(unsynced);
    parallel(&faults, &|&fault| {
        if let Err(problem) = scenario.attempt(root, fault) {
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

/// The faults of a command that makes so many calls.
fn faults(calls: usize, changes: usize, all: bool) -> Vec<Fault> {
    use nix::errno::Errno::{EIO, ENOSPC};
    let some = |of: usize| (1..=of).step_by(if all { 1 } else { of.div_ceil(SOME).max(1) });
    let kills = some(changes).map(Fault::Kill);
    let errors = some(calls).enumerate().map(|(n, call)| Fault::Error(call, if n % 2 == 0 { EIO } else { ENOSPC }));
    let full = some(changes).step_by(2).map(Fault::Full);
    kills.chain(errors).chain(full).collect()
}

/// Does all of some work, two at a time.
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

/// A folder for everything, removed when dropped.
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
