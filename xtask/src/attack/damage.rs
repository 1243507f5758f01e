//! Bit rot: flips bits in and truncates every file that a run, `pack`, `teach` and the token cache wrote.

use super::parallel;
use super::scenario::{self, DATA, TAUGHT, TEACH, TRAIN, command, copy, files, folder, run_undisturbed, split};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that no computation reads.
const FREE: [&str; 4] = [".lock", "log.txt", "samples.txt", "curves.svg"];

/// Damage to one file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Flip a bit: index of the byte, index of the bit.
    Flip(usize, u8),
    /// Truncate to this length in bytes.
    Cut(usize),
}

impl Damage {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Flip(at, bit) => bytes[at] ^= 1 << bit,
            Self::Cut(length) => bytes.truncate(length),
        }
        bytes
    }

    /// Evenly spaced flips and truncations of a file of `length` bytes.
    fn all(length: usize, each: usize) -> impl Iterator<Item = Self> {
        let spread = move |n: usize| n * length / each.min(length).max(1);
        let some = each.min(length);
        let flips = (0..some).map(move |n| Self::Flip((spread(n) + n * 7 % 5).min(length - 1), (n * 3 % 8) as u8));
        flips.chain((0..some.min(each / 2)).map(move |n| Self::Cut(spread(2 * n))))
    }
}

/// Files that Signet wrote together, and how to detect damage to them.
struct Target {
    name: &'static str,
    /// The folder that contains them.
    folder: PathBuf,
    /// The part of the folder that is damaged.
    part: &'static str,
    /// The argument of `signet check`.
    checked: &'static str,
    /// The command that reads them.
    uses: Vec<String>,
    /// Weights that the command writes, if it trains.
    weights: &'static [&'static str],
    /// The weights' bytes without damage.
    right: Vec<Vec<u8>>,
    /// The command's output without damage.
    printed: String,
}

/// Counts of a target's trials.
#[derive(Default)]
struct Counts {
    tries: AtomicUsize,
    found: AtomicUsize,
    refused: AtomicUsize,
    free: AtomicUsize,
}

/// Damages every file in 8 places, or 64 if `all`. Returns a summary, and the damage that went undetected.
pub(super) fn run(program: &Path, root: &Path, all: bool) -> Result<(String, Vec<String>), String> {
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for target in targets(program, root)? {
        let found = files(&target.folder)?;
        let damaged = found.iter().filter(|(path, bytes)| path.starts_with(target.part) && !bytes.is_empty());
        let tries: Vec<(&PathBuf, &[u8], Damage)> =
            damaged.flat_map(|(path, bytes)| Damage::all(bytes.len(), if all { 64 } else { 8 }).map(move |damage| (path, &bytes[..], damage))).collect();
        let (counts, problems) = (Counts::default(), Mutex::new(Vec::new()));
        parallel(&tries, &|(path, bytes, damage)| {
            if let Err(problem) = target.run_trial(program, root, path, &damage.of(bytes), &counts) {
                let line = format!("{}: {} after {damage:?}: {problem}", target.name, path.display());
                println!("{line}");
                problems.lock().expect("no panic").push(line);
            }
        });
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        lines.push(format!(
            "{}: {} flips and cuts, {} found by check, {} refused in use, {} in files nothing is computed from",
            target.name,
            of(&counts.tries),
            of(&counts.found),
            of(&counts.refused),
            of(&counts.free)
        ));
        wrong.extend(problems.into_inner().expect("no panic"));
    }
    Ok((lines.join("; "), wrong))
}

fn targets(program: &Path, root: &Path) -> Result<Vec<Target>, String> {
    let rotten = folder(root, "rotten")?;
    scenario::write_inputs(&rotten)?;
    for arguments in [TRAIN, "pack runs/r packed.sig", TEACH, DATA] {
        run_undisturbed(program, &rotten, &split(arguments))?;
    }
    // Simulate a run that was killed before its last checkpoint.
    fs::remove_dir_all(rotten.join("runs/r/checkpoints/step-00000006")).map_err(|error| error.to_string())?;
    // Lines of steps after the newest checkpoint have no checksum: a resume removes them.
    let metrics = rotten.join("runs/r/metrics.jsonl");
    let lines = fs::read_to_string(&metrics).map_err(|error| error.to_string())?;
    fs::write(&metrics, lines.split_inclusive('\n').take(4).collect::<String>()).map_err(|error| error.to_string())?;
    let target = |name, part, checked, uses: &str, weights: &'static [&'static str]| {
        let scratch = folder(root, &format!("{part}-used").replace('/', "-"))?;
        copy(&rotten, &scratch)?;
        let printed = run_undisturbed(program, &scratch, &split(uses))?;
        let right = weights.iter().map(|path| fs::read(scratch.join(path)).map_err(|error| format!("{path}: {error}"))).collect::<Result<_, _>>()?;
        Ok::<_, String>(Target { name, folder: rotten.clone(), part, checked, uses: split(uses), weights, right, printed })
    };
    let run: &[&str] = &["runs/r/checkpoints/step-00000006/model.safetensors", "runs/r/checkpoints/step-00000006/optimizer.safetensors"];
    Ok(vec![
        target("run", "runs/r", "runs/r", &format!("{TRAIN} --resume"), run)?,
        target("packed file", "packed.sig", "packed.sig", "generate packed.sig --device cpu --temperature 0 --max-tokens 8 --prompt the", &[])?,
        target("token cache", "cached/signet/tokens", "cached/signet/tokens", DATA, &[])?,
        target("teacher cache", "cache", "cache", TAUGHT, &["runs/taught/checkpoints/step-00000002/model.safetensors"])?,
    ])
}

impl Target {
    /// Damages a file, runs `signet check`, then uses the file. The error names undetected damage.
    fn run_trial(&self, program: &Path, root: &Path, path: &Path, bytes: &[u8], counts: &Counts) -> Result<(), String> {
        let whole = fs::read(self.folder.join(path)).map_err(|error| error.to_string())?;
        // Trailing white space is not part of any value.
        if bytes.trim_ascii_end() == whole.trim_ascii_end() {
            return Ok(());
        }
        let folder = scenario::trial_folder(root)?;
        copy(&self.folder, &folder)?;
        fs::write(folder.join(path), bytes).map_err(|error| error.to_string())?;
        let outcome = self.check_detection(program, &folder, path, counts);
        fs::remove_dir_all(&folder).ok();
        outcome
    }

    fn check_detection(&self, program: &Path, folder: &Path, path: &Path, counts: &Counts) -> Result<(), String> {
        let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
        count(&counts.tries);
        let found = !run_damaged(program, folder, &split(&format!("check {}", self.checked)))?.0;
        let (used, printed) = run_damaged(program, folder, &self.uses)?;
        let free = FREE.iter().any(|free| path.ends_with(free));
        if found {
            count(&counts.found);
        } else if free {
            count(&counts.free);
        }
        if !used {
            count(&counts.refused);
        } else if self.weights.iter().zip(&self.right).any(|(path, want)| fs::read(folder.join(path)).ok().as_ref() != Some(want)) {
            return Err("it was used without an error and gave other weights".into());
        } else if self.weights.is_empty() && stable_lines(&printed) != stable_lines(&self.printed) {
            return Err(format!("it was used without an error and printed {:?} instead of {:?}", printed.trim(), self.printed.trim()));
        }
        if found || free { Ok(()) } else { Err("`signet check` found nothing".into()) }
    }
}

/// The lines of an output that contain neither the trial's folder nor a time.
fn stable_lines(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| !line.starts_with("cached in ") && !line.starts_with("cache ")).collect()
}

/// Runs a command; returns whether it succeeded, and its output. A panic or a signal is an error.
fn run_damaged(program: &Path, folder: &Path, arguments: &[String]) -> Result<(bool, String), String> {
    let output = command(program, folder, arguments).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0 | 1) if !printed.contains("panicked") => Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())),
        _ => Err(format!("`signet {}` ends with {}: {}", arguments.join(" "), output.status, printed.trim())),
    }
}
