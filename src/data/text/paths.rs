//! Names and patterns to files, and what a file holds by its name.

use super::documents::Format;
use crate::formats::FormatError;
use crate::platform;
use std::path::{Path, PathBuf};

/// The files that paths and patterns (`*`, `?`, `[…]`, `**`) name, those of a pattern in the order of
/// their names. A file that has such a name itself is that file.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FormatError> {
    let mut files = Vec::new();
    for path in paths {
        let text = path.to_string_lossy();
        if platform::is_dir(path) {
            let all = path.join("*").display().to_string();
            return Err(FormatError::new(path, format!("is a directory; name the files in it, such as '{all}'")));
        }
        if platform::exists(path) || !text.contains(['*', '?', '[']) {
            files.push(path.clone());
            continue;
        }
        let found = platform::matching(&text).map_err(|problem| FormatError::new(path, format!("is no pattern: {problem}")))?;
        if found.is_empty() {
            return Err(FormatError::new(path, "no file matches this pattern"));
        }
        files.extend(found);
    }
    Ok(files)
}

/// What a file holds by its name, an ending of compression left aside.
pub fn format_of(path: &Path) -> Format {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let inner = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    if [".jsonl", ".ndjson", ".json"].iter().any(|ending| inner.ends_with(ending)) { Format::Rows } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_in_a_file() {
        for (name, format) in [
            ("a.txt", Format::Text),
            ("A.JSONL", Format::Rows),
            ("a.jsonl.gz", Format::Rows),
            ("a.ndjson.zst", Format::Rows),
            ("a.gz", Format::Text),
            ("jsonl", Format::Text),
        ] {
            assert_eq!(format_of(Path::new(name)), format, "{name}");
        }
    }
}
