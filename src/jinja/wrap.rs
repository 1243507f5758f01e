//! Lines of a width: Python's `textwrap`.

use super::unicode::is_word;

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// The lines of a paragraph, none wider than `width` characters.
pub(super) fn wrap(text: &str, width: usize, break_long_words: bool, break_on_hyphens: bool) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut chunks: Vec<Vec<char>> = if break_on_hyphens { chunks(&chars) } else { words(&chars) };
    chunks.reverse();
    let blank = |chunk: &[char]| chunk.iter().all(|&c| super::unicode::is_space(c));
    let mut lines: Vec<String> = Vec::new();
    while let Some(next) = chunks.last() {
        if blank(next) && !lines.is_empty() {
            chunks.pop();
        }
        let (mut line, mut length): (Vec<Vec<char>>, usize) = (Vec::new(), 0);
        while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.len() <= width) {
            length += chunk.len();
            line.push(chunk);
        }
        if let Some(long) = chunks.pop_if(|chunk| chunk.len() > width) {
            let left = width - length;
            if break_long_words {
                let hyphen = long[..left.min(long.len())]
                    .iter()
                    .rposition(|&c| c == '-')
                    .filter(|&at| break_on_hyphens && at > 0 && long[..at].iter().any(|&c| c != '-'));
                let (head, tail) = long.split_at(hyphen.map_or(left, |at| at + 1));
                line.push(head.to_vec());
                chunks.push(tail.to_vec());
            } else if line.is_empty() {
                line.push(long);
            } else {
                chunks.push(long);
            }
        }
        if line.last().is_some_and(|chunk| blank(chunk)) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.concat().into_iter().collect());
        }
    }
    lines
}

/// Words and the spaces between them.
fn words(text: &[char]) -> Vec<Vec<char>> {
    text.chunk_by(|&a, &b| is_space(a) == is_space(b)).map(<[char]>::to_vec).collect()
}

/// Words, their parts up to hyphens, dashes, and the spaces between them.
fn chunks(text: &[char]) -> Vec<Vec<char>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = chunk_end(text, start);
        out.push(text[start..end].to_vec());
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
        let count = dashes(from);
        (count >= 2 && from > 0 && punctuated(at(from - 1)) && at(from + count).is_some_and(is_word)).then_some(from + count)
    };
    if is_space(text[start]) {
        return text[start..].iter().position(|&c| !is_space(c)).map_or(text.len(), |count| start + count);
    }
    if let Some(end) = dash_between(start) {
        return end;
    }
    let back = |index: usize, count: usize| index.checked_sub(count).and_then(at);
    for end in start + 1..text.len() {
        let hyphen = text[end] == '-';
        let before = letter(back(end, 1)) && letter(back(end, 2)) || letter(back(end, 3)) && back(end, 2) == Some('-') && punctuated(back(end, 1));
        let after = letter(at(end + 1)) && (letter(at(end + 2)) || at(end + 2) == Some('-') && letter(at(end + 3)));
        if hyphen && before && after {
            return end + 1;
        }
        if is_space(text[end]) || dash_between(end).is_some() {
            return end;
        }
    }
    text.len()
}
