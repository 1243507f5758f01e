//! Inputs of text, and the format of a file by its name.

use std::path::{Path, PathBuf};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain text.
    Text,
    /// JSON lines.
    Rows,
}

/// An input of text.
#[derive(Clone, Debug)]
pub(in crate::data) enum Input {
    /// A file.
    File(PathBuf),
    /// Embedded plain text.
    Embedded(&'static str),
}

impl Input {
    pub(super) fn format(&self) -> Format {
        match self {
            Input::File(path) => format_of(path),
            Input::Embedded(_) => Format::Text,
        }
    }
}

/// The format of a file by its extension, ignoring that of a compression.
pub fn format_of(path: &Path) -> Format {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let inner = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    if [".jsonl", ".ndjson", ".json"].iter().any(|ending| inner.ends_with(ending)) { Format::Rows } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_extension() {
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
