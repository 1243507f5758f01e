//! Names and patterns to files, and what a file holds by its name.

use crate::formats::FormatError;
use crate::platform;
use std::path::PathBuf;

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
