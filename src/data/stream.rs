//! Text as it grows id by id: decoded in a small window, so that a long reply costs no more by the
//! token than a short one.

use super::tokenizer::{Tokenizer, TokenizerError};

/// Ids of context that the window begins with: decoders treat the first token of a text in their
/// own way (LLaMA's drops a space), so the new ones must never be first.
const CONTEXT: usize = 8;
/// Ids after which the window moves on even if their bytes never become characters.
const LONGEST: usize = 64;

/// Text that grows id by id; a character is given once all its bytes are there, never in part.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Context, then ids whose text is still growing.
    window: Vec<u32>,
    /// Ids at the window's start whose text was given.
    settled: usize,
    /// Bytes of the window's text that were given.
    shown: usize,
}

impl<'a> TextStream<'a> {
    /// Text after `context`.
    pub(super) fn new(tokenizer: &'a Tokenizer, context: &[u32]) -> Self {
        let last = &context[context.len().saturating_sub(CONTEXT)..];
        let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap_or_default();
        // The cut may fall inside a character: begin with the next one.
        let start = (0..last.len()).find(|&start| !text(&last[start..]).starts_with(char::REPLACEMENT_CHARACTER)).unwrap_or(last.len());
        let window = last[start..].to_vec();
        Self { tokenizer, settled: window.len(), shown: text(&window).len(), window }
    }

    /// Adds an id; gives the text that became certain.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        self.window.push(id);
        let text = self.tokenizer.decode(&self.window, false)?;
        // Bytes that are no character yet decode to replacement characters at the end.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if whole.len() == text.len() || self.window.len() - self.settled > LONGEST {
            let new = self.show(&text);
            self.settle()?;
            return Ok(new);
        }
        let whole = whole.to_string();
        Ok(self.show(&whole))
    }

    /// The rest, with replacement characters for bytes that never became characters.
    pub fn finish(&mut self) -> Result<String, TokenizerError> {
        let text = self.tokenizer.decode(&self.window, false)?;
        let new = self.show(&text);
        self.settle()?;
        Ok(new)
    }

    /// All text of the window was given: keep the last ids of it as context, if they have any text.
    /// The window so begins between two characters.
    fn settle(&mut self) -> Result<(), TokenizerError> {
        if self.window.len() > LONGEST || !self.tokenizer.decode(&self.window[self.settled..], false)?.is_empty() {
            self.window.drain(..self.settled);
        }
        self.settled = self.window.len();
        self.shown = self.tokenizer.decode(&self.window, false)?.len();
        Ok(())
    }

    fn show(&mut self, text: &str) -> String {
        let new = text.get(self.shown..).unwrap_or_default().to_string();
        self.shown += new.len();
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets;

    const TEXT: &str = "Grüße aus 東京! 🦀🇩🇪👩‍👩‍👧 naïve — “quoted” … \u{fffd} ok? 한국어 ½ done";

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_json(assets::tokenizer().unwrap()).unwrap()
    }

    #[test]
    fn no_character_is_ever_cut() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(TEXT).unwrap();
        assert!(ids.len() > TEXT.chars().count() / 2, "characters must be made of several tokens");
        let mut stream = tokenizer.stream(&[]);
        let mut text = String::new();
        for (n, &id) in ids.iter().enumerate() {
            text.push_str(&stream.push(id).unwrap());
            assert!(TEXT.starts_with(&text), "after {} ids: {text:?}", n + 1);
        }
        text.push_str(&stream.finish().unwrap());
        assert_eq!(text, TEXT);
    }

    #[test]
    fn text_follows_any_context() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(TEXT).unwrap();
        for cut in 0..ids.len() {
            let mut stream = tokenizer.stream(&ids[..cut]);
            let mut text: String = ids[cut..].iter().map(|&id| stream.push(id).unwrap()).collect();
            text.push_str(&stream.finish().unwrap());
            // Where the cut is inside a character, its first bytes were given up with the context.
            let before = tokenizer.decode(&ids[..cut], false).unwrap();
            if let Some(rest) = TEXT.strip_prefix(&before) {
                assert_eq!(text, rest, "cut at {cut}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_pile_up() {
        let tokenizer = tokenizer();
        let first = tokenizer.encode("東").unwrap()[0];
        let mut stream = tokenizer.stream(&[]);
        let mut text = String::new();
        for _ in 0..20_000 {
            text.push_str(&stream.push(first).unwrap());
            assert!(stream.window.len() <= 2 * LONGEST + 2);
        }
        text.push_str(&stream.finish().unwrap());
        assert!(text.chars().all(|c| c == char::REPLACEMENT_CHARACTER) && text.chars().count() >= 20_000, "{}", text.len());
    }

    #[test]
    fn a_long_text_takes_no_longer_by_the_token() {
        let tokenizer = tokenizer();
        let text = "well, that is nice to hear! ".repeat(2000);
        let ids = tokenizer.encode(&text).unwrap();
        let mut stream = tokenizer.stream(&[]);
        let mut got = String::new();
        for &id in &ids {
            got.push_str(&stream.push(id).unwrap());
            assert!(stream.window.len() <= CONTEXT + 1);
        }
        assert_eq!(got, text);
    }

    #[test]
    fn special_tokens_leave_no_trace() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a<|user|> b<|end|>").unwrap();
        let mut stream = tokenizer.stream(&[]);
        let text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(text, "a b");
    }
}
