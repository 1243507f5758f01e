//! Encodes documents into token ids, in parallel.

use super::data_error::DataError;
use super::long::LongText;
use super::text::Sink;
use super::tokenizer::Tokenizer;
use crate::platform::Clock;

/// Bytes of documents that are encoded at once, in parallel.
const BATCH: usize = 2 << 20;
/// Documents with more bytes than this are encoded in pieces.
const LONG: usize = 1 << 20;
/// Bytes of the files between two checks for cancellation.
const CHECK_INTERVAL: u64 = 1 << 20;
/// Seconds between two progress reports.
const REPORT_INTERVAL: f64 = 0.25;

/// A sink for the ids of documents, in order.
pub(super) trait IdSink {
    /// Appends ids to the current document.
    fn put(&mut self, ids: &[u32]) -> Result<(), DataError>;
    /// Ends the current document.
    fn end_document(&mut self) -> Result<(), DataError>;
}

/// Callbacks for long-running work: cancellation and progress.
pub struct Callbacks<'a> {
    /// Returns true to cancel.
    pub stop: &'a dyn Fn() -> bool,
    /// Receives progress at intervals.
    pub progress: &'a mut dyn FnMut(TextProgress),
}

/// Progress of reading text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextProgress {
    /// True while the text is tokenized; false while the files are only read, to find them in the cache.
    pub tokenizing: bool,
    /// Bytes of the files read so far.
    pub done: u64,
    /// Bytes of all files.
    pub of: u64,
    /// Bytes per second.
    pub rate: f64,
}

/// Counts the bytes read, reports progress and checks for cancellation.
pub(super) struct Reporter<'a, 'b> {
    callbacks: &'a mut Callbacks<'b>,
    tokenizing: bool,
    of: u64,
    checked: u64,
    clock: Clock,
    next_report: f64,
}

impl<'a, 'b> Reporter<'a, 'b> {
    pub(super) fn new(callbacks: &'a mut Callbacks<'b>, tokenizing: bool, of: u64) -> Self {
        Self { callbacks, tokenizing, of, checked: 0, clock: Clock::start(), next_report: REPORT_INTERVAL }
    }

    /// Returns an error if the work was cancelled.
    pub(super) fn check_stopped(&self) -> Result<(), DataError> {
        if (self.callbacks.stop)() { Err(DataError::Stopped) } else { Ok(()) }
    }

    /// Records that `done` bytes are read.
    pub(super) fn advance(&mut self, done: u64) -> Result<(), DataError> {
        if done < self.checked + CHECK_INTERVAL {
            return Ok(());
        }
        self.checked = done;
        self.check_stopped()?;
        let seconds = self.clock.seconds();
        if seconds > self.next_report {
            self.next_report = seconds + REPORT_INTERVAL;
            (self.callbacks.progress)(TextProgress { tokenizing: self.tokenizing, done, of: self.of, rate: done as f64 / seconds });
        }
        Ok(())
    }
}

/// Encodes documents and passes their ids on.
pub(super) struct DocumentEncoder<'a, 'b> {
    tokenizer: &'a Tokenizer,
    vocabulary: usize,
    /// Documents not encoded yet, and for each whether an end token is appended.
    queue: Vec<(String, bool)>,
    queued: usize,
    /// The current document, as far as it was received.
    document: String,
    long: Option<LongText<'a>>,
    /// The last id of the current long document.
    last: Option<u32>,
    out: &'a mut dyn IdSink,
    reporter: Reporter<'a, 'b>,
    /// Bytes of text received.
    pub(super) bytes: u64,
}

impl<'a, 'b> DocumentEncoder<'a, 'b> {
    pub(super) fn new(tokenizer: &'a Tokenizer, out: &'a mut dyn IdSink, reporter: Reporter<'a, 'b>) -> Self {
        let vocabulary = tokenizer.vocabulary();
        Self { tokenizer, vocabulary, queue: Vec::new(), queued: 0, document: String::new(), long: None, last: None, out, reporter, bytes: 0 }
    }

    /// Encodes the queued documents.
    pub(super) fn flush(&mut self) -> Result<(), DataError> {
        self.queued = 0;
        let queue = std::mem::take(&mut self.queue);
        let encoded = self.tokenizer.encode_all(queue.iter().map(|(text, _)| text.as_str()).collect())?;
        for (ids, (_, close)) in encoded.iter().zip(&queue) {
            self.out.put(ids)?;
            self.close(ids.last().copied(), *close)?;
        }
        Ok(())
    }

    /// Ends a document; appends the end token if `close` is set and the document does not end in one.
    fn close(&mut self, last: Option<u32>, close: bool) -> Result<(), DataError> {
        if let Some(end) = self.tokenizer.end().filter(|&end| close && last != Some(end)) {
            self.out.put(&[end])?;
        }
        self.out.end_document()
    }

    /// Appends text to the current long document.
    fn extend_long(&mut self, text: &str) -> Result<(), DataError> {
        let Self { long, last, out, .. } = self;
        let long = long.as_mut().expect("the document is a long one");
        long.push(text, &mut |ids| {
            *last = ids.last().copied().or(*last);
            out.put(ids)
        })
    }
}

impl Sink for DocumentEncoder<'_, '_> {
    fn text(&mut self, text: &str) -> Result<(), DataError> {
        self.bytes += text.len() as u64;
        if self.long.is_some() {
            return self.extend_long(text);
        }
        self.document.push_str(text);
        if self.document.len() > LONG {
            self.flush()?;
            (self.long, self.last) = (Some(LongText::new(self.tokenizer)), None);
            let document = std::mem::take(&mut self.document);
            return self.extend_long(&document);
        }
        Ok(())
    }

    fn ids(&mut self, ids: &[u32]) -> Result<Result<(), String>, DataError> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.vocabulary) {
            return Ok(Err(format!(
                "has the token id {id}, but the tokenizer's are 0 to {}. Pass the tokenizer that the ids were made with",
                self.vocabulary - 1
            )));
        }
        self.flush()?;
        if !ids.is_empty() {
            self.out.put(ids)?;
            self.out.end_document()?;
        }
        Ok(Ok(()))
    }

    fn end(&mut self, close: bool) -> Result<(), DataError> {
        if let Some(long) = self.long.take() {
            let Self { last, out, .. } = self;
            long.finish(&mut |ids| {
                *last = ids.last().copied().or(*last);
                out.put(ids)
            })?;
            return self.close(self.last, close);
        }
        let document = std::mem::take(&mut self.document);
        self.queued += document.len();
        self.queue.push((document, close));
        if self.queued > BATCH { self.flush() } else { Ok(()) }
    }

    fn advance(&mut self, bytes: u64) -> Result<(), DataError> {
        self.reporter.advance(bytes)
    }

    fn check_stopped(&self) -> Result<(), DataError> {
        self.reporter.check_stopped()
    }
}
