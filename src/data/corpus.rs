//! A corpus: token ids to train on and others to measure on, each read by position wherever they lie.

use super::error::DataError;
use super::store::Store;
use crate::formats::{Checksum, checksum};
use crate::rng::Key;
use std::ops::Range;
use std::sync::Arc;

/// Documents from which on a share of whole documents is held out, and not the end of the text.
const MANY: u64 = 50;
/// So many documents of an order, then one mark of where they begin.
const STRIDE: u64 = 64;
/// Tokens that are read at once of a whole text.
const PIECE: usize = 1 << 16;

/// Token ids to train on, and others to measure on.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Trained on.
    pub train: Ids,
    /// Never trained on.
    pub held_out: Ids,
}

/// How a text becomes a corpus.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// The share of documents, or of the text if they are few, that is held out.
    pub share: f64,
    /// Decides the order of documents; 0 leaves them as they lie.
    pub shuffle: u64,
    /// Tokens in a sequence.
    pub seq: usize,
}

impl Corpus {
    /// Holds a share of a text out: of fifty documents or more the last of each group whose share makes a
    /// whole document (with 0.02, each fiftieth), else the end of the text. `held_out` is another text to
    /// hold out in its place. Documents are shuffled as wholes, and which are held out depends on no order.
    pub fn new(text: Store, held_out: Option<Store>, split: Split) -> Result<Self, DataError> {
        let text = Arc::new(text);
        let documents = text.about().documents;
        let key = (split.shuffle != 0 && documents > 1).then(|| Key::new(split.shuffle, "documents"));
        let view = |held: Option<(f64, bool)>| Ids::documents(&text, key, held);
        let corpus = match held_out {
            Some(held_out) => Self { train: view(None)?, held_out: Ids::documents(&Arc::new(held_out), None, None)? },
            None if documents >= MANY && whole(documents, split.share) > 0 => {
                Self { train: view(Some((split.share, false)))?, held_out: view(Some((split.share, true)))? }
            }
            None => {
                let all = view(None)?;
                let tail = (whole(all.len() as u64, split.share) as usize).max(split.seq + 1).min(all.len());
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

/// The whole part of a share of `n`.
fn whole(n: u64, share: f64) -> u64 {
    (n as f64 * share) as u64
}

/// Whether a share of documents takes the n-th: the share of those up to it makes one more.
fn takes(n: u64, share: f64) -> bool {
    whole(n + 1, share) > whole(n, share)
}

/// Token ids by position.
#[derive(Clone, Debug)]
pub struct Ids {
    store: Arc<Store>,
    order: Option<Arc<Order>>,
    first: usize,
    length: usize,
}

/// Some documents of a store, in some order.
#[derive(Debug)]
struct Order {
    key: Option<Key>,
    /// Of which share either those are taken that are held out, or the others.
    held: Option<(f64, bool)>,
    /// Ids in front of each [`STRIDE`]-th place.
    marks: Vec<u64>,
}

impl Order {
    /// The document in a place, if it is one of these.
    fn document(&self, place: u64, documents: u64) -> Option<u64> {
        let n = self.key.map_or(place, |key| key.permute(place, documents));
        self.held.is_none_or(|(share, held)| takes(n, share) == held).then_some(n)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Self {
        Self { store: Arc::new(Store::of(&ids)), order: None, first: 0, length: ids.len() }
    }
}

impl Ids {
    /// Documents of a store: those held out of a share or the others, in the order of a key.
    fn documents(store: &Arc<Store>, key: Option<Key>, held: Option<(f64, bool)>) -> Result<Self, DataError> {
        let (documents, tokens) = (store.about().documents, store.about().tokens);
        if key.is_none() && held.is_none() {
            return Ok(Self { store: Arc::clone(store), order: None, first: 0, length: tokens as usize });
        }
        let mut order = Order { key, held, marks: Vec::new() };
        let mut length = 0;
        for place in 0..documents {
            if place % STRIDE == 0 {
                order.marks.push(length);
            }
            if let Some(n) = order.document(place, documents) {
                let at = store.document(n)?;
                length += at.end - at.start;
            }
        }
        Ok(Self { store: Arc::clone(store), order: Some(Arc::new(order)), first: 0, length: length as usize })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if there are none. Nothing asks yet; Rust's conventions want it beside `len`.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Those up to a position, and the others.
    fn split_at(&self, at: usize) -> (Self, Self) {
        (Self { length: at, ..self.clone() }, Self { first: self.first + at, length: self.length - at, ..self.clone() })
    }

    /// The ids at some positions.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u32>, DataError> {
        assert!(range.end <= self.length, "ids {range:?} of {}", self.length);
        let (mut at, end) = ((self.first + range.start) as u64, (self.first + range.end) as u64);
        let mut ids = Vec::with_capacity(range.len());
        let Some(order) = &self.order else {
            self.store.read(at..end, &mut ids)?;
            return Ok(ids);
        };
        let documents = self.store.about().documents;
        let mark = order.marks.partition_point(|&mark| mark <= at) - 1;
        let (mut place, mut before) = (mark as u64 * STRIDE, order.marks[mark]);
        while at < end {
            if let Some(n) = order.document(place, documents) {
                let found = self.store.document(n)?;
                let behind = before + (found.end - found.start);
                if behind > at {
                    let last = end.min(behind);
                    self.store.read(found.start + (at - before)..found.start + (last - before), &mut ids)?;
                    at = last;
                }
                before = behind;
            }
            place += 1;
        }
        Ok(ids)
    }

    /// All of them, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = Result<Vec<u32>, DataError>> {
        (0..self.length).step_by(PIECE).map(|start| self.read(start..(start + PIECE).min(self.length)))
    }

    /// A checksum of them after what gave `before`: that of their 32-bit words.
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
