//! Streaming decoder: decodes ids one by one in a small window, so that the cost per token does not grow with the
//! length of the reply.

use super::data_error::TokenizerError;
use super::tokenizer::Tokenizer;

/// Ids with text at the start of the window: decoders treat the first token of a text specially (LLaMA's drops a
/// space), and a character may take four tokens.
const CONTEXT: usize = 8;
/// The most ids in the window.
const MAX_WINDOW: usize = 64;

/// A streaming decoder. It returns a character once all its bytes are there. Invalid UTF-8 becomes U+FFFD and leaves
/// the text around it unchanged.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The last ids.
    window: Vec<u32>,
    /// The decoded window, as far as it was returned.
    shown: String,
}

impl<'a> TextStream<'a> {
    /// Starts after `context`, whose text is not returned.
    pub fn new(tokenizer: &'a Tokenizer, context: &[u32]) -> Self {
        let mut stream = Self { tokenizer, window: context[context.len().saturating_sub(MAX_WINDOW)..].to_vec(), shown: String::new() };
        stream.shrink_window();
        // Including a replacement character at the end: it belongs to the text, or later ids change it.
        stream.shown = stream.text().unwrap_or_default();
        stream
    }

    /// Adds an id; returns the text that became final.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        self.window.push(id);
        let text = self.text()?;
        let new = self.show(complete(&text));
        if self.window.len() > 2 * CONTEXT {
            self.shrink_window();
            self.shown = complete(&self.text()?).to_string();
        }
        Ok(new)
    }

    /// Returns the rest, with replacement characters for incomplete characters.
    pub fn finish(&mut self) -> Result<String, TokenizerError> {
        let text = self.text()?;
        Ok(self.show(&text))
    }

    fn text(&self) -> Result<String, TokenizerError> {
        self.tokenizer.decode_streaming(&self.window)
    }

    /// Drops the first ids of the window, and keeps the last [`CONTEXT`] ids with text.
    fn shrink_window(&mut self) {
        let with_text = self.window.iter().enumerate().rev().filter(|(_, id)| !self.tokenizer.has_no_text(**id));
        let first = with_text.take(CONTEXT).last().map_or(0, |(at, _)| at);
        let longest = self.window.len().saturating_sub(MAX_WINDOW);
        self.window.drain(..first.max(longest));
    }

    /// Returns the new text. Returned text stays, even if the decoder changes it.
    fn show(&mut self, text: &str) -> String {
        let same = self.shown.chars().zip(text.chars()).take_while(|(shown, char)| shown == char).map(|(char, _)| char.len_utf8()).sum::<usize>();
        let new = text[same..].to_string();
        if !new.is_empty() {
            self.shown = text.to_string();
        }
        new
    }
}

/// The text without a replacement character at its end, which may be an incomplete character.
fn complete(text: &str) -> &str {
    text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(text)
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
    fn characters_are_never_split() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(TEXT).unwrap();
        assert!(ids.len() > TEXT.chars().count() / 2, "characters must be made of several tokens");
        let mut stream = TextStream::new(&tokenizer, &[]);
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
        let mut compared = 0;
        for cut in 0..ids.len() {
            let mut stream = TextStream::new(&tokenizer, &ids[..cut]);
            let mut text: String = ids[cut..].iter().map(|&id| stream.push(id).unwrap()).collect();
            text.push_str(&stream.finish().unwrap());
            // A cut inside a character loses the character's first bytes.
            let [before, rest] = [&ids[..cut], &ids[cut..]].map(|ids| tokenizer.decode(ids, false).unwrap());
            if before + &rest == TEXT {
                assert_eq!(text, rest, "cut at {cut}");
                compared += 1;
            }
        }
        assert!(compared > 20, "{compared}");
    }

    #[test]
    fn invalid_bytes_do_not_accumulate() {
        let tokenizer = tokenizer();
        let first = tokenizer.encode("東").unwrap()[0];
        let mut stream = TextStream::new(&tokenizer, &[]);
        let mut text = String::new();
        for _ in 0..20_000 {
            text.push_str(&stream.push(first).unwrap());
            assert!(stream.window.len() <= 2 * CONTEXT);
        }
        text.push_str(&stream.finish().unwrap());
        assert!(text.chars().all(|c| c == char::REPLACEMENT_CHARACTER) && text.chars().count() >= 20_000, "{}", text.len());
    }

    #[test]
    fn the_window_stays_small_for_a_long_text() {
        let tokenizer = tokenizer();
        let text = "well, that is nice to hear! ".repeat(2000);
        let ids = tokenizer.encode(&text).unwrap();
        let mut stream = TextStream::new(&tokenizer, &[]);
        let mut got = String::new();
        for &id in &ids {
            got.push_str(&stream.push(id).unwrap());
            assert!(stream.window.len() <= 2 * CONTEXT);
        }
        assert_eq!(got, text);
    }

    #[test]
    fn special_tokens_are_skipped() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a<|user|> b<|end|>").unwrap();
        let mut stream = TextStream::new(&tokenizer, &[]);
        let text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(text, "a b");
    }

    /// A tokenizer with words, bytes and spaces as tokens, and a given decoder.
    fn decoding(decoder: &serde_json::Value, byte_level: bool) -> Tokenizer {
        let letters = |bytes: &[u8]| bytes.iter().map(|&byte| letter(byte)).collect::<String>();
        let words = ["a", "b", "\u{2581}c", "\u{2581}", " ", "##d", "e</w>", "'", ".", "|", "\u{fffd}", "\u{6771}", "ok"].map(String::from);
        let bytes = [0x0a, 0x20, 0x41, 0x80, 0xc3, 0xa9, 0xe6, 0x9d, 0xb1, 0xf0, 0x9f, 0xa6, 0x80, 0xff].map(|byte: u8| format!("<0x{byte:02X}>"));
        let parts: [&[u8]; 8] = [b"ab", b"\xe6", b"\xe6\x9d", b"\x9d\xb1", b"\xb1", b"\xf0\x9f", b"\xa6\x80 \xc3", b"\xff\n"];
        let tokens: Vec<String> = if byte_level { parts.map(letters).to_vec() } else { words.into_iter().chain(bytes).collect() };
        let mut vocabulary = serde_json::Map::new();
        for token in tokens {
            let id = vocabulary.len();
            vocabulary.entry(token).or_insert_with(|| id.into());
        }
        let special = serde_json::json!({"id": vocabulary.len(), "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
        let model = serde_json::json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "a"});
        let json = serde_json::json!({"version": "1.0", "added_tokens": [special], "decoder": decoder, "model": model});
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    /// The letter for a byte in a byte-level vocabulary.
    fn letter(byte: u8) -> char {
        let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let moved = (0..byte).filter(|byte| !plain(*byte)).count() as u32;
        if plain(byte) { char::from(byte) } else { char::from_u32(256 + moved).unwrap() }
    }

    #[test]
    fn streaming_gives_the_text_of_decoding_all_ids() {
        use serde_json::json;
        let space = json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let bytes = json!({"type": "ByteFallback"});
        let fuse = json!({"type": "Fuse"});
        let decoders = [
            json!(null),
            bytes.clone(),
            json!({"type": "Sequence", "decoders": [space, bytes, fuse.clone(), strip]}),
            json!({"type": "Sequence", "decoders": [fuse, json!({"type": "Strip", "content": " ", "start": 1, "stop": 2})]}),
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
            json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            json!({"type": "CTC", "pad_token": "'", "word_delimiter_token": "|", "cleanup": true}),
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
            json!({"type": "Replace", "pattern": {"Regex": "[ab]$"}, "content": "x"}),
        ];
        for decoder in decoders {
            let tokenizer = decoding(&decoder, decoder["type"] == "ByteLevel");
            let mut state = 7u64;
            for round in 0..200 {
                let mut draw = |below: u64| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) % below
                };
                let length = draw(if round % 10 == 0 { 200 } else { 30 });
                let ids: Vec<u32> = (0..length).map(|_| draw(tokenizer.vocabulary() as u64) as u32).collect();
                let mut stream = TextStream::new(&tokenizer, &[]);
                let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
                text.push_str(&stream.finish().unwrap());
                assert_eq!(text, tokenizer.decode_streaming(&ids).unwrap(), "{decoder}, round {round}: {ids:?}");
            }
        }
    }

    #[test]
    fn invalid_bytes_leave_the_text_around_them_unchanged() {
        let tokenizer = decoding(&serde_json::json!({"type": "ByteFallback"}), false);
        let text = |tokens: &[&str]| {
            let mut stream = TextStream::new(&tokenizer, &[]);
            let mut text: String = tokens.iter().map(|token| stream.push(tokenizer.id(token).unwrap()).unwrap()).collect();
            text.push_str(&stream.finish().unwrap());
            text
        };
        assert_eq!(text(&["<0x0A>", "<0xE6>", "ok"]), "\n\u{fffd}ok");
        assert_eq!(text(&["ok", "<0x41>", "<0xF0>", "<0x9F>", "a"]), "okA\u{fffd}a");
        assert_eq!(text(&["<0x0A>", "<0xF0>", "<0x9F>", "<0xA6>", "<0x80>", "b"]), "\n\u{1f980}b");
        assert_eq!(text(&["a", "<0xE6>", "<0x9D>"]), "a\u{fffd}");
        assert_eq!(text(&["\u{fffd}", "<s>", "<0xFF>", "<s>"]), "\u{fffd}\u{fffd}");
    }
}
