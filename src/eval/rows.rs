//! Rows of a data set: JSON lines, each an object.

use super::TaskError;
use crate::platform;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A row, and where it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// The rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The file.
    pub path: PathBuf,
    /// At most as many as were asked for.
    pub rows: Vec<Row>,
    /// Rows the file has, those included that were not asked for.
    pub in_file: usize,
}

impl Rows {
    /// Reads the first `limit` rows of a file, all of them without a limit. Empty lines are no rows.
    pub fn read(path: &Path, limit: Option<usize>) -> Result<Self, TaskError> {
        let bytes = platform::read(path).map_err(|error| TaskError(format!("rows {}: cannot be read: {error}", path.display())))?;
        let lines = bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        let (mut rows, mut in_file) = (Vec::new(), 0);
        for (at, line) in lines {
            in_file += 1;
            if in_file > limit.unwrap_or(usize::MAX) {
                continue;
            }
            let fields = serde_json::from_slice(line).map_err(|error| {
                // Its own line is always 1.
                TaskError(format!("rows {}, line {}: no JSON object: {} (column {})", path.display(), at + 1, reason(&error), error.column()))
            })?;
            rows.push(Row { line: at + 1, fields });
        }
        if rows.is_empty() {
            return Err(TaskError(format!("rows {}: there is none in it", path.display())));
        }
        Ok(Self { path: path.to_path_buf(), rows, in_file })
    }

    /// Says where in the file something is wrong.
    pub fn at(&self, row: usize, problem: &dyn std::fmt::Display) -> TaskError {
        TaskError(format!("rows {}, line {}: {problem}", self.path.display(), self.rows[row].line))
    }
}

/// The problem without its place.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}
