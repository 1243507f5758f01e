//! The commands under attack: their input files, and the expected files after a fault.

use super::trace::{self, Ended, Fault};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Contents of a folder's files, by relative path.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A command under attack.
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: &'static str,
    program: PathBuf,
    /// The command's arguments.
    arguments: Vec<String>,
    /// Returns the arguments of the run after a fault.
    rerun: fn(&Path) -> Vec<String>,
    /// Folder with the state before the command.
    before: PathBuf,
    /// The files after the command, without a fault.
    after: Files,
}

/// Configuration of a model whose training step takes milliseconds.
const SMALL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 4096}"#;

/// A run of six steps with checkpoints at 2, 4 and 6.
pub(super) const TRAIN: &str = "train --device cpu --teacher none --loss ar --model small.json --data text.txt --name r --steps 6 --warmup 1 --seq 16 --batch 1 \
     --accumulate 1 --checkpoint-every 2 --keep 2 --eval-every 3 --eval-batches 1 --sample-every 3 --sample-tokens 4";

/// Caches the probabilities of a teacher: a checkpoint of the run that other commands do not remove.
pub(super) const TEACH: &str = "teach --device cpu --teacher runs/r/checkpoints/step-00000004 --data text.txt --out cache --top 4 --seq 16";

/// A run of two steps that learns from the teacher cache.
pub(super) const TAUGHT: &str = "train --device cpu --teacher-cache cache --teacher runs/r/checkpoints/step-00000004 --model small.json --data text.txt --name taught --steps 2 --warmup 1 \
     --seq 16 --batch 1 --accumulate 1 --eval-every 0 --eval-batches 1 --sample-every 0 --checkpoint-every 0";

/// Packs an older checkpoint of the run.
const PACK: &str = "pack runs/r/checkpoints/step-00000004 packed.sig";

/// Tokenizes a text large enough for the token cache.
pub(super) const DATA: &str = "data large.txt --seq 16";

/// All scenarios, each in its own folder of `root`.
pub(super) fn scenarios(program: &Path, root: &Path) -> Result<Vec<Scenario>, String> {
    let untrained = folder(root, "untrained")?;
    write_inputs(&untrained)?;
    let trained = folder(root, "trained")?;
    copy(&untrained, &trained)?;
    run_undisturbed(program, &trained, &split(TRAIN))?;
    run_undisturbed(program, &trained, &split(PACK))?;
    let scenario = |name, before: &Path, arguments: &str, rerun| {
        let done = folder(root, &format!("{name}-done"))?;
        copy(before, &done)?;
        run_undisturbed(program, &done, &split(arguments))?;
        Ok::<_, String>(Scenario { name, program: program.into(), arguments: split(arguments), rerun, before: before.into(), after: files(&done)? })
    };
    Ok(vec![
        scenario("train", &untrained, TRAIN, resumed)?,
        scenario("pack", &trained, "pack runs/r packed.sig", |_| split("pack runs/r packed.sig"))?,
        scenario("export", &trained, "export runs/r exported --dense", exported)?,
        scenario("data", &untrained, DATA, |_| split(DATA))?,
        scenario("teach", &trained, TEACH, |_| split(TEACH))?,
    ])
}

/// The command that completes a run: with `--resume` if the run exists.
fn resumed(folder: &Path) -> Vec<String> {
    let resumes = folder.join("runs/r/run.toml").exists();
    split(TRAIN).into_iter().chain(resumes.then(|| "--resume".into())).collect()
}

/// An export that exists is complete and is not written again; instead, another command cleans up temporary files.
fn exported(folder: &Path) -> Vec<String> {
    split(if folder.join("exported").exists() { PACK } else { "export runs/r exported --dense" })
}

/// Writes the input files of all commands.
pub(super) fn write_inputs(folder: &Path) -> Result<(), String> {
    write(&folder.join("small.json"), SMALL.as_bytes())?;
    write(&folder.join("text.txt"), words(6_000).as_bytes())?;
    write(&folder.join("large.txt"), words(300_000).as_bytes())
}

/// Creates the folder of a trial.
pub(super) fn trial_folder(root: &Path) -> Result<PathBuf, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    folder(root, &format!("try-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

impl Scenario {
    /// Runs the command with a fault, then again without, and compares the files after each.
    pub(super) fn run_trial(&self, root: &Path, fault: Fault) -> Result<Ended, String> {
        let folder = trial_folder(root)?;
        copy(&self.before, &folder)?;
        let outcome = self.run_and_compare(root, &folder, fault);
        fs::remove_dir_all(&folder).ok();
        outcome
    }

    fn run_and_compare(&self, root: &Path, folder: &Path, fault: Fault) -> Result<Ended, String> {
        let output = root.join(format!("{}.said", folder.file_name().expect("named").display()));
        let file = File::create(&output).map_err(|error| error.to_string())?;
        let both = || file.try_clone().map(Stdio::from).map_err(|error| error.to_string());
        let mut command = command(&self.program, folder, &self.arguments);
        let ended = trace::run(command.stdout(both()?).stderr(both()?), folder, fault).map_err(|error| format!("cannot trace the command: {error}"))?;
        let printed = fs::read_to_string(&output).unwrap_or_default();
        fs::remove_file(&output).ok();
        self.check_exit(&ended, fault, &printed)?;
        let hit = ended.hit.as_deref().unwrap_or("a call that it did not reach");
        if ended.status == Ok(0) {
            self.compare(folder, false).map_err(|problem| format!("{hit}: it reported success, but {problem}"))?;
        }
        run_undisturbed(&self.program, folder, &(self.rerun)(folder)).map_err(|problem| format!("{hit}: after the run without a fault: {problem}"))?;
        self.compare(folder, true).map_err(|problem| format!("{hit}: after the run without a fault: {problem}"))?;
        Ok(ended)
    }

    /// Checks that a fault ended the program by the kill or with an error message, if at all.
    fn check_exit(&self, ended: &Ended, fault: Fault, printed: &str) -> Result<(), String> {
        let problem = match (ended.status, fault) {
            _ if printed.contains("panicked") => "it panicked",
            (Err(_), Fault::Kill(_)) | (Ok(0), _) => return Ok(()),
            (Err(_), _) => "it was ended by a signal",
            (Ok(_), Fault::None) => "it failed without a fault",
            (Ok(_), _) if !printed.contains("error: ") => "it failed without an error message",
            (Ok(_), _) => return Ok(()),
        };
        Err(format!("{}: {problem}: {}", ended.hit.as_deref().unwrap_or_default(), printed.trim()))
    }

    /// Compares a folder with the expected files; if `tidy`, other files are an error.
    fn compare(&self, folder: &Path, tidy: bool) -> Result<(), String> {
        let found = files(folder)?;
        for (path, want) in &self.after {
            let got = found.get(path).ok_or_else(|| format!("{} is missing", path.display()))?;
            if !TIMED.iter().any(|timed| path.ends_with(timed)) && untimed(path, got) != untimed(path, want) {
                return Err(format!("{} differs", path.display()));
            }
        }
        match found.keys().find(|path| !self.after.contains_key(*path)) {
            Some(path) if tidy => Err(format!("{} is a leftover", path.display())),
            _ => Ok(()),
        }
    }
}

/// Files that contain times or events, so that they differ between runs.
const TIMED: [&str; 3] = ["log.txt", "state.json", "curves.svg"];

/// A file's bytes; of metrics, without the times.
fn untimed(path: &Path, bytes: &[u8]) -> Vec<u8> {
    if !path.ends_with("metrics.jsonl") {
        return bytes.to_vec();
    }
    let line = |line: &[u8]| {
        let mut line: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        line.as_object_mut().into_iter().for_each(|fields| fields.retain(|field, _| field != "seconds" && field != "tokens_per_s"));
        line.to_string() + "\n"
    };
    bytes.split(|&byte| byte == b'\n').map(line).collect::<String>().into_bytes()
}

/// A `signet` command in a folder, with its caches there.
pub(super) fn command(program: &Path, folder: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cached")).env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
    command
}

/// Runs a command without a fault and returns its output; the error contains the output.
pub(super) fn run_undisturbed(program: &Path, folder: &Path, arguments: &[String]) -> Result<String, String> {
    let output = command(program, folder, arguments).output().map_err(|error| error.to_string())?;
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(printed) } else { Err(format!("`signet {}` fails ({}): {}", arguments.join(" "), output.status, printed.trim())) }
}

/// Reads all files of a folder.
pub(super) fn files(folder: &Path) -> Result<Files, String> {
    let mut found = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(inside(folder, &path), fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)),
            }
        }
    }
    Ok(found)
}

fn inside(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).expect("found in it").to_path_buf()
}

/// Copies a folder's files into another, which is created if missing.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    for (path, bytes) in files(from)? {
        let path = to.join(path);
        fs::create_dir_all(path.parent().expect("a file's")).map_err(|error| error.to_string())?;
        write(&path, &bytes)?;
    }
    Ok(())
}

pub(super) fn folder(root: &Path, name: &str) -> Result<PathBuf, String> {
    let path = root.join(name);
    fs::create_dir(&path).map(|()| path).map_err(|error| format!("{name}: {error}"))
}

pub(super) fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(String::from).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Text of `count` random words.
fn words(count: usize) -> String {
    let words = ["cat", "dog", "mat", "sat", "on", "the", "and", "log"];
    let mut x = 12345u64;
    let mut draw = || {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (x >> 33) as usize % words.len()
    };
    (0..count).map(|_| words[draw()]).collect::<Vec<_>>().join(" ")
}
