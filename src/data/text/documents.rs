//! The documents of some files, in order: of plain text what stands between two end tokens, of JSON
//! lines a row each.

use super::input::{Format, Input};
use super::reader::Reader;
use super::rows::{self, Contents, Conversation, RowError};
use crate::data::error::DataError;

/// Plain text of fewer documents is taken as one, white space between them included.
const FEW: usize = 50;

/// How conversations become text.
#[derive(Clone, Copy)]
pub struct Chat<'a> {
    /// What knows the template again.
    pub id: u64,
    /// The text of a conversation; an error says which of them is wrong.
    pub render: &'a dyn Fn(Conversation) -> Result<String, String>,
}

/// Takes documents, one after the other.
pub(in crate::data) trait Sink {
    /// More of the text of a document.
    fn text(&mut self, text: &str) -> Result<(), DataError>;
    /// A whole document as ids; an error says which id is wrong.
    fn ids(&mut self, ids: &[u32]) -> Result<Result<(), String>, DataError>;
    /// The document whose text was given is over; `close` asks for an end token behind it.
    fn end(&mut self, close: bool) -> Result<(), DataError>;
    /// So many bytes of the files were read so far; an error if that is enough.
    fn at(&mut self, bytes: u64) -> Result<(), DataError>;
    /// An error if somebody asked to stop.
    fn go_on(&self) -> Result<(), DataError>;
}

/// Gives all documents of some inputs to `sink`. `end` is the text of the end token, empty if there is
/// none; `field` names what is read of rows, or is `auto`.
pub(in crate::data) fn feed(inputs: &[Input], end: &str, field: &str, chat: Chat<'_>, sink: &mut dyn Sink) -> Result<(), DataError> {
    let plain = inputs.iter().all(|input| input.format() == Format::Text);
    let style = match () {
        () if !plain => Style::Apart,
        () if end.is_empty() || few(inputs, end, sink)? => Style::Whole,
        () => Style::Split,
    };
    let mut documents = Documents { end, style, open: false, last: String::new(), sink, before: 0 };
    for (n, input) in inputs.iter().enumerate() {
        let mut reader = Reader::open(input)?;
        match input.format() {
            Format::Text => documents.text(&mut reader, n + 1 == inputs.len())?,
            Format::Rows => documents.rows(&mut reader, field, chat)?,
        }
        documents.before += reader.taken();
    }
    if style == Style::Whole {
        documents.sink.end(false)?;
    }
    Ok(())
}

/// Gives the documents of a file to `sink` until it has enough, without a look at the rest of it.
pub(super) fn beginning(reader: &mut Reader, format: Format, end: &str, field: &str, chat: Chat<'_>, sink: &mut dyn Sink) -> Result<(), DataError> {
    let mut documents = Documents { end, style: Style::Split, open: false, last: String::new(), sink, before: 0 };
    match format {
        Format::Text => documents.text(reader, true),
        Format::Rows => documents.rows(reader, field, chat),
    }
}

/// Whether plain files have fewer than [`FEW`] documents together; a file's last one may lack its end.
fn few(inputs: &[Input], end: &str, sink: &dyn Sink) -> Result<bool, DataError> {
    let mut documents = 0;
    for input in inputs {
        let mut reader = Reader::open(input)?;
        let mut ends = Ends::new(end);
        while let Some(piece) = reader.piece()? {
            documents += ends.count(piece);
            sink.go_on()?;
            if documents >= FEW {
                return Ok(false);
            }
        }
        documents += usize::from(ends.open);
    }
    Ok(documents < FEW)
}

/// Counts end tokens in text that comes in pieces.
struct Ends<'a> {
    end: &'a str,
    /// The last characters, in which an end may begin.
    last: String,
    /// Whether there is more than white space behind the last end.
    open: bool,
}

impl<'a> Ends<'a> {
    fn new(end: &'a str) -> Self {
        Self { end, last: String::new(), open: false }
    }

    fn count(&mut self, piece: &str) -> usize {
        self.last.push_str(piece);
        let ends = self.last.matches(self.end).count();
        let behind = self.last.rsplit_once(self.end).map_or(self.last.as_str(), |(_, behind)| behind);
        self.open = !behind.trim().is_empty() || ends == 0 && self.open;
        self.last = behind[tail(behind, self.end.len())..].to_string();
        ends
    }
}

/// Where the last characters begin in which something of `length` bytes may begin, but not end.
fn tail(text: &str, length: usize) -> usize {
    text.floor_char_boundary(text.len().saturating_sub(length.saturating_sub(1)))
}

/// How plain text becomes documents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// All of it is one, as it stands.
    Whole,
    /// Each ends in its end token; the last one need not.
    Split,
    /// As they are split, but each is closed: there are rows, too.
    Apart,
}

struct Documents<'a> {
    end: &'a str,
    style: Style,
    /// Whether something of a document was given that is not over.
    open: bool,
    /// Text that waits: an end may begin in it, or it is white space that may be left out.
    last: String,
    sink: &'a mut dyn Sink,
    /// Bytes of the files before.
    before: u64,
}

impl Documents<'_> {
    /// The plain text of a file. Behind one that does not end in an end token there is one, if more
    /// files follow.
    fn text(&mut self, reader: &mut Reader, last: bool) -> Result<(), DataError> {
        let mut ends = Ends::new(self.end);
        let mut found = false;
        while let Some(piece) = reader.piece()? {
            found = true;
            if self.style == Style::Whole {
                if !self.end.is_empty() {
                    ends.count(piece);
                }
                self.sink.text(piece)?;
            } else {
                self.last.push_str(piece);
                self.split()?;
            }
            self.sink.at(self.before + reader.taken())?;
        }
        if !found {
            return Err(reader.empty().into());
        }
        match self.style {
            Style::Whole if ends.open && !last => self.sink.text(self.end)?,
            Style::Whole => {}
            _ => self.rest(last)?,
        }
        Ok(())
    }

    /// Gives every document that is whole in what waits, and of the next one what cannot be its end.
    fn split(&mut self) -> Result<(), DataError> {
        let text = std::mem::take(&mut self.last);
        let mut rest = text.as_str();
        while let Some(at) = if self.end.is_empty() { None } else { rest.find(self.end) } {
            let (document, behind) = rest.split_at(at + self.end.len());
            self.sink.text(if self.open { document } else { document.trim_start() })?;
            self.sink.end(self.style == Style::Apart)?;
            (self.open, rest) = (false, behind);
        }
        if !self.open {
            rest = rest.trim_start();
        }
        let (sure, waiting) = rest.split_at(tail(rest, self.end.len()));
        if !sure.is_empty() {
            self.sink.text(sure)?;
            self.open = true;
        }
        self.last = waiting.to_string();
        Ok(())
    }

    /// The document that a file ends in, if it does not end in an end token.
    fn rest(&mut self, last: bool) -> Result<(), DataError> {
        let text = std::mem::take(&mut self.last);
        let open = std::mem::take(&mut self.open);
        if !open && text.trim().is_empty() {
            return Ok(());
        }
        self.sink.text(if open { &text } else { text.trim_start() })?;
        if self.style == Style::Split && !last {
            self.sink.text(self.end)?;
        }
        self.sink.end(self.style == Style::Apart)
    }

    /// The rows of a file, empty lines and empty texts left out.
    fn rows(&mut self, reader: &mut Reader, field: &str, chat: Chat<'_>) -> Result<(), DataError> {
        let mut found = false;
        while let Some(line) = reader.line()? {
            if line.trim().is_empty() {
                continue;
            }
            let row = rows::row(line, field);
            found = true;
            let contents = row.map_err(|problem| match problem {
                RowError::Bad(problem) => DataError::File(reader.other_kind().unwrap_or_else(|| reader.problem(problem))),
                RowError::Lacks(problem) => DataError::Field(reader.problem(problem)),
            })?;
            match contents {
                Contents::Text(text) => self.row(&text)?,
                Contents::Conversation(conversation) => {
                    let text = (chat.render)(conversation).map_err(|problem| reader.problem(problem))?;
                    self.row(&text)?;
                }
                Contents::Ids(ids) => self.sink.ids(&ids)?.map_err(|problem| reader.problem(problem))?,
            }
            self.sink.at(self.before + reader.taken())?;
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
