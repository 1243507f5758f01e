//! What came of rows, kept as it comes: a line of JSON a row, so that an evaluation that was stopped
//! or killed goes on where it ended.

use super::TaskError;
use super::outcome::RowOutcome;
use crate::platform::{self, Lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most bytes of such a file: outcomes of some millions of rows.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// The model, as it was asked for when the file was begun.
    model: String,
    /// A checksum of it, and of how it is stored on the device.
    key: String,
}

/// A file of outcomes, which one process at a time writes.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    _lock: Lock,
    earlier: BTreeMap<(String, usize), RowOutcome>,
}

impl ResultsFile {
    /// Opens the file, or begins it. It must be of the same model; half a line at its end, where a kill
    /// left one, is dropped.
    pub fn open(path: &Path, model: &str, key: &str) -> Result<Self, TaskError> {
        let problem = |what: String| TaskError(format!("results {}: {what}", path.display()));
        let io = |error: std::io::Error| problem(format!("cannot be written: {error}"));
        let name = path.with_extension("lock").file_name().unwrap_or_default().to_string_lossy().into_owned();
        let held = Lock::try_acquire(&path.with_file_name(format!(".{name}"))).map_err(io)?;
        let lock = held.ok_or_else(|| problem("another evaluation writes it. Wait for its end, or give another --out".into()))?;
        if platform::exists(path) {
            platform::cut_lines(path, |lines| vec![true; lines.len()]).map_err(io)?;
        }
        let text =
            if platform::exists(path) { String::from_utf8_lossy(&platform::read_up_to(path, MAX_FILE_BYTES).map_err(io)?).into_owned() } else { String::new() };
        let mut lines = text.lines().enumerate();
        let Some((_, first)) = lines.next() else {
            let head = Header { model: model.into(), key: key.into() };
            platform::append(path, line(&head).as_bytes()).map_err(io)?;
            return Ok(Self { path: path.into(), _lock: lock, earlier: BTreeMap::new() });
        };
        let broken = |at: usize, error: serde_json::Error| problem(format!("line {}: {error}. It is no file of results; give another --out", at + 1));
        let head: Header = serde_json::from_str(first).map_err(|error| broken(0, error))?;
        if head.key != key {
            return Err(problem(format!("it holds what came of {}, which is another model, or was stored otherwise. Give another --out", head.model)));
        }
        let mut earlier = BTreeMap::new();
        for (at, line) in lines {
            let outcome: RowOutcome = serde_json::from_str(line).map_err(|error| broken(at, error))?;
            earlier.insert((outcome.task.clone(), outcome.row), outcome);
        }
        Ok(Self { path: path.into(), _lock: lock, earlier })
    }

    /// What came of a row earlier. That it was asked the same must be sure: else there would be two
    /// answers to different questions in one mean.
    pub fn earlier(&mut self, task: &str, row: usize, key: &str) -> Result<Option<RowOutcome>, TaskError> {
        match self.earlier.remove(&(task.to_string(), row)) {
            Some(outcome) if outcome.key != key => {
                let path = self.path.display();
                Err(TaskError(format!("results {path}: row {row} of {task} was asked otherwise there: other rows, shots or task. Give another --out")))
            }
            found => Ok(found),
        }
    }

    /// Adds rows.
    pub fn add(&mut self, outcomes: &[RowOutcome]) -> Result<(), TaskError> {
        let text: String = outcomes.iter().map(line).collect();
        platform::append(&self.path, text.as_bytes()).map_err(|error| TaskError(format!("results {}: cannot be written: {error}", self.path.display())))
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data") + "\n"
}
