//! Reads the documents of a list of files, in order: plain text is split at end tokens, JSON lines have a document
//! per row.

use super::format::{TextFormat, TextInput};
use super::json_rows::{self, Conversation, RowContents, RowError};
use super::utf8::Utf8Reader;
use crate::data::data_error::DataError;

/// With fewer documents than this, plain text is one document, white space between them included.
const FEW_DOCUMENTS: usize = 50;

/// The chat template that renders conversations as text.
#[derive(Clone, Copy)]
pub struct ChatRenderer<'a> {
    /// Identifies the template in cache keys.
    pub id: u64,
    /// Renders a conversation; an error describes the invalid message.
    pub render: &'a dyn Fn(Conversation) -> Result<String, String>,
}

/// A consumer of documents, one after the other.
pub(in crate::data) trait Sink {
    /// Appends text to the current document.
    fn text(&mut self, text: &str) -> Result<(), DataError>;
    /// Adds a whole document of ids; the inner error describes an invalid id.
    fn ids(&mut self, ids: &[u32]) -> Result<Result<(), String>, DataError>;
    /// Ends the current document; `close` asks for an end token after it.
    fn end(&mut self, close: bool) -> Result<(), DataError>;
    /// Reports the bytes of the files read so far; returns an error to stop.
    fn advance(&mut self, bytes: u64) -> Result<(), DataError>;
    /// Returns an error if the work was cancelled.
    fn check_stopped(&self) -> Result<(), DataError>;
}

/// Passes all documents of some inputs to `sink`. `end` is the text of the end token, or empty; `field` is the field of
/// rows to read, or `auto`.
pub(in crate::data) fn feed(inputs: &[TextInput], end: &str, field: &str, chat: ChatRenderer<'_>, sink: &mut dyn Sink) -> Result<(), DataError> {
    let plain = inputs.iter().all(|input| input.format() == TextFormat::Text);
    let mode = match () {
        () if !plain => SplitMode::Closed,
        () if end.is_empty() || has_few_documents(inputs, end, sink)? => SplitMode::Whole,
        () => SplitMode::Split,
    };
    let mut documents = Documents { end, mode, open: false, last: String::new(), sink, before: 0 };
    for (n, input) in inputs.iter().enumerate() {
        let mut reader = Utf8Reader::open(input)?;
        match input.format() {
            TextFormat::Text => documents.text(&mut reader, n + 1 == inputs.len())?,
            TextFormat::JsonLines => documents.rows(&mut reader, field, chat)?,
        }
        documents.before += reader.consumed();
    }
    if mode == SplitMode::Whole {
        documents.sink.end(false)?;
    }
    Ok(())
}

/// Passes the documents of a file to `sink` until it returns an error; later files are not read.
pub(super) fn feed_beginning(
    reader: &mut Utf8Reader, format: TextFormat, end: &str, field: &str, chat: ChatRenderer<'_>, sink: &mut dyn Sink,
) -> Result<(), DataError> {
    let mut documents = Documents { end, mode: SplitMode::Split, open: false, last: String::new(), sink, before: 0 };
    match format {
        TextFormat::Text => documents.text(reader, true),
        TextFormat::JsonLines => documents.rows(reader, field, chat),
    }
}

/// Returns true if plain files have fewer than [`FEW_DOCUMENTS`] documents in total; the last one of a file may lack its end token.
fn has_few_documents(inputs: &[TextInput], end: &str, sink: &dyn Sink) -> Result<bool, DataError> {
    let mut documents = 0;
    for input in inputs {
        let mut reader = Utf8Reader::open(input)?;
        let mut ends = EndCounter::new(end);
        while let Some(piece) = reader.piece()? {
            documents += ends.count(piece);
            sink.check_stopped()?;
            if documents >= FEW_DOCUMENTS {
                return Ok(false);
            }
        }
        documents += usize::from(ends.open);
    }
    Ok(documents < FEW_DOCUMENTS)
}

/// Counts end tokens in text that arrives in pieces.
struct EndCounter<'a> {
    end: &'a str,
    /// The last characters, which may be the start of an end token.
    last: String,
    /// True if there is more than white space after the last end token.
    open: bool,
}

impl<'a> EndCounter<'a> {
    fn new(end: &'a str) -> Self {
        Self { end, last: String::new(), open: false }
    }

    fn count(&mut self, piece: &str) -> usize {
        self.last.push_str(piece);
        let ends = self.last.matches(self.end).count();
        let after = self.last.rsplit_once(self.end).map_or(self.last.as_str(), |(_, after)| after);
        self.open = !after.trim().is_empty() || ends == 0 && self.open;
        self.last = after[tail_start(after, self.end.len())..].to_string();
        ends
    }
}

/// The start of the last characters, which may be the start of a text of `length` bytes.
fn tail_start(text: &str, length: usize) -> usize {
    text.floor_char_boundary(text.len().saturating_sub(length.saturating_sub(1)))
}

/// How plain text is split into documents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SplitMode {
    /// One document, as it stands.
    Whole,
    /// Split after each end token; the last document may lack its own.
    Split,
    /// As `Split`, and every document is closed: other files have rows.
    Closed,
}

struct Documents<'a> {
    end: &'a str,
    mode: SplitMode,
    /// True if a part of the current document was passed on.
    open: bool,
    /// Pending text: the start of an end token, or white space that may be dropped.
    last: String,
    sink: &'a mut dyn Sink,
    /// Bytes of the previous files.
    before: u64,
}

impl Documents<'_> {
    /// Reads a plain text file. If it does not end in an end token and more files follow, one is added.
    fn text(&mut self, reader: &mut Utf8Reader, last: bool) -> Result<(), DataError> {
        let mut ends = EndCounter::new(self.end);
        let mut found = false;
        while let Some(piece) = reader.piece()? {
            found = true;
            if self.mode == SplitMode::Whole {
                if !self.end.is_empty() {
                    ends.count(piece);
                }
                self.sink.text(piece)?;
            } else {
                self.last.push_str(piece);
                self.split()?;
            }
            self.sink.advance(self.before + reader.consumed())?;
        }
        if !found {
            return Err(reader.empty().into());
        }
        match self.mode {
            SplitMode::Whole if ends.open && !last => self.sink.text(self.end)?,
            SplitMode::Whole => {}
            _ => self.rest(last)?,
        }
        Ok(())
    }

    /// Passes on all complete documents of the pending text, and of the next one what cannot belong to an end token.
    fn split(&mut self) -> Result<(), DataError> {
        let text = std::mem::take(&mut self.last);
        let mut rest = text.as_str();
        while let Some(at) = if self.end.is_empty() { None } else { rest.find(self.end) } {
            let (document, after) = rest.split_at(at + self.end.len());
            self.sink.text(if self.open { document } else { document.trim_start() })?;
            self.sink.end(self.mode == SplitMode::Closed)?;
            (self.open, rest) = (false, after);
        }
        if !self.open {
            rest = rest.trim_start();
        }
        let (sure, waiting) = rest.split_at(tail_start(rest, self.end.len()));
        if !sure.is_empty() {
            self.sink.text(sure)?;
            self.open = true;
        }
        self.last = waiting.to_string();
        Ok(())
    }

    /// Passes on the last document of a file, if it has no end token.
    fn rest(&mut self, last: bool) -> Result<(), DataError> {
        let text = std::mem::take(&mut self.last);
        let open = std::mem::take(&mut self.open);
        if !open && text.trim().is_empty() {
            return Ok(());
        }
        self.sink.text(if open { &text } else { text.trim_start() })?;
        if self.mode == SplitMode::Split && !last {
            self.sink.text(self.end)?;
        }
        self.sink.end(self.mode == SplitMode::Closed)
    }

    /// Reads the rows of a file; skips empty lines and empty texts.
    fn rows(&mut self, reader: &mut Utf8Reader, field: &str, chat: ChatRenderer<'_>) -> Result<(), DataError> {
        let mut found = false;
        while let Some(line) = reader.line()? {
            if line.trim().is_empty() {
                continue;
            }
            let row = json_rows::row(line, field);
            found = true;
            let contents = row.map_err(|problem| match problem {
                RowError::Invalid(problem) => DataError::File(reader.kind_error().unwrap_or_else(|| reader.problem(problem))),
                RowError::MissingField(problem) => DataError::Field(reader.problem(problem)),
            })?;
            match contents {
                RowContents::Text(text) => self.row(&text)?,
                RowContents::Conversation(conversation) => {
                    let text = (chat.render)(conversation).map_err(|problem| reader.problem(problem))?;
                    self.row(&text)?;
                }
                RowContents::Ids(ids) => self.sink.ids(&ids)?.map_err(|problem| reader.problem(problem))?,
            }
            self.sink.advance(self.before + reader.consumed())?;
        }
        if found { Ok(()) } else { Err(reader.empty().into()) }
    }

    fn row(&mut self, text: &str) -> Result<(), DataError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        self.sink.text(text)?;
        self.sink.end(true)
    }
}
