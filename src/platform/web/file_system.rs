//! The file system of a page, with a desktop's operations: private files on the disk, read-only ones (`/files`,
//! `/models`), and downloads, which are offered to the user (`/downloads`).

use super::blob_writer::{BlobWriter, DOWNLOADS};
use super::blobs::{self, FILES, MODELS};
use super::storage::with;
use crate::platform::Output;
use crate::platform::disk::{self, Draft, FileMetadata, StoreSlot, normal, read_part as read_slot};
use crate::platform::{SETTINGS_LIMIT, too_long};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

/// The location of a path.
enum WebLocation {
    Disk(String),
    /// A read-only file.
    Blob(String),
    /// A download with this name.
    Download(String),
    /// A directory that contains read-only files or downloads.
    ReadOnlyDirectory(String),
}

fn locate(path: &Path) -> io::Result<WebLocation> {
    let path = normal(path)?;
    let below = |directory: &str| path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
    Ok(match () {
        () if [FILES, MODELS, DOWNLOADS, "/"].contains(&path.as_str()) => WebLocation::ReadOnlyDirectory(path),
        () if below(FILES).is_some() || below(MODELS).is_some() => WebLocation::Blob(path),
        () if below(DOWNLOADS).is_some() => WebLocation::Download(below(DOWNLOADS).unwrap_or_default().replace('/', "-")),
        () => WebLocation::Disk(path),
    })
}

/// The path on the disk; fails for locations that cannot be modified.
fn on_disk(path: &Path) -> io::Result<String> {
    match locate(path)? {
        WebLocation::Disk(path) => Ok(path),
        WebLocation::Download(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a download is written once, and not stored")),
        WebLocation::Blob(_) | WebLocation::ReadOnlyDirectory(_) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "this path is read-only")),
    }
}

fn metadata(path: &Path) -> io::Result<FileMetadata> {
    match locate(path)? {
        WebLocation::Disk(path) => with(|disk| disk.metadata(&path)),
        WebLocation::Blob(path) => {
            let file = blobs::find(&path)?;
            Ok(FileMetadata { directory: false, bytes: file.size() as u64, modified: file.last_modified() as u64 })
        }
        WebLocation::Download(_) => Err(io::Error::new(io::ErrorKind::NotFound, "a download is not stored")),
        WebLocation::ReadOnlyDirectory(_) => Ok(FileMetadata { directory: true, bytes: 0, modified: 0 }),
    }
}

/// Returns true if a path exists.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Returns true if a path is a file.
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| !metadata.directory)
}

/// Returns true if a path is a directory.
pub fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.directory)
}

/// The modification time of a file, in seconds since 1970.
pub fn modified(path: &Path) -> io::Result<f64> {
    Ok(metadata(path)?.modified as f64 / 1000.0)
}

/// Length and modification time, to detect changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The length.
    pub bytes: u64,
    modified: u64,
}

/// The stamp of a path, if it exists.
pub fn stamp(path: &Path) -> Option<Stamp> {
    metadata(path).ok().map(|metadata| Stamp { bytes: metadata.bytes, modified: metadata.modified })
}

/// A file for positioned reads.
#[derive(Debug)]
pub struct RandomAccessFile {
    bytes: u64,
    source: FileSource,
}

enum FileSource {
    Empty,
    Slot(Rc<StoreSlot>),
    File(web_sys::File),
}

impl std::fmt::Debug for FileSource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            FileSource::Empty => "an empty file",
            FileSource::Slot(_) => "a file on the disk",
            FileSource::File(_) => "a file that was chosen or downloaded",
        })
    }
}

impl RandomAccessFile {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        match locate(path)? {
            WebLocation::Blob(path) => {
                let file = blobs::find(&path)?;
                Ok(Self { bytes: file.size() as u64, source: FileSource::File(file) })
            }
            WebLocation::Disk(path) => match with(|disk| disk.open(&path))? {
                Some(slot) => Ok(Self { bytes: slot.store.bytes()?, source: FileSource::Slot(slot) }),
                None => Ok(Self { bytes: 0, source: FileSource::Empty }),
            },
            WebLocation::Download(_) => Err(io::Error::new(io::ErrorKind::NotFound, "a download is not stored")),
            WebLocation::ReadOnlyDirectory(_) => Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a directory")),
        }
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a range; fails if the file does not have it.
    pub fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before these bytes");
        if range.start > range.end || range.end > self.bytes {
            return Err(short());
        }
        let want = range.end - range.start;
        let bytes = match &self.source {
            FileSource::Empty => Vec::new(),
            FileSource::Slot(slot) => read_slot(&*slot.store, range.start, want)?,
            FileSource::File(file) => blobs::read(file, range.start, range.end)?,
        };
        if bytes.len() as u64 == want { Ok(Cow::Owned(bytes)) } else { Err(short()) }
    }
}

/// Reads up to `most` bytes from byte `at` on; returns also the length of the file.
pub fn read_part(path: &Path, at: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let file = RandomAccessFile::open(path)?;
    let start = at.min(file.bytes());
    let bytes = file.part(start..start.saturating_add(most).min(file.bytes()))?.into_owned();
    Ok((bytes, file.bytes()))
}

/// Reads up to `most` bytes from the start of a file.
pub fn read_start(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    Ok(read_part(path, 0, most as u64)?.0)
}

/// Reads a settings file, such as JSON or TOML.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, SETTINGS_LIMIT)
}

/// Reads a file of at most `limit` bytes.
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (bytes, length) = read_part(path, 0, limit)?;
    if length > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

/// The length of a file.
pub fn length(path: &Path) -> io::Result<u64> {
    Ok(RandomAccessFile::open(path)?.bytes())
}

/// Reads a settings file as UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("this is not UTF-8 text ({})", error.utf8_error())))
}

/// Lists the names in a directory.
pub fn list(path: &Path) -> io::Result<Vec<String>> {
    match locate(path)? {
        WebLocation::Disk(path) => with(|disk| disk.list(&path)),
        WebLocation::ReadOnlyDirectory(path) => Ok(blobs::list(&path)),
        WebLocation::Blob(_) | WebLocation::Download(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "this is not a directory")),
    }
}

/// The files that match a pattern: none, since a page has no patterns.
pub fn matching(_pattern: &str) -> io::Result<Vec<std::path::PathBuf>> {
    Ok(Vec::new())
}

/// Creates a directory and its parents.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if let WebLocation::ReadOnlyDirectory(_) = locate(path)? {
        return Ok(());
    }
    let path = on_disk(path)?;
    with(|disk| disk.make_dir(&path))
}

/// Creates a directory in an existing one; returns false if the name exists.
pub fn claim_dir(path: &Path) -> io::Result<bool> {
    if exists(path) { Ok(false) } else { make_dir(path).map(|()| true) }
}

/// Removes a directory with its contents, if it exists.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    let path = on_disk(path)?;
    with(|disk| disk.remove_dir(&path))
}

/// Removes a directory, as `remove_dir` does.
pub fn discard_dir(path: &Path) -> io::Result<()> {
    remove_dir(path)
}

/// Renames a directory; fails if the new name exists. `lock` may be a file in it, and is released after.
pub fn rename_dir(from: &Path, to: &Path, lock: Option<Lock>) -> io::Result<()> {
    let (from, to) = (on_disk(from)?, on_disk(to)?);
    let renamed = with(|disk| disk.rename(&from, &to));
    drop(lock);
    renamed
}

/// Writes a directory atomically. If dropped before it is finished, nothing changes.
pub struct Commit(disk::DiskCommit);

impl Commit {
    /// Begins to write the directory `path`.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self(disk::DiskCommit::begin(on_disk(path)?)))
    }

    /// Creates a file in it, which must be ended before the commit is finished.
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        with(|disk| self.0.part(disk, name)).map(CommitPart)
    }

    /// Publishes the directory, in place of an existing one.
    pub fn finish(self) -> io::Result<()> {
        with(|disk| self.0.finish(disk))
    }

    /// Publishes the directory; fails if the path exists.
    pub fn finish_new(self) -> io::Result<()> {
        with(|disk| self.0.finish_new(disk))
    }
}

/// A file of a commit.
pub struct CommitPart(disk::draft::DiskCommitPart);

impl CommitPart {
    /// Waits until the file is on disk.
    pub fn end(self) -> io::Result<()> {
        self.0.end()
    }
}

impl Write for CommitPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Replaces a file's contents atomically.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomic(path, &mut |out| out.write_all(bytes))
}

/// Replaces a file's contents with the output of `write`, atomically.
pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Output) -> io::Result<()>) -> io::Result<()> {
    if let WebLocation::Download(name) = locate(path)? {
        let mut download = BlobWriter::default();
        write(&mut download)?;
        return download.offer(&name);
    }
    write_file(path, &mut |draft| write(draft))
}

/// Creates a file of `length` bytes, atomically: `start`, then zeros.
pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    write_file(path, &mut |draft| {
        draft.write_all(start)?;
        draft.extend(length)
    })
}

fn write_file(path: &Path, write: &mut dyn FnMut(&mut Draft) -> io::Result<()>) -> io::Result<()> {
    let path = on_disk(path)?;
    let mut draft = with(|disk| disk.draft())?;
    let written = write(&mut draft).and_then(|()| with(|disk| disk.put(&path, draft)));
    if written.is_err() {
        with(|disk| disk.empty_unused());
    }
    written
}

/// Appends to a file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = on_disk(path)?;
    with(|disk| disk.append(&path, bytes))
}

/// Waits for appended data: does nothing, since each append waits itself.
pub fn sync(_dir: &Path, _names: &[&str]) -> io::Result<()> {
    Ok(())
}

/// Removes temporaries of writers that are gone: does nothing, since unfinished files have no names.
pub fn remove_leftovers(_dir: &Path) {}

/// Removes temporaries of earlier versions, which left none either.
pub fn remove_old_leftovers<Held>(_dir: &Path, _owns: impl Fn(&str) -> Option<Held>) {}

/// A file for positioned writes.
pub struct PositionedWriter(Rc<StoreSlot>);

impl PositionedWriter {
    /// Opens an existing file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = on_disk(path)?;
        let empty = || io::Error::new(io::ErrorKind::InvalidInput, "cannot write to positions of an empty file");
        with(|disk| disk.open(&path))?.map(Self).ok_or_else(empty)
    }

    /// Writes `bytes` from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.store.write(at, bytes)
    }

    /// Waits until all writes are on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.store.flush()
    }
}

/// A lock, held until dropped. Only one tab has the private storage, so other tabs need not see it.
#[derive(Debug)]
pub struct Lock(String);

impl Lock {
    /// Acquires the lock; `None` if it is held.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let path = on_disk(path)?;
        Ok(with(|disk| disk.lock(&path))?.then(|| Self(path)))
    }

    /// Returns true if the lock is still held for its path. No other program moves a directory with a lock.
    pub fn is_in_place(&self) -> bool {
        with(|disk| disk.is_locked(&self.0))
    }

    /// Returns true if the lock is held.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let path = on_disk(path)?;
        Ok(with(|disk| disk.is_locked(&path)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        with(|disk| disk.unlock(&self.0));
    }
}
