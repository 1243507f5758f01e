//! Token ids on disk: each text is tokenized once per tokenizer, into a directory of the user's cache that is written
//! atomically. Small texts and the embedded corpus stay in memory.
//!
//! ```text
//! tokens/KEY/ids          ids, 2 bytes each, or 4 for vocabularies above 65,536
//!            documents    index in `ids` of each document's first id, then the number of ids: u64
//!            checksums    of each block of `ids`, then of `documents`, see `block_checksums.rs`
//!            about.json   counts, source files, the checksum of the file `checksums`, and its own checksum
//! ```

use super::block_checksums::{BlockWriter, Blocks};
use super::data_error::DataError;
use super::encode::{Callbacks, DocumentEncoder, IdSink, Reporter};
use super::text::{self, ChatRenderer, TextFormat, TextInput, feed, format_of};
use super::tokenizer::Tokenizer;
use crate::formats::{Checksum, Digest, FormatError, checksum, parse_checksummed_json, to_checksummed_json};
use crate::platform::{self, Commit, CommitPart, Lock, RandomAccessFile};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The version of tokenization, a part of each key; it is incremented when all files would give other
/// ids. A change that affects only some adds a mark to their keys.
const FORMAT: u64 = 1;
/// The file `documents` is held in memory up to this many bytes, since one training window over shuffled documents looks
/// up dozens of offsets.
const DOCUMENTS_IN_MEMORY: u64 = 64 << 20;
/// Texts whose files have up to this many bytes in total are not cached, but tokenized on each start.
const UNCACHED_BYTES: u64 = 1 << 20;

/// The file of the ids.
const IDS: &str = "ids";
/// The file of the document offsets.
const DOCUMENTS: &str = "documents";
/// The file of their checksums.
const CHECKSUMS: &str = "checksums";
/// The file of the metadata.
const ABOUT: &str = "about.json";

/// Advice for a damaged store.
const ADVICE: &str = "Delete it; the next run tokenizes the text again";

/// Metadata of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// The number of documents.
    pub documents: u64,
    /// The number of ids.
    pub tokens: u64,
    /// Bytes per id.
    pub width: usize,
    /// Bytes of the decompressed text; 0 if the input was ids.
    pub bytes: u64,
    /// The paths of the first 100 files, for information; none in memory.
    pub files: Vec<String>,
}

/// The ids or the document offsets of a store, with optional checksums.
struct StoreBytes {
    source: ByteStorage,
    blocks: Option<Blocks>,
}

/// Bytes in memory, or a file that is read on demand.
enum ByteStorage {
    Memory(Vec<u8>),
    File(RandomAccessFile),
}

impl ByteStorage {
    fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[range.start as usize..range.end as usize])),
            Self::File(file) => file.part(range),
        }
    }
}

impl StoreBytes {
    fn in_memory(bytes: Vec<u8>) -> Self {
        Self { source: ByteStorage::Memory(bytes), blocks: None }
    }

    /// Opens the file `name` of a store, which must have `bytes` bytes, and reads it into memory if it has at most `memory`.
    /// Its checksums are taken from the start of `sums`.
    fn open(dir: &Path, name: &str, bytes: u64, memory: u64, sums: &mut Option<&[u8]>) -> Result<Self, FormatError> {
        let failed = |error| read_error(dir, name, &error);
        let file = RandomAccessFile::open(&dir.join(name)).map_err(failed)?;
        if file.bytes() != bytes {
            return Err(damaged(dir, format!("the length of its file {name} is wrong")));
        }
        let blocks = sums.as_mut().map(|sums| {
            let (own, rest) = sums.split_at_checked(Blocks::bytes(bytes) as usize).ok_or_else(|| damaged(dir, "its file checksums is too short"))?;
            *sums = rest;
            Ok::<_, FormatError>(Blocks::new(bytes, own))
        });
        let blocks = blocks.transpose()?;
        let source = if bytes <= memory { ByteStorage::Memory(file.part(0..bytes).map_err(failed)?.into_owned()) } else { ByteStorage::File(file) };
        Ok(Self { source, blocks })
    }

    fn length(&self) -> u64 {
        match &self.source {
            ByteStorage::Memory(bytes) => bytes.len() as u64,
            ByteStorage::File(file) => file.bytes(),
        }
    }

    fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let part = self.source.part(range.clone())?;
        self.blocks.as_ref().map_or(Ok(()), |blocks| blocks.verify(range, |range| self.source.part(range)))?;
        Ok(part)
    }

    /// Verifies all blocks. `progress` receives the bytes read and the total; it returns false to stop.
    fn verify(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> io::Result<()> {
        const PART: u64 = 8 << 20;
        for start in (0..self.length()).step_by(PART as usize) {
            let end = self.length().min(start + PART);
            self.part(start..end)?;
            if !progress(end, self.length()) {
                break;
            }
        }
        Ok(())
    }
}

/// The token ids of a text.
pub struct TokenStore {
    info: StoreInfo,
    ids: StoreBytes,
    documents: StoreBytes,
    /// Its directory, if it is on disk.
    directory: Option<PathBuf>,
    vocabulary: usize,
}

/// Options of tokenization.
pub struct TokenizeOptions<'a> {
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The field to read from JSON Lines, or `auto`.
    pub field: &'a str,
    /// Renders conversations as text.
    pub chat: ChatRenderer<'a>,
    /// The directory of all stores; `None` to tokenize in memory.
    pub cache: Option<&'a Path>,
}

impl std::fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store of {} ids", self.info.tokens)
    }
}

impl TokenStore {
    /// A store of ids in memory.
    pub(super) fn of(ids: &[u32]) -> Self {
        let info = StoreInfo { documents: 1, tokens: ids.len() as u64, width: 4, ..StoreInfo::default() };
        let ends = [0, ids.len() as u64].iter().flat_map(|end| end.to_le_bytes()).collect();
        Self {
            info,
            ids: StoreBytes::in_memory(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
            documents: StoreBytes::in_memory(ends),
            directory: None,
            vocabulary: usize::MAX,
        }
    }

    /// Tokenizes embedded text.
    pub fn embedded(text: &'static str, options: &TokenizeOptions<'_>) -> Result<Self, DataError> {
        options.in_memory(&[TextInput::Embedded(text)], text.len() as u64, &mut Callbacks { stop: &|| false, progress: &mut |_| {} })
    }

    /// Loads the ids of `files` from the cache, or tokenizes the files.
    pub fn open(files: &[PathBuf], options: &TokenizeOptions<'_>, callbacks: &mut Callbacks<'_>) -> Result<Self, DataError> {
        let mut bytes = 0;
        for path in files {
            bytes += platform::length(path).map_err(|error| FormatError::new(path, format!("cannot be read: {error}")))?;
        }
        let inputs: Vec<TextInput> = files.iter().cloned().map(TextInput::File).collect();
        let Some(cache) = options.cache.filter(|_| bytes > UNCACHED_BYTES) else { return options.in_memory(&inputs, bytes, callbacks) };
        remove_leftovers(cache);
        let key = options.key(files, bytes, callbacks)?;
        let dir = cache.join(format!("{key:016x}"));
        let at = |error| DataError::Cache { path: dir.clone(), error };
        if let Ok(store) = Self::open_dir(&dir, options) {
            return Ok(store);
        }
        platform::make_dir(cache).map_err(at)?;
        let lock = cache.join(format!("{key:016x}.lock"));
        let _lock = loop {
            match Lock::try_acquire(&lock).map_err(at)? {
                Some(lock) => break lock,
                None if (callbacks.stop)() => return Err(DataError::Stopped),
                // Another process tokenizes the same text.
                None => platform::block_for(0.2),
            }
        };
        if let Ok(store) = Self::open_dir(&dir, options) {
            return Ok(store);
        }
        options.on_disk(&inputs, bytes, &dir, callbacks)?;
        Ok(Self::open_dir(&dir, options)?)
    }

    /// Opens a directory of the cache.
    fn open_dir(dir: &Path, options: &TokenizeOptions<'_>) -> Result<Self, FormatError> {
        Self::in_directory(dir, options.tokenizer.vocabulary()).map(|(store, _)| store)
    }

    /// Opens a directory of the cache. The second value is true if it has checksums.
    fn in_directory(dir: &Path, vocabulary: usize) -> Result<(Self, bool), FormatError> {
        let (info, sum) = info(dir)?;
        let sums = sum.map(|sum| {
            let sums = platform::read(&dir.join(CHECKSUMS)).map_err(|error| read_error(dir, CHECKSUMS, &error))?;
            if Digest::of(&sums) == sum { Ok(sums) } else { Err(damaged(dir, "the checksum of its file checksums does not match")) }
        });
        let sums = sums.transpose()?;
        let mut rest = sums.as_deref();
        let ids = StoreBytes::open(dir, IDS, info.tokens.saturating_mul(info.width as u64), 0, &mut rest)?;
        let documents = StoreBytes::open(dir, DOCUMENTS, info.documents.saturating_add(1).saturating_mul(8), DOCUMENTS_IN_MEMORY, &mut rest)?;
        Ok((Self { info, ids, documents, directory: Some(dir.to_path_buf()), vocabulary }, sums.is_some()))
    }

    /// Verifies a directory of the cache; returns true if it has checksums. `progress` receives the bytes read and the
    /// total; it returns false to stop.
    pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool, FormatError> {
        let (store, sums) = Self::in_directory(dir, usize::MAX)?;
        store.documents.verify(&mut |_, _| true).map_err(|error| read_error(dir, DOCUMENTS, &error))?;
        store.ids.verify(progress).map_err(|error| read_error(dir, IDS, &error))?;
        (0..store.info.documents).try_for_each(|n| store.range_of(n).map(drop))?;
        Ok(sums)
    }

    /// The metadata.
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// Its directory, if it is on disk.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Its directory for errors; empty if it is in memory, where reads do not fail.
    fn path(&self) -> &Path {
        self.directory.as_deref().unwrap_or(Path::new(""))
    }

    /// The range of a document's ids.
    pub fn document(&self, n: u64) -> Result<Range<u64>, DataError> {
        Ok(self.range_of(n)?)
    }

    fn range_of(&self, n: u64) -> Result<Range<u64>, FormatError> {
        let bytes = self.documents.part(8 * n..8 * n + 16).map_err(|error| read_error(self.path(), DOCUMENTS, &error))?;
        let words = bytes.as_chunks().0;
        let range = u64::from_le_bytes(words[0])..u64::from_le_bytes(words[1]);
        let valid = range.start <= range.end && range.end <= self.info.tokens;
        if valid { Ok(range) } else { Err(damaged(self.path(), format!("the offsets of document {n} are invalid"))) }
    }

    /// Appends a range of ids to `out`.
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u32>) -> Result<(), DataError> {
        let width = self.info.width as u64;
        let bytes = self.ids.part(range.start * width..range.end * width).map_err(|error| read_error(self.path(), IDS, &error))?;
        let first = out.len();
        match width {
            2 => out.extend(bytes.as_chunks().0.iter().map(|id| u32::from(u16::from_le_bytes(*id)))),
            _ => out.extend(bytes.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id))),
        }
        match out[first..].iter().find(|&&id| id as usize >= self.vocabulary) {
            Some(id) => Err(damaged(self.path(), format!("it contains the id {id}, but the tokenizer has {} tokens", self.vocabulary)).into()),
            None => Ok(()),
        }
    }
}

/// The error of a damaged store.
fn damaged(dir: &Path, reason: impl std::fmt::Display) -> FormatError {
    FormatError::new(dir, format!("is damaged: {reason}. {ADVICE}"))
}

/// The error of a failed read of a store's file: the store is damaged, or the disk failed.
fn read_error(dir: &Path, file: &str, error: &io::Error) -> FormatError {
    match error.kind() {
        io::ErrorKind::NotFound => damaged(dir, format!("its file {file} is missing")),
        io::ErrorKind::UnexpectedEof => damaged(dir, format!("its file {file} is too short")),
        io::ErrorKind::InvalidData => damaged(dir, format!("in its file {file}, {error}")),
        _ => FormatError::new(&dir.join(file), format!("cannot be read: {error}")),
    }
}

/// Removes leftovers of killed processes from a cache, also those of earlier versions, `.KEY.part`.
fn remove_leftovers(cache: &Path) {
    platform::remove_leftovers(cache);
    let is_key = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    platform::remove_old_leftovers(cache, |name| if is_key(name) { Lock::try_acquire(&cache.join(format!("{name}.lock"))).ok()? } else { None });
}

/// Reads `about.json` of a cache directory: the metadata, and the digest of the file `checksums` if there is one.
fn info(dir: &Path) -> Result<(StoreInfo, Option<Digest>), FormatError> {
    let file = dir.join(ABOUT);
    let text = platform::read_text(&file).map_err(|error| read_error(dir, ABOUT, &error))?;
    // The error says that the file is damaged, or describes the JSON.
    let value = parse_checksummed_json(&file, &text).map_err(|error| FormatError::new(&file, format!("{}. {ADVICE}", error.reason)))?;
    let failed = |error: serde_json::Error| damaged(dir, format!("in its file {ABOUT}, {error}"));
    let sum = value.get("checksums").map(Digest::deserialize).transpose().map_err(failed)?;
    let info: StoreInfo = serde_json::from_value(value).map_err(failed)?;
    if info.width == 2 || info.width == 4 { Ok((info, sum)) } else { Err(damaged(dir, "its ids have neither 2 nor 4 bytes")) }
}

/// Returns true if a directory is a store.
pub fn is_store(dir: &Path) -> bool {
    [IDS, DOCUMENTS, ABOUT].iter().all(|name| platform::is_file(&dir.join(name)))
}

/// The number of stores in a cache, and their bytes.
pub fn count_stores(cache: &Path) -> (usize, u64) {
    let names = platform::list(cache).unwrap_or_default();
    let sizes = names.iter().filter_map(|name| info(&cache.join(name)).ok()).map(|(info, _)| info.tokens * info.width as u64 + 8 * info.documents + 8);
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

impl TokenizeOptions<'_> {
    /// The text of the end token; empty without one.
    fn end(&self) -> String {
        self.tokenizer.end().and_then(|id| self.tokenizer.decode(&[id], true).ok()).unwrap_or_default()
    }

    fn width(&self) -> usize {
        if self.tokenizer.vocabulary() <= 1 << 16 { 2 } else { 4 }
    }

    /// Returns the key of `files`: a hash of everything that determines their ids.
    fn key(&self, files: &[PathBuf], bytes: u64, callbacks: &mut Callbacks<'_>) -> Result<u64, DataError> {
        let mut reporter = Reporter::new(callbacks, false, bytes);
        let json = self.tokenizer.to_json()?;
        let mut key = checksum(FORMAT, json.as_bytes());
        // Earlier versions matched regular expressions differently from Oniguruma, and could give other ids.
        if json.contains("\"Regex\": \"") {
            key = checksum(key, b"oniguruma");
        }
        if self.tokenizer.splits_special() {
            key = checksum(key, b"split");
        }
        // The end token may come from the model instead of the tokenizer.
        key = checksum(key, self.end().as_bytes());
        if files.iter().any(|path| format_of(path) == TextFormat::JsonLines) {
            key = checksum(checksum(key, self.field.as_bytes()), &self.chat.id.to_le_bytes());
        }
        let mut done = 0;
        for path in files {
            let failed = |error| FormatError::new(path, format!("cannot be read: {error}"));
            let length = platform::length(path).map_err(failed)?;
            let mut sum = Checksum::new(checksum(key, &[u8::from(format_of(path) == TextFormat::JsonLines)]), length);
            let mut at = 0;
            key = loop {
                let (piece, now) = platform::read_part(path, at, text::PIECE as u64).map_err(failed)?;
                if now != length {
                    return Err(failed(io::Error::other("another program is writing to it")).into());
                }
                if at == 0 && format_of(path) == TextFormat::Text && piece.starts_with("\u{feff}".as_bytes()) {
                    // Earlier versions included the byte order mark in the text, so such files have another key.
                    sum = Checksum::new(checksum(key, b"mark"), length);
                }
                at += piece.len() as u64;
                reporter.advance(done + at)?;
                let (words, rest) = piece.split_at(piece.len() / 8 * 8);
                sum = sum.with(words);
                if at == length {
                    break sum.finish(rest);
                }
            };
            done += length;
        }
        Ok(key)
    }

    /// Passes the ids of all documents to `out`. Returns the size of their text in bytes.
    fn tokenize(&self, inputs: &[TextInput], bytes: u64, out: &mut dyn IdSink, callbacks: &mut Callbacks<'_>) -> Result<u64, DataError> {
        let mut encoder = DocumentEncoder::new(self.tokenizer, out, Reporter::new(callbacks, true, bytes));
        feed(inputs, &self.end(), self.field, self.chat, &mut encoder)?;
        encoder.flush()?;
        Ok(encoder.bytes)
    }

    fn in_memory(&self, inputs: &[TextInput], bytes: u64, callbacks: &mut Callbacks<'_>) -> Result<TokenStore, DataError> {
        let mut writer = IdWriter { ids: Vec::new(), documents: 0u64.to_le_bytes().to_vec(), info: StoreInfo { width: self.width(), ..StoreInfo::default() } };
        let bytes = self.tokenize(inputs, bytes, &mut writer, callbacks)?;
        let IdWriter { ids, documents, info } = writer;
        let vocabulary = self.tokenizer.vocabulary();
        Ok(TokenStore {
            info: StoreInfo { bytes, ..info },
            ids: StoreBytes::in_memory(ids),
            documents: StoreBytes::in_memory(documents),
            directory: None,
            vocabulary,
        })
    }

    fn on_disk(&self, inputs: &[TextInput], bytes: u64, dir: &Path, callbacks: &mut Callbacks<'_>) -> Result<(), DataError> {
        let at = |error| DataError::Cache { path: dir.to_path_buf(), error };
        let mut commit = Commit::begin(dir).map_err(at)?;
        let mut part = |name| commit.part(name).map(BlockWriter::new).map_err(at);
        let (ids, mut documents) = (part(IDS)?, part(DOCUMENTS)?);
        documents.write_all(&0u64.to_le_bytes()).map_err(at)?;
        let mut writer = DiskSink { dir, writer: IdWriter { ids, documents, info: StoreInfo { width: self.width(), ..StoreInfo::default() } } };
        let bytes = self.tokenize(inputs, bytes, &mut writer, callbacks)?;
        let IdWriter { ids, documents, info } = writer.writer;
        let name = |input: &TextInput| if let TextInput::File(path) = input { path.display().to_string() } else { String::new() };
        // For information; a list of thousands would not help.
        let files = inputs.iter().take(100).map(name).collect();
        let ((ids, mut sums), (documents, more)) = (ids.finish(), documents.finish());
        sums.extend(more);
        ids.end().and_then(|()| documents.end()).map_err(at)?;
        let mut info = serde_json::to_value(StoreInfo { bytes, files, ..info }).expect("plain data serializes");
        info["checksums"] = Digest::of(&sums).to_string().into();
        for (name, bytes) in [(CHECKSUMS, &sums[..]), (ABOUT, to_checksummed_json(info).as_bytes())] {
            let mut part = commit.part(name).map_err(at)?;
            part.write_all(bytes).and_then(|()| part.end()).map_err(at)?;
        }
        commit.finish().map_err(at)
    }
}

/// Writes ids and the ends of documents.
struct IdWriter<W> {
    ids: W,
    documents: W,
    info: StoreInfo,
}

impl<W: Write> IdWriter<W> {
    fn put(&mut self, ids: &[u32]) -> io::Result<()> {
        self.info.tokens += ids.len() as u64;
        let bytes: Vec<u8> = match self.info.width {
            2 => ids.iter().flat_map(|&id| (id as u16).to_le_bytes()).collect(),
            _ => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        };
        self.ids.write_all(&bytes)
    }

    fn end_document(&mut self) -> io::Result<()> {
        self.info.documents += 1;
        self.documents.write_all(&self.info.tokens.to_le_bytes())
    }
}

impl IdSink for IdWriter<Vec<u8>> {
    fn put(&mut self, ids: &[u32]) -> Result<(), DataError> {
        IdWriter::put(self, ids).expect("writing to memory succeeds");
        Ok(())
    }

    fn end_document(&mut self) -> Result<(), DataError> {
        IdWriter::end_document(self).expect("writing to memory succeeds");
        Ok(())
    }
}

/// An [`IdWriter`] to disk, whose errors name the directory.
struct DiskSink<'a> {
    dir: &'a Path,
    writer: IdWriter<BlockWriter<CommitPart>>,
}

impl IdSink for DiskSink<'_> {
    fn put(&mut self, ids: &[u32]) -> Result<(), DataError> {
        self.writer.put(ids).map_err(|error| DataError::Cache { path: self.dir.to_path_buf(), error })
    }

    fn end_document(&mut self) -> Result<(), DataError> {
        self.writer.end_document().map_err(|error| DataError::Cache { path: self.dir.to_path_buf(), error })
    }
}
