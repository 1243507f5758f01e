//! Regular expressions of `tokenizer.json`. They are Oniguruma's, which cannot be built for every target: a pattern is
//! parsed here and written as one that `fancy-regex` computes in the same way everywhere. What has no equal there is
//! refused by name.

// Each uses only those above it.

mod tree;

mod blocks;
mod sets;

mod fold;
mod reader;
mod segment;

mod class;
mod quantify;

mod parse;

mod calls;
mod write;

#[cfg(test)]
mod tests;

use fancy_regex::{Error, RegexBuilder, RuntimeError};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;

/// Steps back that a search may take before it is given up; Oniguruma gives up after 10 million at one place.
const STEPS: usize = 1 << 23;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    pattern: String,
    compiled: fancy_regex::Regex,
}

impl Regex {
    /// Compiles a pattern of Oniguruma.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let refused = |reason: String| format!("cannot use the regular expression {}: {reason}", shown(pattern));
        let written = translate(pattern).map_err(refused)?;
        let compiled = RegexBuilder::new(&written).backtrack_limit(STEPS).build();
        let compiled = compiled.map_err(|error| refused(format!("it has no equal here ({})", reason(&error))))?;
        Ok(Self { pattern: pattern.into(), compiled })
    }

    /// A pattern that is this text.
    pub(crate) fn literal(text: &str) -> Result<Self, String> {
        let written: String = text.chars().map(|char| format!("\\x{{{:X}}}", char as u32)).collect();
        let compiled = fancy_regex::Regex::new(&written).map_err(|error| format!("cannot look for {}: {}", shown(text), reason(&error)))?;
        Ok(Self { pattern: text.into(), compiled })
    }

    /// Its matches in a text, in order. An empty match directly behind another match does not count.
    fn matches(&self, text: &str) -> Result<Vec<Offsets>, String> {
        let (mut found, mut from, mut last) = (Vec::new(), 0, None);
        while from <= text.len() {
            let next = self.compiled.find_from_pos(text, from).map_err(|error| self.given_up(&error))?;
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

    fn given_up(&self, error: &Error) -> String {
        let why = match error {
            Error::RuntimeError(RuntimeError::BacktrackLimitExceeded) => format!("takes more than {STEPS} steps back on this text"),
            _ => format!("fails on this text ({})", reason(error)),
        };
        format!("the regular expression {} {why}", shown(&self.pattern))
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

/// The pattern that `fancy-regex` computes as Oniguruma computes this one.
fn translate(pattern: &str) -> Result<String, String> {
    let parsed = parse::parse(pattern)?;
    write::write(&calls::inlined(parsed)?)
}

/// An error of the engine, without the pattern that it was given.
fn reason(error: &Error) -> String {
    error.to_string().lines().next_back().unwrap_or_default().chars().take(200).collect()
}

/// The beginning of a pattern, in quotes.
fn shown(pattern: &str) -> String {
    let start: String = pattern.chars().take(80).collect();
    if start.len() < pattern.len() { format!("{start:?}…") } else { format!("{start:?}") }
}
