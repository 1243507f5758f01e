//! Row results of an evaluation, appended to a JSON Lines file, so that a stopped evaluation can resume.

use super::TaskError;
use super::outcome::RowOutcome;
use crate::platform::{self, Lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Maximum bytes of a results file: millions of rows.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The first line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultsHeader {
    /// The model as it was specified when the file was created.
    model: String,
    /// A checksum of the model and of its storage on the device.
    key: String,
}

/// A results file, locked by one process.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    _lock: Lock,
    earlier: BTreeMap<(String, usize), RowOutcome>,
}

impl ResultsFile {
    /// Opens or creates the file. It must be of the same model. An incomplete last line, left by a kill, is dropped.
    pub fn open(path: &Path, model: &str, key: &str) -> Result<Self, TaskError> {
        let problem = |what: String| TaskError(format!("results {}: {what}", path.display()));
        let io = |error: std::io::Error| problem(format!("cannot be written: {error}"));
        let name = path.with_extension("lock").file_name().unwrap_or_default().to_string_lossy().into_owned();
        let acquired = Lock::try_acquire(&path.with_file_name(format!(".{name}"))).map_err(io)?;
        let lock = acquired.ok_or_else(|| problem("locked by another evaluation. Wait for it to end, or pass another --out".into()))?;
        if platform::exists(path) {
            platform::cut_lines(path, |lines| vec![true; lines.len()]).map_err(io)?;
        }
        let text =
            if platform::exists(path) { String::from_utf8_lossy(&platform::read_up_to(path, MAX_FILE_BYTES).map_err(io)?).into_owned() } else { String::new() };
        let mut lines = text.lines().enumerate();
        let Some((_, first)) = lines.next() else {
            let head = ResultsHeader { model: model.into(), key: key.into() };
            platform::append(path, line(&head).as_bytes()).map_err(io)?;
            return Ok(Self { path: path.into(), _lock: lock, earlier: BTreeMap::new() });
        };
        let broken = |at: usize, error: serde_json::Error| problem(format!("line {}: {error}. This is not a results file. Pass another --out", at + 1));
        let head: ResultsHeader = serde_json::from_str(first).map_err(|error| broken(0, error))?;
        if head.key != key {
            return Err(problem(format!("has results of {}, which is another model or is stored in another precision. Pass another --out", head.model)));
        }
        let mut earlier = BTreeMap::new();
        for (at, line) in lines {
            let outcome: RowOutcome = serde_json::from_str(line).map_err(|error| broken(at, error))?;
            earlier.insert((outcome.task.clone(), outcome.row), outcome);
        }
        Ok(Self { path: path.into(), _lock: lock, earlier })
    }

    /// Returns the earlier result of a row. An error if the request was different then, since their mean would mix answers to
    /// different questions.
    pub fn earlier(&mut self, task: &str, row: usize, key: &str) -> Result<Option<RowOutcome>, TaskError> {
        match self.earlier.remove(&(task.to_string(), row)) {
            Some(outcome) if outcome.key != key => {
                let path = self.path.display();
                Err(TaskError(format!("results {path}: row {row} of {task} has a result for other rows, shots or another task. Pass another --out")))
            }
            found => Ok(found),
        }
    }

    /// Appends the results of rows.
    pub fn add(&mut self, outcomes: &[RowOutcome]) -> Result<(), TaskError> {
        let text: String = outcomes.iter().map(line).collect();
        platform::append(&self.path, text.as_bytes()).map_err(|error| TaskError(format!("results {}: cannot be written: {error}", self.path.display())))
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data") + "\n"
}
