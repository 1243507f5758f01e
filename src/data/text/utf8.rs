//! UTF-8 text in pieces or in lines, from a file that may be compressed.

use super::format::TextInput;
use super::unpack::{PIECE, Unpacked};
use crate::formats::FormatError;
use crate::formats::content::{self, ContentKind};
use std::path::{Path, PathBuf};

/// The longest line, in bytes: a line is held in memory as a whole.
const MAX_LINE: usize = 64 << 20;

/// A reader of a file's text.
pub(super) struct Utf8Reader {
    path: PathBuf,
    file: Unpacked,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were returned.
    used: usize,
    /// Bytes before the buffer.
    before: u64,
    /// Lines returned.
    lines: u64,
    at_end: bool,
    /// The detected kind of content, if known.
    kind: Option<ContentKind>,
}

impl Utf8Reader {
    pub(super) fn open(input: &TextInput) -> Result<Self, FormatError> {
        let (path, file) = match input {
            TextInput::File(path) => (path.as_path(), Unpacked::open(path).map_err(|error| FormatError::unreadable(path, error))?),
            TextInput::Embedded(text) => (Path::new("the embedded corpus"), Unpacked::embedded(text)),
        };
        Ok(Self { path: path.to_path_buf(), file, buffer: Vec::new(), used: 0, before: 0, lines: 0, at_end: false, kind: None })
    }

    /// Approximate bytes of the file for the text returned so far, without buffered text.
    pub(super) fn consumed(&self) -> u64 {
        let (returned, unpacked) = (self.before + self.used as u64, self.before + self.buffer.len() as u64);
        if returned == unpacked { self.file.consumed() } else { (self.file.consumed() as f64 * returned as f64 / unpacked as f64) as u64 }
    }

    /// An error about the last line.
    pub(super) fn problem(&self, what: impl std::fmt::Display) -> FormatError {
        FormatError::new(&self.path, format!("line {}: {what}", self.lines))
    }

    /// The error that names the detected kind of a file that is not text or rows; `None` if the kind is unknown.
    pub(super) fn kind_error(&self) -> Option<FormatError> {
        self.kind.filter(|kind| !matches!(kind, ContentKind::Json | ContentKind::ServerError)).map(|kind| content::wrong_kind(&self.path, kind))
    }

    /// The error of an empty file.
    pub(super) fn empty(&self) -> FormatError {
        FormatError::new(&self.path, "is empty: it holds no text. Remove it from the list")
    }

    /// Drops the returned bytes and reads more.
    fn more(&mut self) -> Result<(), FormatError> {
        self.buffer.drain(..self.used);
        self.before += self.used as u64;
        self.used = 0;
        let kept_bytes = self.buffer.len();
        self.buffer.resize(kept_bytes + PIECE, 0);
        let filled = self.file.fill(&mut self.buffer[kept_bytes..]).map_err(|problem| FormatError::new(&self.path, problem))?;
        self.buffer.truncate(kept_bytes + filled);
        self.at_end = filled < PIECE;
        if self.before == 0 && kept_bytes == 0 && filled > 0 {
            self.check_start()?;
        }
        Ok(())
    }

    /// Checks the first bytes: refuses binary content and skips a byte order mark.
    fn check_start(&mut self) -> Result<(), FormatError> {
        let start = &self.buffer[..self.buffer.len().min(content::START as usize)];
        self.kind = content::detect(start);
        let binary = start.contains(&0) || self.kind == Some(ContentKind::LfsPointer);
        if let Some(problem) = self.kind_error().filter(|_| binary) {
            return Err(problem);
        }
        self.used = start.len() - content::strip_bom(start).len();
        Ok(())
    }

    /// The next text; `None` at the end.
    pub(super) fn piece(&mut self) -> Result<Option<&str>, FormatError> {
        self.more()?;
        let start = self.used;
        let end = match std::str::from_utf8(&self.buffer[start..]) {
            Ok(text) => start + text.len(),
            // The rest of an incomplete character follows with the next piece.
            Err(error) if error.error_len().is_none() && !self.at_end => start + error.valid_up_to(),
            Err(error) => return Err(self.not_utf8(start + error.valid_up_to(), "")),
        };
        self.used = end;
        let text = std::str::from_utf8(&self.buffer[start..end]).expect("the bytes were checked");
        Ok((!text.is_empty()).then_some(text))
    }

    fn not_utf8(&self, at: usize, line: &str) -> FormatError {
        if let Some(problem) = self.kind_error() {
            return problem;
        }
        FormatError::new(&self.path, format!("{line}is not UTF-8 text: byte {} begins no character. Convert it first", self.before + at as u64))
    }

    /// The next line without its line feed; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<&str>, FormatError> {
        let mut searched = self.used;
        let end = loop {
            if let Some(at) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                break searched + at;
            }
            if self.at_end {
                break self.buffer.len();
            }
            let seen = self.buffer.len() - self.used;
            if seen > MAX_LINE {
                self.lines += 1;
                return Err(self.problem(format!("is longer than {} MiB. Write one row per line, and split long documents", MAX_LINE >> 20)));
            }
            self.more()?;
            searched = seen;
        };
        if end == self.buffer.len() && end == self.used {
            return Ok(None);
        }
        let start = std::mem::replace(&mut self.used, (end + 1).min(self.buffer.len()));
        self.lines += 1;
        match std::str::from_utf8(&self.buffer[start..end]) {
            // Concatenated files may each have a byte order mark.
            Ok(line) => Ok(Some(line.trim_start_matches('\u{feff}'))),
            Err(error) => Err(self.not_utf8(start + error.valid_up_to(), &format!("line {}: ", self.lines))),
        }
    }
}

/// The lines of a file, decompressed if needed.
pub struct Lines(Utf8Reader);

impl Lines {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Utf8Reader::open(&TextInput::File(path.to_path_buf())).map(Self)
    }

    /// The number of the next line, from 1, and the line without its line feed; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "the line is borrowed")]
    pub fn next(&mut self) -> Result<Option<(usize, &str)>, FormatError> {
        let number = self.0.lines as usize + 1;
        Ok(self.0.line()?.map(|line| (number, line)))
    }

    /// The error that names the detected kind of a file without rows; `None` if the kind is unknown.
    pub fn kind_error(&self) -> Option<FormatError> {
        self.0.kind_error()
    }
}

/// Reads the whole text of a plain text file.
pub fn read_text(path: &Path) -> Result<String, FormatError> {
    let mut reader = Utf8Reader::open(&TextInput::File(path.to_path_buf()))?;
    let mut text = String::new();
    while let Some(piece) = reader.piece()? {
        text.push_str(piece);
    }
    Ok(text)
}
