//! Reads files: regular files only, so that pipes cannot block and devices cannot produce endless data, and standard
//! input, named `-`, up to a limit.

use super::super::{SETTINGS_LIMIT, STDIN_LIMIT, too_long};
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Opens a regular file; never blocks on anything else.
pub(super) fn regular(path: &Path) -> io::Result<File> {
    // Opening a pipe blocks, and a device may react to it, so the type is checked before; and again after, since the
    // name may have been replaced.
    expect_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    expect_regular(&file.metadata()?)?;
    Ok(file)
}

/// Fails for anything but a regular file, and names its kind.
fn expect_regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    Err(io::Error::new(kind, format!("this is {}", special(found.file_type()))))
}

/// Describes a file that is not regular, with advice.
#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match () {
        () if kind.is_dir() => "a directory, not a file",
        () if kind.is_fifo() => "a pipe, not a file. Write its data to a file, or pass - for standard input",
        () if kind.is_socket() => "a socket, not a file",
        () if kind.is_char_device() || kind.is_block_device() => "a device, not a file. Pass - for standard input",
        () => "not a regular file",
    }
}

/// Describes a file that is not regular.
#[cfg(not(unix))]
fn special(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory, not a file" } else { "a device or a pipe, not a file" }
}

/// Standard input as read so far, since it can be read only once.
struct Stdin {
    bytes: Vec<u8>,
    over: bool,
}

static STDIN: Mutex<Stdin> = Mutex::new(Stdin { bytes: Vec::new(), over: false });

/// Returns true for `-`, standard input. A file of this name is `./-`.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Calls `with` with all of standard input, if it has at most `limit` bytes.
fn stdin<T>(limit: u64, with: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    let mut input = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = (limit + 1).saturating_sub(input.bytes.len() as u64);
    if !input.over && wanted > 0 {
        io::stdin().lock().take(wanted).read_to_end(&mut input.bytes)?;
        input.over = input.bytes.len() as u64 <= limit;
    }
    if input.bytes.len() as u64 > limit { Err(too_long(limit)) } else { Ok(with(&input.bytes)) }
}

/// Reads a settings file, such as JSON or TOML.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, SETTINGS_LIMIT)
}

/// Reads a file of at most `limit` bytes.
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if is_stdin(path) {
        return stdin(limit, <[u8]>::to_vec);
    }
    let file = regular(path)?;
    let mut bytes = Vec::with_capacity(file.metadata()?.len().min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

/// Reads a settings file as UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("this is not UTF-8 text ({})", error.utf8_error())))
}

/// Reads up to `most` bytes from the start of a file.
pub fn read_start(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    Ok(read_part(path, 0, most as u64)?.0)
}

/// Reads up to `most` bytes from byte `at` on; returns also the length of the file.
pub fn read_part(path: &Path, at: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    if is_stdin(path) {
        let part = |bytes: &[u8]| {
            let start = (at as usize).min(bytes.len());
            let end = start.saturating_add(most as usize).min(bytes.len());
            (bytes[start..end].to_vec(), bytes.len() as u64)
        };
        return stdin(STDIN_LIMIT, part);
    }
    let mut file = regular(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(most.min(length.saturating_sub(at)) as usize);
    file.seek(SeekFrom::Start(at))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok((bytes, length))
}

/// The length of a regular file; fails for anything else and names its kind.
pub fn length(path: &Path) -> io::Result<u64> {
    if is_stdin(path) {
        return stdin(STDIN_LIMIT, |bytes| bytes.len() as u64);
    }
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "no such file"),
        _ => error,
    })?;
    expect_regular(&found)?;
    Ok(found.len())
}

/// Length and modification time, to detect changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The length.
    pub bytes: u64,
    modified: Option<std::time::SystemTime>,
}

/// The stamp of a path, if it exists.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp { bytes: found.len(), modified: found.modified().ok() })
}

/// Returns true if a path exists.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// The modification time of a file, in seconds since 1970.
pub fn modified(path: &Path) -> io::Result<f64> {
    let since = fs::metadata(path)?.modified()?.duration_since(std::time::UNIX_EPOCH);
    Ok(since.map_or(0.0, |since| since.as_secs_f64()))
}

/// Returns true if a path is a file.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// Returns true if a path is a directory.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Lists the names in a directory.
pub fn list(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The files whose paths match a pattern, sorted by name.
pub fn matching(pattern: &str) -> io::Result<Vec<PathBuf>> {
    let found = glob::glob(pattern).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let files: io::Result<Vec<PathBuf>> = found.map(|path| path.map_err(io::Error::from)).collect();
    Ok(files?.into_iter().filter(|path| path.is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::RandomAccessFile;
    use super::super::scratch::scratch;
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = scratch("read-limit");
        let path = dir.join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_up_to(&path, 10).unwrap(), [7; 10]);
        assert!(read_up_to(&path, 9).unwrap_err().to_string().contains("longer than 9 bytes"));
        assert_eq!(read_part(&path, 8, 9).unwrap(), (vec![7, 7], 10));
        // Longer than any settings, as a hole that takes no disk space.
        File::create(&path).unwrap().set_len(SETTINGS_LIMIT + 1).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("longer than 64 MB"));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn special_files_are_refused_without_blocking() {
        let dir = scratch("read-special");
        std::os::unix::fs::symlink("/dev/zero", dir.join("zeros")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
        for (name, kind) in [("zeros", "a device"), ("socket", "a socket"), (".", "a directory")] {
            let path = dir.join(name);
            let problems = [
                read(&path).unwrap_err(),
                read_text(&path).unwrap_err(),
                read_part(&path, 0, 1).unwrap_err(),
                RandomAccessFile::open(&path).unwrap_err(),
                length(&path).unwrap_err(),
            ];
            for problem in problems {
                assert!(problem.to_string().contains(kind), "{name}: {problem}");
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
