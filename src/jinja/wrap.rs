//! Python's `textwrap`.

use super::unicode::is_word;
use std::ops::Range;

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Appends the lines of a paragraph, separated by `between`; none is wider than `width` characters.
pub(super) fn wrap(text: &str, width: usize, break_long_words: bool, break_on_hyphens: bool, between: &str, out: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    let mut chunks = if break_on_hyphens { chunks(&chars) } else { words(&chars) };
    chunks.reverse();
    // The first non-space character after the last position; positions only increase.
    let mut solid = 0;
    let mut blank = |chunk: &Range<usize>| {
        solid = solid.max(chunk.start);
        while chars.get(solid).is_some_and(|&c| super::unicode::is_space(c)) {
            solid += 1;
        }
        solid >= chunk.end
    };
    let mut first = true;
    while let Some(next) = chunks.last() {
        if blank(next) && !first {
            chunks.pop();
        }
        // Chunks are contiguous, so a line is a slice of the text.
        let (mut line, mut last): (Range<usize>, Option<Range<usize>>) = (0..0, None);
        let mut push = |line: &mut Range<usize>, chunk: Range<usize>| {
            *line = if last.is_none() { chunk.clone() } else { line.start..chunk.end };
            last = Some(chunk);
        };
        while let Some(chunk) = chunks.pop_if(|chunk| line.len() + chunk.len() <= width) {
            push(&mut line, chunk);
        }
        if let Some(long) = chunks.pop_if(|chunk| chunk.len() > width) {
            let left = (width - line.len()).min(long.len());
            if break_long_words {
                let part = &chars[long.start..long.start + left];
                let hyphen = part.iter().rposition(|&c| c == '-').filter(|&at| break_on_hyphens && at > 0 && part[..at].iter().any(|&c| c != '-'));
                let cut = long.start + hyphen.map_or(left, |at| at + 1);
                push(&mut line, long.start..cut);
                chunks.push(cut..long.end);
            } else if line.is_empty() {
                push(&mut line, long);
            } else {
                chunks.push(long);
            }
        }
        if let Some(chunk) = last.filter(&mut blank) {
            line.end = chunk.start;
        }
        if !line.is_empty() {
            if !first {
                out.push_str(between);
            }
            first = false;
            out.extend(&chars[line]);
        }
    }
}

/// Words and the spaces between them.
fn words(text: &[char]) -> Vec<Range<usize>> {
    let mut start = 0;
    let range = |chunk: &[char]| {
        let end = start + chunk.len();
        std::mem::replace(&mut start, end)..end
    };
    text.chunk_by(|&a, &b| is_space(a) == is_space(b)).map(range).collect()
}

/// Words split at hyphens and dashes, and the spaces between them.
fn chunks(text: &[char]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = chunk_end(text, start);
        out.push(start..end);
        start = end;
    }
    out
}

fn chunk_end(text: &[char], start: usize) -> usize {
    let at = |index: usize| text.get(index).copied();
    let letter = |c: Option<char>| c.is_some_and(|c| is_word(c) && !super::unicode::is_digit(c));
    let punctuated = |c: Option<char>| c.is_some_and(|c| is_word(c) || "!\"'&.,?".contains(c));
    let dashes = |from: usize| text[from..].iter().take_while(|&&c| c == '-').count();
    let dash_between = |from: usize| {
        // Only the first dash of a run can follow a word, so runs are counted at their start only.
        let first = from > 0 && at(from) == Some('-') && punctuated(at(from - 1));
        let count = if first { dashes(from) } else { 0 };
        (count >= 2 && at(from + count).is_some_and(is_word)).then_some(from + count)
    };
    if is_space(text[start]) {
        return text[start..].iter().position(|&c| !is_space(c)).map_or(text.len(), |count| start + count);
    }
    if let Some(end) = dash_between(start) {
        return end;
    }
    let back = |index: usize, count: usize| index.checked_sub(count).and_then(at);
    for (end, &next) in text.iter().enumerate().skip(start + 1) {
        let hyphen = next == '-';
        let before = letter(back(end, 1)) && letter(back(end, 2)) || letter(back(end, 3)) && back(end, 2) == Some('-') && punctuated(back(end, 1));
        let after = letter(at(end + 1)) && (letter(at(end + 2)) || at(end + 2) == Some('-') && letter(at(end + 3)));
        if hyphen && before && after {
            return end + 1;
        }
        if is_space(next) || dash_between(end).is_some() {
            return end;
        }
    }
    text.len()
}
