//! What is part of the program: corpus, tokenizer, teacher, demo student and evaluation tasks (see `assets/README.md`).
//! Natively they are in the executable. A page fetches all but the tasks as files beside it, so there each can fail.

use crate::asset;
use std::io;

/// Names of all, as files.
pub const ALL: [&str; 4] = [STUDENT_FILE, TEACHER_FILE, TOKENIZER_FILE, CORPUS_FILE];
/// The demo student's.
pub const STUDENT_FILE: &str = "student.signet";
/// The teacher's.
pub const TEACHER_FILE: &str = "teacher.signet";
/// The tokenizer's.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The corpus's.
pub const CORPUS_FILE: &str = "corpus.txt";

/// Dialogues, in text with special tokens.
pub fn corpus() -> io::Result<&'static str> {
    std::str::from_utf8(asset!("corpus.txt")?).map_err(io::Error::other)
}

/// The tokenizer trained on them.
pub fn tokenizer() -> io::Result<&'static [u8]> {
    asset!("tokenizer.json")
}

/// The teacher: full precision, in f16.
pub fn teacher() -> io::Result<&'static [u8]> {
    asset!("teacher.signet")
}

/// The demo student: one bit a weight.
pub fn student() -> io::Result<&'static [u8]> {
    asset!("student.signet")
}

/// The evaluation tasks that the program knows, each a TOML by its name.
pub const TASKS: [(&str, &str); 7] = [
    ("boolq", include_str!("../assets/tasks/boolq.toml")),
    ("piqa", include_str!("../assets/tasks/piqa.toml")),
    ("hellaswag", include_str!("../assets/tasks/hellaswag.toml")),
    ("winogrande", include_str!("../assets/tasks/winogrande.toml")),
    ("arc_easy", include_str!("../assets/tasks/arc_easy.toml")),
    ("arc_challenge", include_str!("../assets/tasks/arc_challenge.toml")),
    ("openbookqa", include_str!("../assets/tasks/openbookqa.toml")),
];
