//! Writes files and directories atomically.

use super::dirs::sync_dir;
use super::temporary::{TemporaryDir, TemporaryFile};
use crate::platform::Output;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes a directory atomically: under a temporary name, then synced and renamed. If dropped before it is finished,
/// nothing changes.
#[derive(Debug)]
pub struct Commit {
    path: PathBuf,
    temporary: TemporaryDir,
}

impl Commit {
    /// Begins to write the directory `path`.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_path_buf(), temporary: TemporaryDir::beside(path)? })
    }

    /// Creates a file in it, which must be ended before the commit is finished.
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        Ok(CommitPart(BufWriter::with_capacity(1 << 20, File::create(self.temporary.new_dir().join(name))?)))
    }

    /// Publishes the directory, in place of an existing one.
    pub fn finish(self) -> io::Result<()> {
        self.temporary.replace(&self.path)
    }

    /// Publishes the directory; fails if the path exists.
    pub fn finish_new(self) -> io::Result<()> {
        self.temporary.publish(&self.path)
    }
}

/// A file of a commit.
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
    /// Waits until the file is on disk.
    pub fn end(self) -> io::Result<()> {
        self.0.into_inner().map_err(|error| error.into_error())?.sync_all()
    }
}

impl Output for BufWriter<&File> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(at))?;
        self.write_all(bytes)?;
        self.seek(SeekFrom::End(0)).map(drop)
    }
}

/// Replaces a file's contents atomically and durably.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomic(path, &mut |out| out.write_all(bytes))
}

/// Replaces a file's contents with the output of `write`, atomically and durably.
pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Output) -> io::Result<()>) -> io::Result<()> {
    let temporary = TemporaryFile::beside(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.file());
    write(&mut out)?;
    out.into_inner().map_err(|error| error.into_error())?;
    temporary.publish(path)
}

/// Creates a file of `length` bytes, atomically: `start`, then zeros, which take no disk space until written.
pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    let temporary = TemporaryFile::beside(path)?;
    temporary.file().write_all(start)?;
    temporary.file().set_len(length)?;
    temporary.publish(path)
}

/// A file for positioned writes.
#[derive(Debug)]
pub struct PositionedWriter(File);

impl PositionedWriter {
    /// Opens an existing file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().write(true).open(path)?))
    }

    /// Writes `bytes` from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(at))?;
        self.0.write_all(bytes)
    }

    /// Waits until all writes are on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Appends to a file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

/// Waits until appended data of files in a directory, and their names, are on disk. Missing files are skipped.
pub fn sync(dir: &Path, names: &[&str]) -> io::Result<()> {
    for name in names {
        match OpenOptions::new().append(true).open(dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => file?.sync_all()?,
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::super::dirs::remove_dir;
    use super::super::scratch::scratch;
    use super::*;
    use std::fs;

    fn write_part(commit: &mut Commit, name: &str, bytes: &[u8]) {
        let mut part = commit.part(name).unwrap();
        part.write_all(bytes).unwrap();
        part.end().unwrap();
    }

    #[test]
    fn a_failed_commit_changes_nothing() {
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
    fn a_bare_name_is_committed_to_the_current_directory() {
        let at = PathBuf::from(format!("signet-bare-{}", std::process::id()));
        let mut commit = Commit::begin(&at).unwrap();
        write_part(&mut commit, "a", b"here");
        let finished = commit.finish();
        let read = fs::read(at.join("a"));
        remove_dir(&at).unwrap();
        finished.unwrap();
        assert_eq!(read.unwrap(), b"here");
    }
}
