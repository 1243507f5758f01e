//! Writing files and directories of a desktop, whole or not at all.

use super::read;
use crate::platform::Output;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A directory with all its parts, or nothing: written beside, synced, renamed. One that is dropped
/// before it is finished leaves what was there.
#[derive(Debug)]
pub struct Commit {
    path: PathBuf,
    beside: PathBuf,
}

impl Commit {
    /// Begins the directory that `path` is to be.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let commit = Self { path: path.to_path_buf(), beside: beside(path)? };
        remove_dir(&commit.beside)?;
        fs::create_dir_all(&commit.beside)?;
        Ok(commit)
    }

    /// A file in it, to be written and ended before the whole is.
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        Ok(CommitPart(BufWriter::with_capacity(1 << 20, File::create(self.beside.join(name))?)))
    }

    /// Puts it in the place of what was there.
    pub fn finish(self) -> io::Result<()> {
        sync_dir(&self.beside)?;
        remove_dir(&self.path)?;
        fs::rename(&self.beside, &self.path)?;
        // The parent of a bare name is empty, which means here.
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // After `finish` there is nothing of this name.
        let _ = remove_dir(&self.beside);
    }
}

/// A file of a commit on its way.
#[derive(Debug)]
pub struct CommitPart(BufWriter<File>);

impl Write for CommitPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl CommitPart {
    /// Waits until the whole part is on disk.
    pub fn end(self) -> io::Result<()> {
        self.0.into_inner().map_err(|error| error.into_error())?.sync_all()
    }
}

impl Output for BufWriter<File> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(at))?;
        self.write_all(bytes)?;
        self.seek(SeekFrom::End(0)).map(drop)
    }
}

/// Replaces a file's contents, or leaves it as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomic(path, &mut |out| out.write_all(bytes))
}

/// Replaces a file's contents with what `write` writes, or leaves it as it was.
pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Output) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path)?;
    let result = (|| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        write(&mut file)?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        fs::rename(&beside, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Makes a file of `length` bytes that begins with `start` and holds zeros behind, or none at all.
/// The zeros take no room on disk before they are written to.
pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    let beside = beside(path)?;
    let result = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(start)?;
        file.set_len(length)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// A file that is written in places.
#[derive(Debug)]
pub struct Places(File);

impl Places {
    /// Opens a file that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().write(true).open(path)?))
    }

    /// Writes `bytes` from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(at))?;
        self.0.write_all(bytes)
    }

    /// Waits until all is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Adds to the end of a file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

/// Keeps the lines of a file that `keep` wants; a last line without its end is never kept.
pub fn cut_lines(path: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let text = match read::whole(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kept: String = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && keep(line)).collect();
    if kept == text { Ok(()) } else { write_atomic(path, kept.as_bytes()) }
}

/// Removes a directory with all it holds, if it is there.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a name"))?;
    Ok(path.with_file_name(format!(".{}.part", name.to_string_lossy())))
}

/// Makes a rename last through a power cut. Windows has no such call, and needs none.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("signet-{name}-{}", std::process::id()));
        remove_dir(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn write_part(commit: &mut Commit, name: &str, bytes: &[u8]) {
        let mut part = commit.part(name).unwrap();
        part.write_all(bytes).unwrap();
        part.end().unwrap();
    }

    #[test]
    fn a_failed_commit_leaves_what_was_there() {
        let dir = scratch("commit");
        let at = dir.join("state");
        let mut whole = Commit::begin(&at).unwrap();
        write_part(&mut whole, "a", b"old");
        whole.finish().unwrap();
        let mut half = Commit::begin(&at).unwrap();
        write_part(&mut half, "a", b"new");
        drop(half);
        assert_eq!(fs::read(at.join("a")).unwrap(), b"old");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        remove_dir(&dir).unwrap();
    }

    #[test]
    fn a_bare_name_is_committed_here() {
        let at = PathBuf::from(format!("signet-bare-{}", std::process::id()));
        let mut commit = Commit::begin(&at).unwrap();
        write_part(&mut commit, "a", b"here");
        let finished = commit.finish();
        let read = fs::read(at.join("a"));
        remove_dir(&at).unwrap();
        finished.unwrap();
        assert_eq!(read.unwrap(), b"here");
    }

    #[test]
    fn half_a_line_is_cut() {
        let dir = scratch("cut");
        let path = dir.join("lines");
        fs::write(&path, "1\n2\n3").unwrap();
        cut_lines(&path, |line| line != "1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        remove_dir(&dir).unwrap();
    }
}
