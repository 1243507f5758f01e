//! The directory of a run: configuration, metrics, log, samples, curves, checkpoints.
//!
//! ```text
//! runs/NAME/run.toml        what the run is; a resume must ask for the same
//!           variants.json   the variants its operations take on a GPU, by operation and shape
//!           changes.jsonl   what was changed while it ran, and from which step on
//!           metrics.jsonl   one object per optimizer step, see `Metrics`
//!           log.txt         what happened: checkpoints, the guard's doings, stops and resumes
//!           samples.txt     text sampled along the way
//!           curves.svg      loss, KL, flip-flop ratios, gradient norm, learning rate
//!           checkpoints/step-00000250/  model.safetensors, optimizer.safetensors, state.json, config.json, tokenizer.json
//! ```

use super::changes::Changes;
use super::config::TrainConfig;
use super::metrics::Metrics;
use crate::graph::Variants;
use crate::platform::{self, Lock, append, cut_lines, remove_dir, write_atomic};
use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a run's directory.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process trains it.
    #[error("{}: the run is being trained by another process. Wait for it, or give this run another --name", .0.display())]
    InUse(PathBuf),
    /// It exists, and a new run was asked for.
    #[error("{}: there is a run of this name already. Go on with it with --resume, or choose another --name", .0.display())]
    Exists(PathBuf),
    /// There is nothing to resume.
    #[error("{}: there is no run to resume here", .0.display())]
    Missing(PathBuf),
    /// A name that no run can have.
    #[error("{name:?} is no name for a run: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// It is no longer there.
    #[error("{}: there is no such run; it was moved, renamed or deleted", .0.display())]
    Gone(PathBuf),
    /// A file in it that cannot be understood.
    #[error("{}: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A resume that asks for something else.
    #[error("{}: the run was started with other settings: {differs}. Leave them out to go on as it was, or start a new run with another --name", path.display())]
    Differs {
        /// The run.
        path: PathBuf,
        /// Which settings, and their values then and now.
        differs: String,
    },
}

/// Longest name of a run, in bytes, so that the names of its files stay possible everywhere.
const LONGEST_NAME: usize = 120;

/// Refuses what is no plain name of a directory on every system.
pub fn check_name(name: &str) -> Result<(), RunError> {
    let reserved = |name: &str| {
        let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
        let port = |kind: &str| stem.strip_prefix(kind).is_some_and(|n| n.len() == 1 && n.starts_with(|c: char| c.is_ascii_digit()));
        ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || port("COM") || port("LPT")
    };
    let forbidden = name.chars().find(|&c| c.is_control() || "/\\<>:\"|?*".contains(c));
    let problem = match forbidden {
        _ if name.trim().is_empty() => "it is empty; give it one".into(),
        Some(forbidden) => format!("it contains {forbidden:?}; leave it out"),
        None if name.starts_with(['.', ' ']) => "it begins with a dot or a space; leave that out".into(),
        None if name.ends_with(['.', ' ']) => "it ends in a dot or a space; leave that out".into(),
        None if name.len() > LONGEST_NAME => format!("it is {} bytes long; take at most {LONGEST_NAME}", name.len()),
        None if reserved(name) => "Windows keeps it for a device; choose another".into(),
        None => return Ok(()),
    };
    Err(RunError::Name { name: name.into(), problem })
}

/// A run's directory, locked.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Lock,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, RunError> {
    result.map_err(|error| RunError::Io { path: path.to_path_buf(), error })
}

impl RunDir {
    /// Refuses a name that is taken, and says whether somebody is at it.
    pub fn check_free(path: &Path) -> Result<(), RunError> {
        if !platform::exists(&path.join("run.toml")) {
            return Ok(());
        }
        drop(Self::lock(path)?);
        Err(RunError::Exists(path.to_path_buf()))
    }

    /// Makes the directory of a new run.
    pub fn create(path: &Path, config: &TrainConfig, variants: &Variants) -> Result<Self, RunError> {
        Self::check_free(path)?;
        at(path, platform::make_dir(&path.join("checkpoints")))?;
        let run = Self { path: path.to_path_buf(), _lock: Self::lock(path)? };
        let chosen = serde_json::to_string_pretty(variants).expect("variants are plain data");
        at(path, write_atomic(&path.join("variants.json"), chosen.as_bytes()))?;
        let text = toml::to_string(config).expect("settings are plain data");
        at(path, write_atomic(&path.join("run.toml"), text.as_bytes()))?;
        Ok(run)
    }

    /// Opens the directory of a run that exists; gives what it is.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), RunError> {
        let file = path.join("run.toml");
        let text = platform::read_text(&file).map_err(|_| RunError::Missing(path.to_path_buf()))?;
        let config = toml::from_str(&text).map_err(|error| RunError::Broken { path: file, problem: error.to_string() })?;
        Ok((Self { path: path.to_path_buf(), _lock: Self::lock(path)? }, config))
    }

    /// The variants it was begun with; portable ones, if it was begun before there was a choice.
    pub fn variants(&self) -> Result<Variants, RunError> {
        let file = self.path.join("variants.json");
        if !platform::exists(&file) {
            return Ok(Variants::default());
        }
        let text = at(&file, platform::read_text(&file))?;
        let why = |error| format!("{error}. Without it the run cannot go on to the bit; delete the file to go on with portable variants");
        serde_json::from_str(&text).map_err(|error| RunError::Broken { problem: why(error), path: file })
    }

    /// What was changed while it ran; `check` refuses what cannot be.
    pub fn changes(&self, check: impl Fn(&Changes) -> Result<(), String>) -> Result<Changes, RunError> {
        let path = self.path.join("changes.jsonl");
        if !platform::exists(&path) {
            return Ok(Changes::default());
        }
        let text = at(&path, platform::read_text(&path))?;
        let changes = Changes::read(&text).and_then(|changes| check(&changes).map(|()| changes));
        changes.map_err(|problem| RunError::Broken { problem: format!("{problem}. Delete the file to go on with the run's first settings"), path })
    }

    /// Replaces `changes.jsonl`.
    pub fn keep_changes(&self, changes: &Changes) -> Result<(), RunError> {
        let path = self.path.join("changes.jsonl");
        at(&path, write_atomic(&path, changes.text().as_bytes()))
    }

    /// Takes the lock of a run's directory, whatever is in it.
    pub fn lock(path: &Path) -> Result<Lock, RunError> {
        at(path, Lock::take(&path.join(".lock")))?.ok_or_else(|| RunError::InUse(path.to_path_buf()))
    }

    /// Refuses settings that differ from those the run was started with.
    pub fn check_same(&self, then: &TrainConfig, now: &TrainConfig) -> Result<(), RunError> {
        let table = |config| toml::Table::try_from(config).expect("settings are plain data");
        let (then, now) = (table(then), table(now));
        let names: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        let show = |value: Option<&toml::Value>| value.map_or("none".to_string(), toml::Value::to_string);
        let differs: Vec<String> = names
            .into_iter()
            .filter(|name| then.get(*name) != now.get(*name))
            .map(|name| format!("{name} was {}, is {}", show(then.get(name)), show(now.get(name))))
            .collect();
        if differs.is_empty() { Ok(()) } else { Err(RunError::Differs { path: self.path.clone(), differs: differs.join("; ") }) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a step to `metrics.jsonl`.
    pub fn record(&self, metrics: &Metrics) -> Result<(), RunError> {
        let line = serde_json::to_string(metrics).expect("metrics are plain data") + "\n";
        let path = self.path.join("metrics.jsonl");
        at(&path, append(&path, line.as_bytes()))
    }

    /// Forgets recorded steps after `step`.
    pub fn cut(&self, step: u64) -> Result<(), RunError> {
        let path = self.path.join("metrics.jsonl");
        let keep = |line: &str| serde_json::from_str::<Metrics>(line).is_ok_and(|metrics| metrics.step <= step);
        at(&path, cut_lines(&path, keep))
    }

    /// Adds a line to `log.txt`.
    pub fn log(&self, line: &str) -> Result<(), RunError> {
        let path = self.path.join("log.txt");
        at(&path, append(&path, format!("{line}\n").as_bytes()))
    }

    /// Adds a sample to `samples.txt`.
    pub fn sample(&self, step: u64, text: &str) -> Result<(), RunError> {
        let path = self.path.join("samples.txt");
        at(&path, append(&path, format!("--- step {step}\n{text}\n").as_bytes()))
    }

    /// Replaces `curves.svg`.
    pub fn curves(&self, svg: &str) -> Result<(), RunError> {
        let path = self.path.join("curves.svg");
        at(&path, write_atomic(&path, svg.as_bytes()))
    }

    /// Where the checkpoint of a step is.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        checkpoint(&self.path, step)
    }

    /// Steps of which there are checkpoints, ascending.
    pub fn checkpoints(&self) -> Result<Vec<u64>, RunError> {
        checkpoints(&self.path)
    }

    /// Removes all checkpoints but the last `keep` and that of `best`.
    pub fn prune(&self, keep: usize, best: Option<u64>) -> Result<(), RunError> {
        let steps = self.checkpoints()?;
        for &step in steps.iter().rev().skip(keep).filter(|&&step| Some(step) != best) {
            let path = self.checkpoint(step);
            at(&path, remove_dir(&path))?;
        }
        Ok(())
    }
}

/// Where a run's checkpoint of a step is.
pub fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints").join(format!("step-{step:08}"))
}

/// Steps of which a run has checkpoints, ascending.
pub fn checkpoints(run: &Path) -> Result<Vec<u64>, RunError> {
    let path = run.join("checkpoints");
    let mut steps = Vec::new();
    for name in at(&path, platform::list(&path))? {
        steps.extend(name.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok()));
    }
    steps.sort_unstable();
    Ok(steps)
}
