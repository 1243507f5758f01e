//! The state of parsing a pattern: position, current options and groups. The parts of the syntax are parsed in the other
//! files. Pure.

use std::collections::HashMap;

/// Nesting depth of groups and quantifiers.
const MAX_DEPTH: usize = 50;

/// Options that `(?…)` sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PatternOptions {
    pub(super) ignore_case: bool,
    pub(super) dot_all: bool,
    pub(super) extended: bool,
    pub(super) ascii_word: bool,
    pub(super) ascii_digit: bool,
    pub(super) ascii_space: bool,
    pub(super) ascii_posix: bool,
}

/// The state of parsing a pattern.
pub(super) struct PatternReader<'a> {
    pub(super) chars: &'a [char],
    pub(super) at: usize,
    pub(super) options: PatternOptions,
    pub(super) depth: usize,
    /// Groups opened so far.
    pub(super) groups: usize,
    /// Group numbers by name.
    pub(super) names: HashMap<String, Vec<usize>>,
    /// True after a reference by number.
    pub(super) numbered: bool,
}

impl<'a> PatternReader<'a> {
    pub(super) fn new(chars: &'a [char]) -> Self {
        Self { chars, at: 0, options: PatternOptions::default(), depth: 0, groups: 0, names: HashMap::new(), numbered: false }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Result<char, String> {
        let char = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        Ok(char)
    }

    /// Skips `text` if it follows; returns true if it did.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let mut rest = self.chars[self.at..].iter();
        let found = text.chars().all(|char| rest.next() == Some(&char));
        self.at += if found { text.chars().count() } else { 0 };
        found
    }

    /// Increases the depth, which the caller restores; fails above the limit.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(format!("it is nested more than {MAX_DEPTH} levels deep")) } else { Ok(()) }
    }

    /// Parses one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.enter()?;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }
}
