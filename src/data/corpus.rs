//! A corpus: token ids for training and held-out ids, each read by position.

use super::data_error::DataError;
use super::token_store::TokenStore;
use crate::formats::{Checksum, checksum};
use crate::rng::Key;
use std::ops::Range;
use std::sync::Arc;

/// With this many documents or more, whole documents are held out; with fewer, the end of the text.
const MANY_DOCUMENTS: u64 = 50;
/// An order stores the position of every 64th document.
const STRIDE: u64 = 64;
/// Tokens that are read at once from a whole text.
const PIECE: usize = 1 << 16;

/// Token ids for training, and held-out ids.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Ids to train on.
    pub train: Ids,
    /// Ids never trained on.
    pub held_out: Ids,
}

/// The split of a text into training and held-out text.
#[derive(Clone, Copy, Debug)]
pub struct CorpusSplit {
    /// The held-out share: of the documents, or of the tokens if there are few documents.
    pub share: f64,
    /// The seed of the documents' order; 0 keeps the order of the files.
    pub shuffle: u64,
    /// Tokens in a sequence.
    pub seq: usize,
}

impl Corpus {
    /// Holds out a share of a text. With 50 documents or more, these are whole documents at regular intervals (with 0.02,
    /// every 50th); otherwise the end of the text. `held_out`, if given, is held out instead. Documents are shuffled as
    /// wholes; which ones are held out does not depend on the order.
    pub fn new(text: TokenStore, held_out: Option<TokenStore>, split: CorpusSplit) -> Result<Self, DataError> {
        let text = Arc::new(text);
        let documents = text.info().documents;
        let key = (split.shuffle != 0 && documents > 1).then(|| Key::new(split.shuffle, "documents"));
        let view = |selection: Option<(f64, bool)>| Ids::documents(&text, key, selection);
        let corpus = match held_out {
            Some(held_out) => Self { train: view(None)?, held_out: Ids::documents(&Arc::new(held_out), None, None)? },
            None if documents >= MANY_DOCUMENTS && floor_share(documents, split.share) > 0 => {
                Self { train: view(Some((split.share, false)))?, held_out: view(Some((split.share, true)))? }
            }
            None => {
                let all = view(None)?;
                let tail = (floor_share(all.len() as u64, split.share) as usize).max(split.seq + 1).min(all.len());
                let (train, held_out) = all.split_at(all.len() - tail);
                Self { train, held_out }
            }
        };
        let shortest = corpus.train.len().min(corpus.held_out.len());
        if shortest < split.seq + 1 {
            return Err(DataError::Short { have: corpus.train.len() + corpus.held_out.len(), seq: split.seq, need: 2 * (split.seq + 1) });
        }
        Ok(corpus)
    }
}

/// The integer part of a share of `n`.
fn floor_share(n: u64, share: f64) -> u64 {
    (n as f64 * share) as u64
}

/// Returns true if the n-th document is held out: the share of the documents up to it gains a whole document.
fn is_held_out(n: u64, share: f64) -> bool {
    floor_share(n + 1, share) > floor_share(n, share)
}

/// Token ids by position.
#[derive(Clone, Debug)]
pub struct Ids {
    store: Arc<TokenStore>,
    order: Option<Arc<DocumentOrder>>,
    first: usize,
    length: usize,
}

/// A selection of a store's documents, in some order.
#[derive(Debug)]
struct DocumentOrder {
    key: Option<Key>,
    /// The held-out share, and true to select the held-out documents or false for the others; `None` selects all.
    selection: Option<(f64, bool)>,
    /// Ids before every [`STRIDE`]-th document.
    offsets: Vec<u64>,
}

impl DocumentOrder {
    /// Returns the document at a position, if it is selected.
    fn document(&self, position: u64, documents: u64) -> Option<u64> {
        let n = self.key.map_or(position, |key| key.permute(position, documents));
        self.selection.is_none_or(|(share, held_out)| is_held_out(n, share) == held_out).then_some(n)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Self {
        Self { store: Arc::new(TokenStore::of(&ids)), order: None, first: 0, length: ids.len() }
    }
}

impl Ids {
    /// The selected documents of a store, in the order that the key gives.
    fn documents(store: &Arc<TokenStore>, key: Option<Key>, selection: Option<(f64, bool)>) -> Result<Self, DataError> {
        let (documents, tokens) = (store.info().documents, store.info().tokens);
        if key.is_none() && selection.is_none() {
            return Ok(Self { store: Arc::clone(store), order: None, first: 0, length: tokens as usize });
        }
        let mut order = DocumentOrder { key, selection, offsets: Vec::new() };
        let mut length = 0;
        for position in 0..documents {
            if position % STRIDE == 0 {
                order.offsets.push(length);
            }
            if let Some(n) = order.document(position, documents) {
                let at = store.document(n)?;
                length += at.end - at.start;
            }
        }
        Ok(Self { store: Arc::clone(store), order: Some(Arc::new(order)), first: 0, length: length as usize })
    }

    /// The number of ids.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns true if there are no ids.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Splits into the ids before a position and the rest.
    fn split_at(&self, at: usize) -> (Self, Self) {
        (Self { length: at, ..self.clone() }, Self { first: self.first + at, length: self.length - at, ..self.clone() })
    }

    /// Reads the ids of a range.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u32>, DataError> {
        assert!(range.end <= self.length, "ids {range:?} of {}", self.length);
        let (mut at, end) = ((self.first + range.start) as u64, (self.first + range.end) as u64);
        let mut ids = Vec::with_capacity(range.len());
        let Some(order) = &self.order else {
            self.store.read(at..end, &mut ids)?;
            return Ok(ids);
        };
        let documents = self.store.info().documents;
        let mark = order.offsets.partition_point(|&mark| mark <= at) - 1;
        let (mut position, mut before) = (mark as u64 * STRIDE, order.offsets[mark]);
        while at < end {
            if let Some(n) = order.document(position, documents) {
                let found = self.store.document(n)?;
                let document_end = before + (found.end - found.start);
                if document_end > at {
                    let last = end.min(document_end);
                    self.store.read(found.start + (at - before)..found.start + (last - before), &mut ids)?;
                    at = last;
                }
                before = document_end;
            }
            position += 1;
        }
        Ok(ids)
    }

    /// All ids, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = Result<Vec<u32>, DataError>> {
        (0..self.length).step_by(PIECE).map(|start| self.read(start..(start + PIECE).min(self.length)))
    }

    /// The checksum of the ids as 32-bit words, continued from the checksum `before`.
    pub fn checksum(&self, before: u64) -> Result<u64, DataError> {
        let mut sum = Checksum::new(before, 4 * self.length as u64);
        for ids in self.pieces() {
            let ids = ids?;
            let bytes: &[u8] = bytemuck::cast_slice(&ids);
            if !bytes.len().is_multiple_of(8) || ids.len() < PIECE {
                let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
                return Ok(sum.with(words).finish(rest));
            }
            sum = sum.with(bytes);
        }
        Ok(if self.length == 0 { checksum(before, &[]) } else { sum.finish(&[]) })
    }
}
