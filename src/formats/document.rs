//! Reads JSON, TOML and text files of other programs, up to a size limit. A file of another kind is refused by the
//! name of that kind.

use super::FormatError;
use super::content::{self, ContentKind};
use crate::platform;
use std::io;
use std::path::Path;

/// Reads a JSON file, without its byte order mark; `None` if it does not exist.
pub fn json_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FormatError> {
    let Some(bytes) = read_limited(path, limit)? else { return Ok(None) };
    content::expect(path, &bytes, &[ContentKind::Json])?;
    Ok(Some(bytes))
}

/// Reads a chat template, without its byte order mark; `None` if it does not exist.
pub fn template_file(path: &Path) -> Result<Option<String>, FormatError> {
    // A template may look like HTML.
    text(path, &[ContentKind::Json, ContentKind::Html, ContentKind::Xml, ContentKind::Empty])
}

/// Reads a TOML file, without its byte order mark.
pub fn toml_file(path: &Path) -> Result<String, FormatError> {
    // A table header looks like a JSON array.
    text(path, &[ContentKind::Json, ContentKind::Empty])?.ok_or_else(|| FormatError::unreadable(path, "no such file"))
}

fn text(path: &Path, kinds: &[ContentKind]) -> Result<Option<String>, FormatError> {
    let Some(bytes) = read_limited(path, platform::SETTINGS_LIMIT)? else { return Ok(None) };
    content::expect(path, &bytes, kinds)?;
    String::from_utf8(bytes).map(Some).map_err(|error| FormatError::unreadable(path, format!("it is not UTF-8 text ({})", error.utf8_error())))
}

fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FormatError> {
    match platform::read_up_to(path, limit) {
        Ok(bytes) => Ok(Some(content::strip_bom(&bytes).to_vec())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FormatError::unreadable(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_stripped_and_another_kind_is_named() {
        let dir = std::env::temp_dir().join(format!("signet-document-{}", std::process::id()));
        platform::make_dir(&dir).unwrap();
        let path = dir.join("file");
        let put = |bytes: &[u8]| platform::write_atomic(&path, bytes).unwrap();
        put(b"\xef\xbb\xbf[table]\n");
        assert_eq!(toml_file(&path).unwrap(), "[table]\n");
        put(b"\xef\xbb\xbf{}");
        assert_eq!(json_file(&path, 5).unwrap().unwrap(), b"{}");
        assert!(json_file(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
        put(&"steps = 3".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        assert!(toml_file(&path).unwrap_err().to_string().contains("this is text in UTF-16"));
        put(b"<html>{{ messages }}");
        assert_eq!(template_file(&path).unwrap().as_deref(), Some("<html>{{ messages }}"));
        assert!(toml_file(&path).unwrap_err().to_string().contains("HTML"));
        platform::remove_dir(&dir).unwrap();
        assert!(json_file(&path, 1).unwrap().is_none() && toml_file(&path).unwrap_err().to_string().contains("no such file"));
    }
}
