//! Embedded assets: corpus, tokenizer, teacher, demo student and evaluation tasks (see `assets/README.md`). Natively
//! they are in the executable. A page fetches all but the tasks as separate files, so loading can fail there.

use crate::asset;
use std::io;

/// File names of all assets that a page fetches.
pub const ALL: [&str; 4] = [STUDENT_FILE, TEACHER_FILE, TOKENIZER_FILE, CORPUS_FILE];
/// The demo student.
pub const STUDENT_FILE: &str = "student.signet";
/// The teacher.
pub const TEACHER_FILE: &str = "teacher.signet";
/// The tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The corpus.
pub const CORPUS_FILE: &str = "corpus.txt";

/// Dialogues, as text with special tokens.
pub fn corpus() -> io::Result<&'static str> {
    std::str::from_utf8(asset!("corpus.txt")?).map_err(io::Error::other)
}

/// The tokenizer, trained on the corpus.
pub fn tokenizer() -> io::Result<&'static [u8]> {
    asset!("tokenizer.json")
}

/// The teacher: full precision, in f16.
pub fn teacher() -> io::Result<&'static [u8]> {
    asset!("teacher.signet")
}

/// The demo student: one bit per weight.
pub fn student() -> io::Result<&'static [u8]> {
    asset!("student.signet")
}

/// The built-in evaluation tasks: names and TOML.
pub const TASKS: [(&str, &str); 7] = [
    ("boolq", include_str!("../assets/tasks/boolq.toml")),
    ("piqa", include_str!("../assets/tasks/piqa.toml")),
    ("hellaswag", include_str!("../assets/tasks/hellaswag.toml")),
    ("winogrande", include_str!("../assets/tasks/winogrande.toml")),
    ("arc_easy", include_str!("../assets/tasks/arc_easy.toml")),
    ("arc_challenge", include_str!("../assets/tasks/arc_challenge.toml")),
    ("openbookqa", include_str!("../assets/tasks/openbookqa.toml")),
];
