//! Inputs of text, and the format of a file by its name.

use std::path::{Path, PathBuf};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Plain text.
    Text,
    /// JSON Lines.
    JsonLines,
}

/// An input of text.
#[derive(Clone, Debug)]
pub(in crate::data) enum TextInput {
    /// A file.
    File(PathBuf),
    /// Embedded plain text.
    Embedded(&'static str),
}

impl TextInput {
    pub(super) fn format(&self) -> TextFormat {
        match self {
            TextInput::File(path) => format_of(path),
            TextInput::Embedded(_) => TextFormat::Text,
        }
    }
}

/// The format of a file by its extension, ignoring that of a compression.
pub fn format_of(path: &Path) -> TextFormat {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let inner = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    if [".jsonl", ".ndjson", ".json"].iter().any(|ending| inner.ends_with(ending)) { TextFormat::JsonLines } else { TextFormat::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_extension() {
        for (name, format) in [
            ("a.txt", TextFormat::Text),
            ("A.JSONL", TextFormat::JsonLines),
            ("a.jsonl.gz", TextFormat::JsonLines),
            ("a.ndjson.zst", TextFormat::JsonLines),
            ("a.gz", TextFormat::Text),
            ("jsonl", TextFormat::Text),
        ] {
            assert_eq!(format_of(Path::new(name)), format, "{name}");
        }
    }
}
