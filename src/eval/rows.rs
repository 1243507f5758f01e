//! Rows of a data set in JSON Lines format, each an object.

use super::TaskError;
use crate::data::Lines;
use crate::formats::json;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRow {
    /// Line in the file, from 1.
    pub line: usize,
    /// The fields.
    pub fields: Map<String, Value>,
}

/// The rows of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The file.
    pub path: PathBuf,
    /// The rows, up to the limit.
    pub rows: Vec<DataRow>,
    /// Total rows in the file, including those beyond the limit.
    pub in_file: usize,
}

impl Rows {
    /// Reads the first `limit` rows of a file, or all of them; the file may be compressed. Empty lines are skipped.
    pub fn read(path: &Path, limit: Option<usize>) -> Result<Self, TaskError> {
        let unreadable = |error| TaskError(format!("rows: {error}"));
        let mut lines = Lines::open(path).map_err(unreadable)?;
        let (mut rows, mut in_file) = (Vec::new(), 0);
        while let Some((line, text)) = lines.next().map_err(unreadable)? {
            if text.trim().is_empty() {
                continue;
            }
            in_file += 1;
            if in_file > limit.unwrap_or(usize::MAX) {
                continue;
            }
            let parsed = json::with_integers(text.as_bytes(), |text| serde_json::from_slice::<Map<String, Value>>(text));
            let mut fields = parsed.map_err(|error| {
                // The error's own line is always 1.
                let problem = format!("rows {}, line {line}: not a JSON object: {} (column {})", path.display(), reason(&error), error.column());
                lines.kind_error().map_or(TaskError(problem), unreadable)
            })?;
            // Templates have no NaN: a field with NaN is treated as missing.
            fields.retain(|_, value| !json::has_special_number(value));
            rows.push(DataRow { line, fields });
        }
        if rows.is_empty() {
            return Err(TaskError(format!("rows {}: the file has no rows", path.display())));
        }
        Ok(Self { path: path.to_path_buf(), rows, in_file })
    }

    /// Makes an error at a row.
    pub fn at(&self, row: usize, problem: &dyn std::fmt::Display) -> TaskError {
        TaskError(format!("rows {}, line {}: {problem}", self.path.display(), self.rows[row].line))
    }
}

/// The message without its position.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn read(name: &str, bytes: &[u8]) -> Result<Rows, TaskError> {
        let dir = std::env::temp_dir().join(format!("signet-rows-{name}-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let path = dir.join("rows.jsonl");
        platform::write_atomic(&path, bytes).unwrap();
        let rows = Rows::read(&path, None);
        platform::remove_dir(&dir).unwrap();
        rows
    }

    #[test]
    fn rows_are_parsed_as_in_python() {
        let text = "\u{feff}{\"a\": \"x\", \"score\": NaN}\n\n\u{feff}{\"a\": \"\\ud83d\", \"NaN\": \"NaN\"}\r\n";
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        for (name, bytes) in [("plain", text.as_bytes().to_vec()), ("gzip", packed.finish().unwrap())] {
            let rows = read(name, &bytes).unwrap();
            let fields: Vec<_> = rows.rows.iter().map(|row| (row.line, Value::Object(row.fields.clone()))).collect();
            assert_eq!(fields, [(1, serde_json::json!({"a": "x"})), (3, serde_json::json!({"a": "\u{fffd}", "NaN": "NaN"}))], "{name}");
        }
    }

    #[test]
    fn files_without_rows_are_errors() {
        for (name, bytes, words) in
            [("page", "<!DOCTYPE html>\n", "an HTML page"), ("list", "[1]\n", "line 1: not a JSON object"), ("none", "\n", "the file has no rows")]
        {
            let problem = read(name, bytes.as_bytes()).unwrap_err().to_string();
            assert!(problem.contains(words) && problem.contains("rows.jsonl"), "{problem}");
        }
    }
}
