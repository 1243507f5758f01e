//! Encodes a text that is too long to be encoded at once, in pieces, into the ids of the whole text.
//!
//! Each piece is encoded with some context on both sides, so that neighbouring pieces overlap. If both have the same
//! tokens around their boundary, longer context would not change these, and the ids are joined there; if not, the two
//! pieces are encoded again as one.

use super::data_error::DataError;
use super::tokenizer::Tokenizer;
use crate::platform::parallel::*;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Bytes of context on each side of a piece.
const CONTEXT: usize = 8 << 10;
/// Bytes on either side of a boundary in which both pieces must have the same tokens.
const OVERLAP: usize = 2 << 10;
/// Bytes that are encoded at once, in parallel.
const BATCH: usize = 2 << 20;
/// The longest piece.
const MAX_PIECE: usize = 32 << 20;

/// A text that arrives in pieces.
pub(super) struct LongText<'a> {
    tokenizer: &'a Tokenizer,
    text: String,
    /// Bytes before `text`.
    before: usize,
    /// The first byte of the next piece.
    next: usize,
    /// The last piece: its tokens are final up to the next one.
    last: Option<EncodedPiece>,
}

/// Each token's byte offset in the whole text, and its id.
type OffsetTokens = Vec<(usize, u32)>;

struct EncodedPiece {
    start: usize,
    tokens: OffsetTokens,
}

impl EncodedPiece {
    /// The ids of the tokens that begin in the piece, before `end`.
    fn ids(&self, end: usize) -> Vec<u32> {
        let (first, last) = (if self.start == 0 { 0 } else { position(&self.tokens, self.start) }, position(&self.tokens, end));
        self.tokens[first..last].iter().map(|&(_, id)| id).collect()
    }
}

/// The number of tokens before byte `at`.
fn position(tokens: &OffsetTokens, at: usize) -> usize {
    tokens.iter().position(|&(start, _)| start >= at).unwrap_or(tokens.len())
}

/// Returns true if both have the same tokens around `at`.
fn agrees(left: &OffsetTokens, right: &OffsetTokens, at: usize) -> bool {
    let around = |tokens: &OffsetTokens| position(tokens, at.saturating_sub(OVERLAP))..position(tokens, at + OVERLAP);
    let (left, right) = (&left[around(left)], &right[around(right)]);
    left == right && left.iter().any(|&(start, _)| start < at) && left.iter().any(|&(start, _)| start >= at)
}

impl<'a> LongText<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, text: String::new(), before: 0, next: 0, last: None }
    }

    /// Appends text; passes ids that became final to `out`.
    pub(super) fn push(&mut self, text: &str, out: &mut dyn FnMut(&[u32]) -> Result<(), DataError>) -> Result<(), DataError> {
        self.text.push_str(text);
        if self.end() >= self.next + BATCH + PIECE { self.encode(false, out) } else { Ok(()) }
    }

    /// Ends the text; passes the remaining ids to `out`.
    pub(super) fn finish(mut self, out: &mut dyn FnMut(&[u32]) -> Result<(), DataError>) -> Result<(), DataError> {
        self.encode(true, out)?;
        let end = self.end();
        self.last.map_or(Ok(()), |last| out(&last.ids(end + 1)))
    }

    fn end(&self) -> usize {
        self.before + self.text.len()
    }

    /// The start of the character at `at`.
    fn boundary(&self, at: usize) -> usize {
        self.before + self.text.floor_char_boundary(at - self.before)
    }

    fn tokens(&self, start: usize, end: usize) -> Result<OffsetTokens, DataError> {
        let first = self.boundary(start.saturating_sub(CONTEXT).max(self.before));
        let last = self.boundary((end + CONTEXT).min(self.end()));
        let mut tokens = self.tokenizer.encode_offsets(&self.text[first - self.before..last - self.before])?;
        tokens.iter_mut().for_each(|(position, _)| *position += first);
        Ok(tokens)
    }

    fn encode(&mut self, all: bool, out: &mut dyn FnMut(&[u32]) -> Result<(), DataError>) -> Result<(), DataError> {
        let mut bounds = vec![self.next];
        let mut next = self.next;
        while next + PIECE + CONTEXT <= self.end() {
            next = self.boundary(next + PIECE);
            bounds.push(next);
        }
        if all && next < self.end() {
            bounds.push(self.end());
        }
        let pieces: Vec<OffsetTokens> = bounds.par_windows(2).map(|bounds| self.tokens(bounds[0], bounds[1])).collect::<Result<_, _>>()?;
        for (bounds, tokens) in bounds.windows(2).zip(pieces) {
            self.join(bounds[0], bounds[1], tokens, out)?;
        }
        self.next = *bounds.last().expect("bounds are not empty");
        let first = self.last.as_ref().map_or(0, |last| last.start.saturating_sub(2 * CONTEXT)).max(self.before);
        let first = self.boundary(first);
        self.text.drain(..first - self.before);
        self.before = first;
        Ok(())
    }

    /// Joins the tokens of the piece `start..end` to those of the previous piece.
    fn join(&mut self, start: usize, end: usize, tokens: OffsetTokens, out: &mut dyn FnMut(&[u32]) -> Result<(), DataError>) -> Result<(), DataError> {
        let piece = match self.last.take() {
            None => EncodedPiece { start, tokens },
            Some(last) if agrees(&last.tokens, &tokens, start) => {
                out(&last.ids(start))?;
                EncodedPiece { start, tokens }
            }
            Some(last) if end - last.start > MAX_PIECE => return Err(DataError::NoBoundary { start: last.start, bytes: MAX_PIECE >> 20 }),
            Some(last) => EncodedPiece { start: last.start, tokens: self.tokens(last.start, end)? },
        };
        self.last = Some(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets;

    fn long(tokenizer: &Tokenizer, text: &str, by: usize) -> Result<Vec<u32>, DataError> {
        let (mut ids, mut long, mut rest) = (Vec::new(), LongText::new(tokenizer), text);
        let mut out = |more: &[u32]| {
            ids.extend_from_slice(more);
            Ok(())
        };
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(by.min(rest.len())));
            long.push(piece, &mut out)?;
            rest = after;
        }
        long.finish(&mut out)?;
        Ok(ids)
    }

    #[test]
    fn pieces_encode_to_the_ids_of_the_whole_text() {
        let tokenizer = Tokenizer::from_json(assets::tokenizer().unwrap()).unwrap();
        let corpus = assets::corpus().unwrap();
        let corpus = &corpus[..corpus.floor_char_boundary(BATCH + BATCH / 4)];
        let mixed: String = corpus.chars().take(900_000).enumerate().map(|(n, c)| if n % 97 == 0 { '東' } else { c }).collect();
        for text in [corpus, &mixed, "x", &"word ".repeat(1 << 17), ""] {
            let whole = tokenizer.encode(text).unwrap();
            assert!(long(&tokenizer, text, 100_003).unwrap() == whole, "{:?}…", text.chars().take(20).collect::<String>());
        }
    }

    #[test]
    fn pieces_that_disagree_are_encoded_as_one() {
        let tokenizer = Tokenizer::from_json(assets::tokenizer().unwrap()).unwrap();
        // One word without a boundary, between others.
        let text = format!("{}{}{}", "some words ".repeat(40_000), "abcabcabd".repeat(70_000), " and more".repeat(40_000));
        assert!(long(&tokenizer, &text, 1 << 20).unwrap() == tokenizer.encode(&text).unwrap());
        let left: OffsetTokens = (0..2000).map(|n| (3 * n, 7)).collect();
        let right: OffsetTokens = (0..2000).map(|n| (3 * n + 1, 7)).collect();
        assert!(agrees(&left, &left, 3000) && !agrees(&left, &right, 3000) && !agrees(&left, &left[..1000].to_vec(), 3000));
    }
}
