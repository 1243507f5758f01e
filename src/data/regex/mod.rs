//! Regular expressions of `tokenizer.json`. They are written for Oniguruma, a C library that cannot be built for every
//! target, so a pattern is parsed here and translated for `fancy-regex`, with the same matches. Constructs without an
//! equivalent are refused by name.

// Each module uses only those above it.

mod tree;

mod sets;
mod unicode_blocks;

mod fold;
mod pattern_reader;
mod segment;

mod brackets;
mod quantify;

mod parse;

mod calls;
mod pattern_writer;

#[cfg(test)]
mod tests;

use fancy_regex::{Error, RegexBuilder, RuntimeError};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;

/// Backtracking steps before a search fails; Oniguruma stops after 10 million at one position.
const BACKTRACK_LIMIT: usize = 1 << 23;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    pattern: String,
    compiled: fancy_regex::Regex,
}

impl Regex {
    /// Compiles an Oniguruma pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let refused = |reason: String| format!("cannot use the regular expression {}: {reason}", quoted(pattern));
        let written = translate(pattern).map_err(refused)?;
        let compiled = RegexBuilder::new(&written).backtrack_limit(BACKTRACK_LIMIT).build();
        let compiled = compiled.map_err(|error| refused(format!("fancy-regex has no equivalent ({})", reason(&error))))?;
        Ok(Self { pattern: pattern.into(), compiled })
    }

    /// A pattern that matches a literal text.
    pub(crate) fn literal(text: &str) -> Result<Self, String> {
        let written: String = text.chars().map(|char| format!("\\x{{{:X}}}", char as u32)).collect();
        let compiled = fancy_regex::Regex::new(&written).map_err(|error| format!("cannot search for {}: {}", quoted(text), reason(&error)))?;
        Ok(Self { pattern: text.into(), compiled })
    }

    /// Finds all matches in a text, in order. An empty match directly after another match is skipped.
    fn matches(&self, text: &str) -> Result<Vec<Offsets>, String> {
        let (mut found, mut from, mut last) = (Vec::new(), 0, None);
        while from <= text.len() {
            let next = self.compiled.find_from_pos(text, from).map_err(|error| self.search_error(&error))?;
            let Some(next) = next else { break };
            let (start, end) = (next.start(), next.end());
            if start == end && last == Some(end) {
                from += text[from..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            found.push((start, end));
            (from, last) = (end, Some(end));
        }
        Ok(found)
    }

    fn search_error(&self, error: &Error) -> String {
        let why = match error {
            Error::RuntimeError(RuntimeError::BacktrackLimitExceeded) => format!("takes more than {BACKTRACK_LIMIT} backtracking steps on this text"),
            _ => format!("fails on this text ({})", reason(error)),
        };
        format!("the regular expression {} {why}", quoted(&self.pattern))
    }
}

impl Pattern for &Regex {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let (mut pieces, mut before) = (Vec::new(), 0);
        for (start, end) in self.matches(inside)? {
            if before != start {
                pieces.push(((before, start), false));
            }
            pieces.push(((start, end), true));
            before = end;
        }
        if before != inside.len() {
            pieces.push(((before, inside.len()), false));
        }
        Ok(pieces)
    }
}

/// Translates an Oniguruma pattern to an equivalent one for `fancy-regex`.
fn translate(pattern: &str) -> Result<String, String> {
    let parsed = parse::parse(pattern)?;
    pattern_writer::write(&calls::inlined(parsed)?)
}

/// An error of the engine, without the pattern in it.
fn reason(error: &Error) -> String {
    error.to_string().lines().next_back().unwrap_or_default().chars().take(200).collect()
}

/// The start of a pattern, quoted.
fn quoted(pattern: &str) -> String {
    let start: String = pattern.chars().take(80).collect();
    if start.len() < pattern.len() { format!("{start:?}…") } else { format!("{start:?}") }
}
