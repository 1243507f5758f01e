//! Expands paths and patterns to files.

use crate::formats::FormatError;
use crate::platform;
use std::path::PathBuf;

/// Expands paths and patterns (`*`, `?`, `[…]`, `**`) to files, those of a pattern sorted by name. A path that exists
/// is taken literally.
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
        let found = platform::matching(&text).map_err(|problem| FormatError::new(path, format!("is not a valid pattern: {problem}")))?;
        if found.is_empty() {
            return Err(FormatError::new(path, "no file matches this pattern"));
        }
        files.extend(found);
    }
    Ok(files)
}
