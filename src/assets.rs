//! What is part of the program: corpus, tokenizer, teacher and demo student (see `assets/README.md`).

/// Dialogues, in text with special tokens.
pub const CORPUS: &str = include_str!("../assets/corpus.txt");

/// The tokenizer trained on them.
pub const TOKENIZER: &[u8] = include_bytes!("../assets/tokenizer.json");

/// The demo student, packed; `None` in a build without it.
pub fn student() -> Option<&'static [u8]> {
    None
}
