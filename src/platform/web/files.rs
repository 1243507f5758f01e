//! Files of a page, with the operations of a desktop's: private ones on the disk, those that can only
//! be read (`/files`, `/models`), and downloads, which are handed to the visitor (`/downloads`).

use super::blobs::{self, FILES, MODELS};
use super::download::{DOWNLOADS, Download};
use super::storage::with;
use crate::platform::Output;
use crate::platform::disk::{self, About, Draft, Slot, normal, read_part as read_slot};
use crate::platform::{SETTINGS_LIMIT, too_long};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

/// Where a path leads.
enum Place {
    Disk(String),
    /// A file that can only be read.
    Blob(String),
    /// What is handed to the visitor under this name.
    Download(String),
    /// The directory of either.
    Shelf(String),
}

fn place(path: &Path) -> io::Result<Place> {
    let path = normal(path)?;
    let below = |shelf: &str| path.strip_prefix(shelf).and_then(|rest| rest.strip_prefix('/'));
    Ok(match () {
        () if [FILES, MODELS, DOWNLOADS, "/"].contains(&path.as_str()) => Place::Shelf(path),
        () if below(FILES).is_some() || below(MODELS).is_some() => Place::Blob(path),
        () if below(DOWNLOADS).is_some() => Place::Download(below(DOWNLOADS).unwrap_or_default().replace('/', "-")),
        () => Place::Disk(path),
    })
}

/// The path on the disk, where something can be changed.
fn on_disk(path: &Path) -> io::Result<String> {
    match place(path)? {
        Place::Disk(path) => Ok(path),
        Place::Download(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a download is written once, and not kept")),
        Place::Blob(_) | Place::Shelf(_) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "this can only be read")),
    }
}

fn about(path: &Path) -> io::Result<About> {
    match place(path)? {
        Place::Disk(path) => with(|disk| disk.about(&path)),
        Place::Blob(path) => {
            let file = blobs::find(&path)?;
            Ok(About { directory: false, bytes: file.size() as u64, modified: file.last_modified() as u64 })
        }
        Place::Download(_) => Err(io::Error::new(io::ErrorKind::NotFound, "a download is not kept")),
        Place::Shelf(_) => Ok(About { directory: true, bytes: 0, modified: 0 }),
    }
}

/// Whether a file or directory is there.
pub fn exists(path: &Path) -> bool {
    about(path).is_ok()
}

/// Whether a file, not a directory, is there.
pub fn is_file(path: &Path) -> bool {
    about(path).is_ok_and(|about| !about.directory)
}

/// Whether a directory is there.
pub fn is_dir(path: &Path) -> bool {
    about(path).is_ok_and(|about| about.directory)
}

/// When a file was last written, in seconds since 1970.
pub fn modified(path: &Path) -> io::Result<f64> {
    Ok(about(path)?.modified as f64 / 1000.0)
}

/// By what it shows that a file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    modified: u64,
}

/// The stamp of a file or directory, if it is there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    about(path).ok().map(|about| Stamp { bytes: about.bytes, modified: about.modified })
}

/// A file that is read in parts, by their positions.
#[derive(Debug)]
pub struct RandomAccessFile {
    bytes: u64,
    source: Source,
}

enum Source {
    Empty,
    Slot(Rc<Slot>),
    File(web_sys::File),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Source::Empty => "an empty file",
            Source::Slot(_) => "a file on the disk",
            Source::File(_) => "a file that was chosen or downloaded",
        })
    }
}

impl RandomAccessFile {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        match place(path)? {
            Place::Blob(path) => {
                let file = blobs::find(&path)?;
                Ok(Self { bytes: file.size() as u64, source: Source::File(file) })
            }
            Place::Disk(path) => match with(|disk| disk.open(&path))? {
                Some(slot) => Ok(Self { bytes: slot.store.bytes()?, source: Source::Slot(slot) }),
                None => Ok(Self { bytes: 0, source: Source::Empty }),
            },
            Place::Download(_) => Err(io::Error::new(io::ErrorKind::NotFound, "a download is not kept")),
            Place::Shelf(_) => Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a directory")),
        }
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Some of its bytes; an error if it does not have them.
    pub fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before these bytes");
        if range.start > range.end || range.end > self.bytes {
            return Err(short());
        }
        let want = range.end - range.start;
        let bytes = match &self.source {
            Source::Empty => Vec::new(),
            Source::Slot(slot) => read_slot(&*slot.store, range.start, want)?,
            Source::File(file) => blobs::read(file, range.start, range.end)?,
        };
        if bytes.len() as u64 == want { Ok(Cow::Owned(bytes)) } else { Err(short()) }
    }
}

/// At most `most` bytes of a file from byte `at` on, and how long the whole file is.
pub fn read_part(path: &Path, at: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let file = RandomAccessFile::open(path)?;
    let start = at.min(file.bytes());
    let bytes = file.part(start..start.saturating_add(most).min(file.bytes()))?.into_owned();
    Ok((bytes, file.bytes()))
}

/// At most the first `most` bytes of a file.
pub fn read_start(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    Ok(read_part(path, 0, most as u64)?.0)
}

/// All bytes of a file of settings, such as JSON or TOML.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, SETTINGS_LIMIT)
}

/// All bytes of a file that has at most `limit`.
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (bytes, length) = read_part(path, 0, limit)?;
    if length > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

/// Bytes of a file that can be read; an error says what else is there.
pub fn length(path: &Path) -> io::Result<u64> {
    Ok(RandomAccessFile::open(path)?.bytes())
}

/// Reads a file of settings as UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("this is not UTF-8 text ({})", error.utf8_error())))
}

/// Names of what is in a directory.
pub fn list(path: &Path) -> io::Result<Vec<String>> {
    match place(path)? {
        Place::Disk(path) => with(|disk| disk.list(&path)),
        Place::Shelf(path) => Ok(blobs::list(&path)),
        Place::Blob(_) | Place::Download(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "this is no directory")),
    }
}

/// The files whose paths match a pattern: a page names its files one by one.
pub fn matching(_pattern: &str) -> io::Result<Vec<std::path::PathBuf>> {
    Ok(Vec::new())
}

/// Makes a directory, and those it is in.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if let Place::Shelf(_) = place(path)? {
        return Ok(());
    }
    let path = on_disk(path)?;
    with(|disk| disk.make_dir(&path))
}

/// Makes a directory in one that exists; false if there is something of this name already.
pub fn claim_dir(path: &Path) -> io::Result<bool> {
    if exists(path) { Ok(false) } else { make_dir(path).map(|()| true) }
}

/// Removes a directory with all it holds, if it is there.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    let path = on_disk(path)?;
    with(|disk| disk.remove_dir(&path))
}

/// Removes a directory, as `remove_dir` does.
pub fn discard_dir(path: &Path) -> io::Result<()> {
    remove_dir(path)
}

/// Gives a directory another name; refused where there is something of that name already. `lock` may be
/// a file in it, let go after.
pub fn rename_dir(from: &Path, to: &Path, lock: Option<Lock>) -> io::Result<()> {
    let (from, to) = (on_disk(from)?, on_disk(to)?);
    let renamed = with(|disk| disk.rename(&from, &to));
    drop(lock);
    renamed
}

/// A directory with all its parts, or nothing. One that is dropped before it is finished leaves what was
/// there.
pub struct Commit(disk::Commit);

impl Commit {
    /// Begins the directory that `path` is to be.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self(disk::Commit::begin(on_disk(path)?)))
    }

    /// A file in it, to be written and ended before the whole is.
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        with(|disk| self.0.part(disk, name)).map(CommitPart)
    }

    /// Puts it in the place of what was there.
    pub fn finish(self) -> io::Result<()> {
        with(|disk| self.0.finish(disk))
    }

    /// Puts it where nothing is, or fails.
    pub fn finish_new(self) -> io::Result<()> {
        with(|disk| self.0.finish_new(disk))
    }
}

/// A file of a commit on its way.
pub struct CommitPart(disk::draft::CommitPart);

impl CommitPart {
    /// Waits until the whole part is on disk.
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

/// Replaces a file's contents, or leaves it as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomic(path, &mut |out| out.write_all(bytes))
}

/// Replaces a file's contents with what `write` writes, or leaves it as it was.
pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Output) -> io::Result<()>) -> io::Result<()> {
    if let Place::Download(name) = place(path)? {
        let mut download = Download::default();
        write(&mut download)?;
        return download.hand_over(&name);
    }
    put(path, &mut |draft| write(draft))
}

/// Makes a file of `length` bytes that begins with `start` and holds zeros behind, or none at all.
pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    put(path, &mut |draft| {
        draft.write_all(start)?;
        draft.extend(length)
    })
}

fn put(path: &Path, write: &mut dyn FnMut(&mut Draft) -> io::Result<()>) -> io::Result<()> {
    let path = on_disk(path)?;
    let mut draft = with(|disk| disk.draft())?;
    let written = write(&mut draft).and_then(|()| with(|disk| disk.put(&path, draft)));
    if written.is_err() {
        with(|disk| disk.sweep());
    }
    written
}

/// Adds to the end of a file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = on_disk(path)?;
    with(|disk| disk.append(&path, bytes))
}

/// Waits until what was added to files of a directory is on disk: each addition waits for itself.
pub fn sync(_dir: &Path, _names: &[&str]) -> io::Result<()> {
    Ok(())
}

/// Removes temporaries of writers that are gone. There are none: what is written has no name before it is whole.
pub fn sweep(_dir: &Path) {}

/// Removes temporaries of earlier versions, which left none either.
pub fn sweep_named<Held>(_dir: &Path, _owns: impl Fn(&str) -> Option<Held>) {}

/// A file that is written in places.
pub struct Places(Rc<Slot>);

impl Places {
    /// Opens a file that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = on_disk(path)?;
        let empty = || io::Error::new(io::ErrorKind::InvalidInput, "an empty file has no places to write to");
        with(|disk| disk.open(&path))?.map(Self).ok_or_else(empty)
    }

    /// Writes `bytes` from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.store.write(at, bytes)
    }

    /// Waits until all is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.0.store.flush()
    }
}

/// A lock held until dropped. Only one tab has the private storage, so it need not be seen by another.
#[derive(Debug)]
pub struct Lock(String);

impl Lock {
    /// Takes the lock; `None` if another holds it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let path = on_disk(path)?;
        Ok(with(|disk| disk.lock(&path))?.then(|| Self(path)))
    }

    /// Returns true if the lock is still held for its path. No other program moves a directory that holds a lock.
    pub fn is_in_place(&self) -> bool {
        with(|disk| disk.is_locked(&self.0))
    }

    /// Whether somebody holds the lock.
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
