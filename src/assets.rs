//! What is part of the program: corpus, tokenizer, teacher and demo student (see `assets/README.md`).

/// Dialogues, in text with special tokens.
pub const CORPUS: &str = include_str!("../assets/corpus.txt");

/// The tokenizer trained on them.
pub const TOKENIZER: &[u8] = include_bytes!("../assets/tokenizer.json");

/// The teacher: full precision, in f16.
pub const TEACHER: &[u8] = include_bytes!("../assets/teacher.signet");

/// The demo student: one bit a weight.
pub const STUDENT: &[u8] = include_bytes!("../assets/student.signet");
