//! A teacher cache on disk: the teacher's top-k probabilities at every position of every window of a corpus, and the
//! remaining probability as one bucket (`docs/formats.md`).
//!
//! Each window has a checksum over its token ids and probabilities, so an interrupted or reordered write never counts
//! as complete. The header names the [`Origin`]: everything that the contents depend on.

mod verify_cache;

pub use verify_cache::VerifiedWindows;

use super::batches::{Batch, TopK, grid_windows};
use super::corpus::Corpus;
use super::data_error::DataError;
use crate::formats::safetensors::{Dtype, HeaderEntry, TensorFile, add_header_sum, write_header};
use crate::formats::{FormatError, TensorSource, checksum};
use crate::platform::{self, Lock, PositionedWriter};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the format.
const FORMAT: &str = "1";
/// The file name in the cache's directory.
const FILE: &str = "teacher.safetensors";
/// A probability of 1, as stored.
pub const SHARE_SCALE: u32 = 65_535;

/// An error of reading or writing a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file cannot be parsed.
    #[error(transparent)]
    File(#[from] FormatError),
    /// The corpus cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The file cannot be read or written.
    #[error("{}: {error}{}. Completed windows are kept: run the same command again", path.display(), platform::space_advice_suffix(error))]
    Io {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// Another process is writing it.
    #[error("{}: the cache is locked by another process that writes it. Wait for it, or choose another directory", .0.display())]
    InUse(PathBuf),
    /// It was made from other inputs.
    #[error("{}: the teacher cache was made with other settings: {differs}. Make one for these with `signet teach` in another directory", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The values that differ, of the cache and expected.
        differs: String,
    },
    /// Some windows are missing.
    #[error("{}: {missing} of {windows} windows are missing. Run the same `signet teach` command to add them", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Missing windows.
        missing: usize,
        /// Windows in all.
        windows: usize,
    },
    /// The run was started with another cache.
    #[error("{}: is not the teacher cache of this run ({then}). Restore that one, or start a new run", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The identity of the run's cache.
        then: String,
    },
    /// A window's checksum does not match.
    #[error("{}: window {window} is damaged, or of other text. Run the `signet teach` command again to make it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The window's index.
        window: usize,
    },
}

/// Everything that a cache's contents depend on, except for a device's rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Checksum of the teacher's file; `None` accepts any.
    pub teacher: Option<u64>,
    /// Size of the teacher's vocabulary.
    pub vocabulary: usize,
    /// Tokens per window; windows begin at multiples of it.
    pub seq: usize,
    /// Temperature of the probabilities.
    pub temperature: f64,
    /// Tokens stored per position; `None` accepts any number.
    pub top: Option<usize>,
    /// The numbers of training and held-out ids, and a checksum of both, which covers text, tokenizer and split.
    pub text: (usize, usize, u64),
}

impl Origin {
    /// Identifies a corpus.
    pub fn text(corpus: &Corpus) -> Result<(usize, usize, u64), DataError> {
        Ok((corpus.train.len(), corpus.held_out.len(), corpus.held_out.checksum(corpus.train.checksum(0)?)?))
    }

    fn fields(&self) -> [(&'static str, Option<String>); 6] {
        let (train, held_out, sum) = self.text;
        [
            ("teacher", self.teacher.map(|sum| format!("{sum:016x}"))),
            ("vocabulary", Some(self.vocabulary.to_string())),
            ("seq", Some(self.seq.to_string())),
            ("temperature", Some(self.temperature.to_string())),
            ("top", self.top.map(|top| top.to_string())),
            ("text", Some(format!("{train} + {held_out} tokens {sum:016x}"))),
        ]
    }

    /// Describes the values that differ from a file's, if any.
    fn differences(&self, file: &TensorFile) -> Option<String> {
        let differs: Vec<String> = (self.fields().into_iter())
            .filter_map(|(name, now)| {
                let (then, now) = (file.metadata(name).unwrap_or("missing"), now?);
                (then != now).then(|| format!("{name} was {then}, is {now}"))
            })
            .collect();
        (!differs.is_empty()).then(|| differs.join("; "))
    }
}

/// The windows of a cache: those of the training text, then those of the held-out text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowGrid {
    seq: usize,
    train: usize,
    held_out: usize,
}

impl WindowGrid {
    /// All windows of `seq` tokens in texts of these lengths.
    pub fn new(train: usize, held_out: usize, seq: usize) -> Self {
        Self { seq, train: grid_windows(train, seq), held_out: grid_windows(held_out, seq) }
    }

    /// The number of windows.
    pub fn windows(&self) -> usize {
        self.train + self.held_out
    }

    /// The window that begins at a training token.
    pub fn train_window(&self, start: usize) -> usize {
        start / self.seq
    }

    /// The n-th held-out window, modulo their number.
    pub fn held_out_window(&self, n: usize) -> usize {
        self.train + n % self.held_out
    }

    /// Reads the tokens of a window.
    pub fn tokens(&self, corpus: &Corpus, window: usize) -> Result<Vec<u32>, DataError> {
        let (text, n) = if window < self.train { (&corpus.train, window) } else { (&corpus.held_out, window - self.train) };
        text.read(n * self.seq..(n + 1) * self.seq)
    }
}

/// The layout of the file.
#[derive(Clone, Copy, Debug)]
struct CacheLayout {
    grid: WindowGrid,
    top: usize,
    /// Bytes per id.
    id: usize,
    /// True if the file has checksums of the windows' texts; without them, verifying a window needs the text.
    texts: bool,
}

impl CacheLayout {
    fn new(grid: WindowGrid, top: usize, vocabulary: usize) -> Self {
        Self { grid, top, id: if vocabulary <= 1 << 16 { 2 } else { 4 }, texts: true }
    }

    /// Values per window: positions × top.
    fn values(&self) -> usize {
        self.grid.seq * self.top
    }

    fn tensors(&self) -> Vec<HeaderEntry> {
        let shape = vec![self.grid.windows(), self.grid.seq, self.top];
        let ids = if self.id == 2 { Dtype::U16 } else { Dtype::U32 };
        let sums = |name: &str| (name.to_string(), Dtype::U64, vec![self.grid.windows()]);
        let texts = self.texts.then(|| sums(TEXTS));
        [sums("checksums"), ("ids".into(), ids, shape.clone()), ("shares".into(), Dtype::U16, shape)].into_iter().chain(texts).collect()
    }

    /// Bytes after the header; may exceed `usize` on 32-bit targets.
    fn bytes(&self) -> u64 {
        let (windows, values) = (self.grid.windows() as u64, self.values() as u64);
        let sums = if self.texts { 16 } else { 8 };
        windows * (sums + values * (self.id as u64 + 2))
    }

    /// Byte offsets after the header of a window's checksum, ids, shares and text checksum.
    fn offsets(&self, window: usize) -> [u64; 4] {
        let (windows, window) = (self.grid.windows() as u64, window as u64);
        let (id_bytes, share_bytes) = ((self.values() * self.id) as u64, self.values() as u64 * 2);
        let ids = 8 * windows;
        let shares = ids + windows * id_bytes;
        let texts = shares + windows * share_bytes;
        [8 * window, ids + window * id_bytes, shares + window * share_bytes, texts + 8 * window]
    }
}

/// The tensor with the checksums of the windows' texts.
const TEXTS: &str = "texts";

fn text_sum(tokens: &[u32]) -> u64 {
    checksum(0, bytemuck::cast_slice(tokens))
}

fn window_sum(text: u64, ids: &[u8], shares: &[u8]) -> u64 {
    checksum(checksum(text, ids), shares)
}

/// The ids and shares of a window, as stored.
type Window<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A complete teacher cache.
pub struct TeacherCache {
    file: TensorFile,
    layout: CacheLayout,
    vocabulary: usize,
}

impl TeacherCache {
    /// Bytes of a cache on disk.
    pub fn bytes(origin: &Origin, top: usize) -> u64 {
        CacheLayout::new(WindowGrid::new(origin.text.0, origin.text.1, origin.seq), top, origin.vocabulary).bytes()
    }

    /// Reads from the header of the cache in `dir`: the size of the teacher's vocabulary, and the tokens per position.
    pub fn header(dir: &Path) -> Result<(usize, usize), CacheError> {
        let file = open_file(dir)?;
        Ok((number(&file, "vocabulary")?, number(&file, "top")?))
    }

    /// Opens the cache in `dir`, which must be complete and made from `origin`.
    pub fn open(dir: &Path, origin: &Origin) -> Result<Self, CacheError> {
        let cache = Self::open_any(dir, origin)?;
        let missing = cache.sums()?.iter().filter(|&&sum| sum == 0).count();
        if missing > 0 {
            return Err(CacheError::Unfinished { path: cache.file.path().to_path_buf(), missing, windows: cache.layout.grid.windows() });
        }
        Ok(cache)
    }

    fn open_any(dir: &Path, origin: &Origin) -> Result<Self, CacheError> {
        let file = open_file(dir)?;
        let path = file.path().to_path_buf();
        if let Some(differs) = origin.differences(&file) {
            return Err(CacheError::Differs { path, differs });
        }
        let grid = WindowGrid::new(origin.text.0, origin.text.1, origin.seq);
        let layout = CacheLayout::new(grid, number(&file, "top")?, origin.vocabulary);
        Self::with_layout(file, layout, origin.vocabulary)
    }

    /// Opens a file, which must have the tensors of this layout.
    fn with_layout(file: TensorFile, layout: CacheLayout, vocabulary: usize) -> Result<Self, CacheError> {
        let path = file.path().to_path_buf();
        // Files of earlier versions lack the texts' checksums.
        let layout = CacheLayout { texts: file.dtype(TEXTS).is_some(), ..layout };
        if layout.texts && !file.has_header_sum() {
            return Err(FormatError::new(&path, "its header is damaged: the checksum of it is missing").into());
        }
        for (name, dtype, shape) in layout.tensors() {
            let (found, have) = file.dtype(&name).zip(file.shape(&name)).ok_or_else(|| FormatError::new(&path, format!("has no tensor {name}")))?;
            if found != dtype || have != &shape[..] {
                return Err(FormatError::new(&path, format!("tensor {name} is {found:?} {have:?}; {dtype:?} {shape:?} is needed")).into());
            }
        }
        Ok(Self { file, layout, vocabulary })
    }

    /// The windows.
    pub fn grid(&self) -> WindowGrid {
        self.layout.grid
    }

    /// Tokens stored per position.
    pub fn top(&self) -> usize {
        self.layout.top
    }

    /// Returns an error if its identity is not `then`.
    pub fn expect(&self, then: &str) -> Result<(), CacheError> {
        if self.identity()? == then { Ok(()) } else { Err(CacheError::Replaced { path: self.file.path().to_path_buf(), then: then.into() }) }
    }

    /// Identifies the cache: a checksum of its inputs and contents.
    pub fn identity(&self) -> Result<String, CacheError> {
        Ok(format!("top {} {:016x}", self.layout.top, checksum(0, &self.file.raw("checksums")?.2)))
    }

    fn sums(&self) -> Result<Vec<u64>, CacheError> {
        self.words("checksums")
    }

    fn words(&self, name: &str) -> Result<Vec<u64>, CacheError> {
        Ok(self.file.raw(name)?.2.as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect())
    }

    /// Reads a window's ids and shares, as stored.
    fn values(&self, window: usize) -> Result<Window<'_>, CacheError> {
        let part = |name: &str, size: usize| self.file.raw_part(name, window * size..(window + 1) * size);
        let values = self.layout.values();
        Ok((part("ids", values * self.layout.id)?, part("shares", values * 2)?))
    }

    /// Reads a window's ids and shares, as stored; `None` if the checksum does not match.
    fn window(&self, window: usize, tokens: &[u32]) -> Result<Option<Window<'_>>, CacheError> {
        let (ids, shares) = self.values(window)?;
        let sum = self.file.raw_part("checksums", 8 * window..8 * window + 8)?;
        Ok((sum[..] == window_sum(text_sum(tokens), &ids, &shares).to_le_bytes()).then_some((ids, shares)))
    }

    /// Returns true if the checksum of a window's text matches, or the file has none.
    fn has_text(&self, window: usize, tokens: &[u32]) -> Result<bool, CacheError> {
        Ok(!self.layout.texts || self.file.raw_part(TEXTS, 8 * window..8 * window + 8)?[..] == text_sum(tokens).to_le_bytes())
    }

    /// Sets the teacher's probabilities of a batch, whose rows are these windows of the grid.
    pub fn set_top_k(&self, batch: &mut Batch, windows: impl IntoIterator<Item = usize>) -> Result<(), CacheError> {
        let mut top_k = TopK::default();
        for (window, tokens) in windows.into_iter().zip(batch.tokens.chunks(self.layout.grid.seq)) {
            let damaged = || CacheError::Damaged { path: self.file.path().to_path_buf(), window };
            let (ids, shares) = self.window(window, tokens)?.ok_or_else(damaged)?;
            self.decode(&ids, &shares, &mut top_k).ok_or_else(damaged)?;
        }
        batch.top_k = Some(top_k);
        Ok(())
    }

    /// Decodes a window; `None` if ids are not ascending or exceed the vocabulary, or shares exceed 1.
    fn decode(&self, ids: &[u8], shares: &[u8], top_k: &mut TopK) -> Option<()> {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let top = self.layout.top;
        for (ids, shares) in ids.chunks(top * self.layout.id).zip(shares.chunks(top * 2)) {
            let first = top_k.ids.len();
            top_k.ids.extend(ids.chunks(self.layout.id).map(word));
            let mut rest = SHARE_SCALE;
            for share in shares.chunks(2).map(word) {
                rest = rest.checked_sub(share)?;
                top_k.shares.push(share as f32 / SHARE_SCALE as f32);
            }
            top_k.shares.push(rest as f32 / SHARE_SCALE as f32);
            let ids = &top_k.ids[first..];
            if !ids.is_sorted_by(|a, b| a < b) || ids.last().is_some_and(|&id| id as usize >= self.vocabulary) {
                return None;
            }
        }
        Some(())
    }
}

/// Opens the file of the cache in `dir`; refuses files of other kinds or a newer format.
fn open_file(dir: &Path) -> Result<TensorFile, FormatError> {
    let path = dir.join(FILE);
    if !platform::exists(&path) {
        return Err(FormatError::new(&path, "no such file. Make a teacher cache with `signet teach`"));
    }
    let file = TensorFile::open(&path)?;
    match file.metadata("signet.teacher_cache") {
        Some(FORMAT) => Ok(file),
        Some(other) => Err(FormatError::new(&path, format!("made by a newer Signet (cache format {other}; this one reads {FORMAT}). Update Signet"))),
        None => Err(FormatError::new(&path, "is not a teacher cache. Make one with `signet teach`")),
    }
}

fn number(file: &TensorFile, name: &str) -> Result<usize, FormatError> {
    file.metadata(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| FormatError::new(file.path(), format!("is not a teacher cache: its metadata lack {name}")))
}

/// Writes a cache, window by window.
pub struct CacheWriter {
    path: PathBuf,
    layout: CacheLayout,
    writer: PositionedWriter,
    /// The first byte after the header.
    data: u64,
    missing: Vec<usize>,
    _lock: Lock,
}

impl CacheWriter {
    /// Creates the file, or opens it if it exists and was made from the same `origin`; complete windows are kept.
    pub fn open(dir: &Path, origin: &Origin, corpus: &Corpus, notes: &[(&str, String)]) -> Result<Self, CacheError> {
        let path = dir.join(FILE);
        let at = |error| CacheError::Io { path: path.clone(), error };
        let top = origin.top.expect("a writer's origin has a number of tokens");
        let layout = CacheLayout::new(WindowGrid::new(origin.text.0, origin.text.1, origin.seq), top, origin.vocabulary);
        platform::make_dir(dir).map_err(at)?;
        let lock = Lock::try_acquire(&dir.join(".lock")).map_err(at)?.ok_or_else(|| CacheError::InUse(dir.to_path_buf()))?;
        platform::remove_leftovers(dir);
        platform::remove_old_leftovers(dir, |name| (name == FILE).then_some(()));
        if !platform::exists(&path) {
            let fields = origin.fields().map(|(name, value)| (name.to_string(), value.expect("a writer's origin has all fields")));
            let notes = notes.iter().map(|(name, text)| (name.to_string(), text.clone()));
            let format = [("signet.teacher_cache".to_string(), FORMAT.to_string())];
            let mut metadata: BTreeMap<String, String> = format.into_iter().chain(fields).chain(notes).collect();
            let tensors = layout.tensors();
            add_header_sum(&tensors, &mut metadata);
            let mut header = Vec::new();
            write_header(&mut header, &tensors, &metadata).map_err(at)?;
            platform::reserve(&path, &header, header.len() as u64 + layout.bytes()).map_err(at)?;
        }
        let existing = TeacherCache::open_any(dir, origin)?;
        let layout = existing.layout;
        let mut missing = Vec::new();
        for window in 0..layout.grid.windows() {
            let tokens = layout.grid.tokens(corpus, window)?;
            if existing.window(window, &tokens)?.is_none() || !existing.has_text(window, &tokens)? {
                missing.push(window);
            }
        }
        let data = existing.file.data_start();
        drop(existing);
        let writer = PositionedWriter::open(&path).map_err(at)?;
        Ok(Self { path, layout, writer, data, missing, _lock: lock })
    }

    /// The windows.
    pub fn grid(&self) -> WindowGrid {
        self.layout.grid
    }

    /// The missing windows, ascending.
    pub fn missing(&self) -> &[usize] {
        &self.missing
    }

    /// Writes a window: for each position the top ids, ascending, and their probabilities in units of 1 / [`SHARE_SCALE`].
    pub fn write(&mut self, window: usize, tokens: &[u32], ids: &[u32], shares: &[u16]) -> Result<(), CacheError> {
        assert!(ids.len() == self.layout.values() && shares.len() == ids.len(), "{} ids and {} shares for a window", ids.len(), shares.len());
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes().into_iter().take(self.layout.id)).collect();
        let shares: Vec<u8> = shares.iter().flat_map(|share| share.to_le_bytes()).collect();
        let text = text_sum(tokens);
        let sum = window_sum(text, &ids, &shares).to_le_bytes();
        let [sum_at, ids_at, shares_at, text_at] = self.layout.offsets(window).map(|at| self.data + at);
        let text = self.layout.texts.then(|| (text_at, text.to_le_bytes()));
        let text = text.iter().map(|(at, bytes)| (*at, &bytes[..]));
        for (at, bytes) in [(ids_at, &ids[..]), (shares_at, &shares)].into_iter().chain(text).chain([(sum_at, &sum[..])]) {
            self.writer.write(at, bytes).map_err(|error| CacheError::Io { path: self.path.clone(), error })?;
        }
        Ok(())
    }

    /// Waits until all writes are on disk.
    pub fn sync(&self) -> Result<(), CacheError> {
        self.writer.sync().map_err(|error| CacheError::Io { path: self.path.clone(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_beyond_4_gib_are_right() {
        let layout = CacheLayout::new(WindowGrid { seq: 2048, train: 3000, held_out: 1000 }, 256, 1 << 17);
        assert_eq!(layout.bytes(), 4000 * (16 + 2048 * 256 * 6));
        let [sum, ids, shares, text] = layout.offsets(3999);
        assert_eq!((sum, ids, text + 8), (8 * 3999, 8 * 4000 + 3999 * 2048 * 256 * 4, layout.bytes()));
        assert_eq!(shares, 8 * 4000 + 4000 * 2048 * 256 * 4 + 3999 * 2048 * 256 * 2);
    }

    /// Reading a truncated file through a memory map would end the test's process with a signal.
    #[test]
    fn a_cache_truncated_while_it_is_read_gives_an_error() {
        let dir = std::env::temp_dir().join(format!("signet-cut-cache-{}", std::process::id()));
        platform::remove_dir(&dir).unwrap();
        let corpus = Corpus { train: (0..4096).collect::<Vec<u32>>().into(), held_out: (0..512).collect::<Vec<u32>>().into() };
        let origin = Origin { teacher: Some(1), vocabulary: 4096, seq: 256, temperature: 1.0, top: Some(8), text: Origin::text(&corpus).unwrap() };
        let writer = CacheWriter::open(&dir, &origin, &corpus, &[]).unwrap();
        assert_eq!(writer.missing().len(), writer.grid().windows());
        let cache = TeacherCache::open_any(&dir, &origin).unwrap();
        let tokens = cache.grid().tokens(&corpus, 3).unwrap();
        assert!(cache.window(3, &tokens).unwrap().is_none());
        std::fs::File::options().write(true).open(dir.join(FILE)).unwrap().set_len(cache.file.data_start() + 100).unwrap();
        let problem = cache.window(3, &tokens).err().unwrap().to_string();
        assert!(problem.contains(FILE) && problem.contains("ends before"), "{problem}");
        drop(writer);
        platform::remove_dir(&dir).unwrap();
    }
}
