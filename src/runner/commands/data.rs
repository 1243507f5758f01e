//! Statistics of a text as a run would read it, with its split and its first documents.

use crate::data::{Corpus, count_stores};
use crate::platform::Clock;
use crate::runner::protocol::{DataReport, DataRequest};
use crate::runner::sources::{open_teacher, tokenizer};
use crate::runner::text_reader::{TextReader, cache, expand_data, refused, split, texts};
use crate::runner::{Event, Stop};
use anyhow::Result;
use std::path::PathBuf;

/// Number of token ids shown per document.
const SHOWN_TOKENS: u64 = 200;

/// Emits the statistics of a text, tokenizing it if it is not cached.
pub(super) fn report(request: DataRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let DataRequest { config, rows } = request;
    config.check()?;
    let clock = Clock::start();
    let config = expand_data(config)?;
    let teacher = open_teacher(&config.teacher)?;
    let (tokenizer, chat) = tokenizer(&config, teacher.as_ref())?;
    let reading = TextReader::new(&chat);
    let (text, held_out) = reading.with(&config, &tokenizer, |how| texts(&config, how, stop, emit))?;
    let (about, directory) = (text.info().clone(), text.directory().map(PathBuf::from));
    let mut shown = Vec::new();
    for n in 0..about.documents.min(rows as u64) {
        let at = text.document(n)?;
        let mut ids = Vec::new();
        text.read(at.start..at.end.min(at.start + SHOWN_TOKENS), &mut ids)?;
        let more = if at.end > at.start + SHOWN_TOKENS { "…" } else { "" };
        shown.push(tokenizer.decode(&ids, true)? + more);
    }
    // The statistics of a text that is too short for a run are emitted before the error.
    let corpus = Corpus::new(text, held_out, split(&config));
    let (train, held_out) = corpus.as_ref().map_or((0, 0), |corpus| (corpus.train.len(), corpus.held_out.len()));
    let (cache, seconds) = (cache(), clock.seconds());
    let cached = cache.as_deref().map_or((0, 0), count_stores);
    emit(Event::Data(DataReport { files: config.data.len(), about, train, held_out, directory, cache, kept: cached, seconds, rows: shown }));
    corpus.map(drop).map_err(|error| refused("data", error))
}
