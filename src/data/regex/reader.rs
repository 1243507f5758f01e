//! A pattern as it is read: the place, the options that hold there, and the groups so far. The parts of the syntax read
//! with it, each in a file of its own. Pure.

use std::collections::HashMap;

/// Groups and quantifiers within each other.
const DEEPEST: usize = 50;

/// Options that `(?…)` sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) ignore_case: bool,
    pub(super) dot_all: bool,
    pub(super) extended: bool,
    pub(super) ascii_word: bool,
    pub(super) ascii_digit: bool,
    pub(super) ascii_space: bool,
    pub(super) ascii_posix: bool,
}

/// A reader of a pattern.
pub(super) struct Reader<'a> {
    pub(super) chars: &'a [char],
    pub(super) at: usize,
    pub(super) options: Options,
    pub(super) depth: usize,
    /// Groups that were opened.
    pub(super) groups: usize,
    /// The groups of each name.
    pub(super) names: HashMap<String, Vec<usize>>,
    /// True if a reference by number was seen.
    pub(super) numbered: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chars: &'a [char]) -> Self {
        Self { chars, at: 0, options: Options::default(), depth: 0, groups: 0, names: HashMap::new(), numbered: false }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Result<char, String> {
        let char = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        Ok(char)
    }

    /// Skips some text if it is next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let mut rest = self.chars[self.at..].iter();
        let found = text.chars().all(|char| rest.next() == Some(&char));
        self.at += if found { text.chars().count() } else { 0 };
        found
    }

    /// Enters a level, which is left by setting `depth` back; an error if there are too many.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(format!("it is nested more than {DEEPEST} levels deep")) } else { Ok(()) }
    }

    /// One level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.enter()?;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }
}
