//! Files of lines that are appended to.

use super::{read_up_to, write_atomic};
use std::io;
use std::path::Path;

/// No limit on the length of a file.
pub const UNLIMITED: u64 = u64::MAX >> 1;

/// Keeps only the lines that `keep` selects; an incomplete last line is dropped. A missing file has no lines.
pub fn cut_lines(path: &Path, keep: impl FnOnce(&[&[u8]]) -> Vec<bool>) -> io::Result<()> {
    let text = match read_up_to(path, UNLIMITED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text?,
    };
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")).collect();
    let kept = lines.iter().zip(keep(&lines)).filter_map(|(line, keep)| keep.then_some(*line)).collect::<Vec<_>>().concat();
    if kept.len() == text.len() { Ok(()) } else { write_atomic(path, &kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_line_is_dropped() {
        let path = std::env::temp_dir().join(format!("signet-lines-{}", std::process::id()));
        write_atomic(&path, b"1\n2\n\xff\n3").unwrap();
        cut_lines(&path, |lines| lines.iter().map(|line| *line != b"1\n").collect()).unwrap();
        assert_eq!(read_up_to(&path, 9).unwrap(), b"2\n\xff\n");
        std::fs::remove_file(&path).unwrap();
        cut_lines(&path, |lines| vec![true; lines.len()]).unwrap();
        assert!(!path.exists());
    }
}
