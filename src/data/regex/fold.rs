//! Case folding as Oniguruma does it: simple foldings, and foldings to several characters (`ß` and `ss`). Pure.

use super::tree::{RegexNode, complement, set_of};
use regex_syntax::hir::ClassUnicode;

/// Characters and their folding to several characters: the full foldings of Unicode 16.
const FULL: [(&str, &str); 73] = [
    ("\u{1e9a}", "a\u{2be}"),
    ("\u{fb00}", "ff"),
    ("\u{fb01}", "fi"),
    ("\u{fb02}", "fl"),
    ("\u{1e96}", "h\u{331}"),
    ("\u{130}", "i\u{307}"),
    ("\u{1f0}", "j\u{30c}"),
    ("\u{df}\u{1e9e}", "ss"),
    ("\u{fb05}\u{fb06}", "st"),
    ("\u{1e97}", "t\u{308}"),
    ("\u{1e98}", "w\u{30a}"),
    ("\u{1e99}", "y\u{30a}"),
    ("\u{149}", "\u{2bc}n"),
    ("\u{1fb4}", "\u{3ac}\u{3b9}"),
    ("\u{1fc4}", "\u{3ae}\u{3b9}"),
    ("\u{1fb6}", "\u{3b1}\u{342}"),
    ("\u{1fb3}\u{1fbc}", "\u{3b1}\u{3b9}"),
    ("\u{1fc6}", "\u{3b7}\u{342}"),
    ("\u{1fc3}\u{1fcc}", "\u{3b7}\u{3b9}"),
    ("\u{1fd6}", "\u{3b9}\u{342}"),
    ("\u{1fe4}", "\u{3c1}\u{313}"),
    ("\u{1f50}", "\u{3c5}\u{313}"),
    ("\u{1fe6}", "\u{3c5}\u{342}"),
    ("\u{1ff6}", "\u{3c9}\u{342}"),
    ("\u{1ff3}\u{1ffc}", "\u{3c9}\u{3b9}"),
    ("\u{1ff4}", "\u{3ce}\u{3b9}"),
    ("\u{587}", "\u{565}\u{582}"),
    ("\u{fb14}", "\u{574}\u{565}"),
    ("\u{fb15}", "\u{574}\u{56b}"),
    ("\u{fb17}", "\u{574}\u{56d}"),
    ("\u{fb13}", "\u{574}\u{576}"),
    ("\u{fb16}", "\u{57e}\u{576}"),
    ("\u{1f80}\u{1f88}", "\u{1f00}\u{3b9}"),
    ("\u{1f81}\u{1f89}", "\u{1f01}\u{3b9}"),
    ("\u{1f82}\u{1f8a}", "\u{1f02}\u{3b9}"),
    ("\u{1f83}\u{1f8b}", "\u{1f03}\u{3b9}"),
    ("\u{1f84}\u{1f8c}", "\u{1f04}\u{3b9}"),
    ("\u{1f85}\u{1f8d}", "\u{1f05}\u{3b9}"),
    ("\u{1f86}\u{1f8e}", "\u{1f06}\u{3b9}"),
    ("\u{1f87}\u{1f8f}", "\u{1f07}\u{3b9}"),
    ("\u{1f90}\u{1f98}", "\u{1f20}\u{3b9}"),
    ("\u{1f91}\u{1f99}", "\u{1f21}\u{3b9}"),
    ("\u{1f92}\u{1f9a}", "\u{1f22}\u{3b9}"),
    ("\u{1f93}\u{1f9b}", "\u{1f23}\u{3b9}"),
    ("\u{1f94}\u{1f9c}", "\u{1f24}\u{3b9}"),
    ("\u{1f95}\u{1f9d}", "\u{1f25}\u{3b9}"),
    ("\u{1f96}\u{1f9e}", "\u{1f26}\u{3b9}"),
    ("\u{1f97}\u{1f9f}", "\u{1f27}\u{3b9}"),
    ("\u{1fa0}\u{1fa8}", "\u{1f60}\u{3b9}"),
    ("\u{1fa1}\u{1fa9}", "\u{1f61}\u{3b9}"),
    ("\u{1fa2}\u{1faa}", "\u{1f62}\u{3b9}"),
    ("\u{1fa3}\u{1fab}", "\u{1f63}\u{3b9}"),
    ("\u{1fa4}\u{1fac}", "\u{1f64}\u{3b9}"),
    ("\u{1fa5}\u{1fad}", "\u{1f65}\u{3b9}"),
    ("\u{1fa6}\u{1fae}", "\u{1f66}\u{3b9}"),
    ("\u{1fa7}\u{1faf}", "\u{1f67}\u{3b9}"),
    ("\u{1fb2}", "\u{1f70}\u{3b9}"),
    ("\u{1fc2}", "\u{1f74}\u{3b9}"),
    ("\u{1ff2}", "\u{1f7c}\u{3b9}"),
    ("\u{fb03}", "ffi"),
    ("\u{fb04}", "ffl"),
    ("\u{1fb7}", "\u{3b1}\u{342}\u{3b9}"),
    ("\u{1fc7}", "\u{3b7}\u{342}\u{3b9}"),
    ("\u{1fd2}", "\u{3b9}\u{308}\u{300}"),
    ("\u{390}\u{1fd3}", "\u{3b9}\u{308}\u{301}"),
    ("\u{1fd7}", "\u{3b9}\u{308}\u{342}"),
    ("\u{1fe2}", "\u{3c5}\u{308}\u{300}"),
    ("\u{3b0}\u{1fe3}", "\u{3c5}\u{308}\u{301}"),
    ("\u{1fe7}", "\u{3c5}\u{308}\u{342}"),
    ("\u{1f52}", "\u{3c5}\u{313}\u{300}"),
    ("\u{1f54}", "\u{3c5}\u{313}\u{301}"),
    ("\u{1f56}", "\u{3c5}\u{313}\u{342}"),
    ("\u{1ff7}", "\u{3c9}\u{342}\u{3b9}"),
];

/// Adds the characters that differ from one of the set only in case.
pub(super) fn close(set: &ClassUnicode) -> ClassUnicode {
    let mut closed = set.clone();
    closed.case_fold_simple();
    // Characters with the same full folding are equal; some have no simple folding to each other.
    for (chars, _) in FULL {
        if chars.chars().any(|char| contains(&closed, char)) {
            closed.union(&set_of(chars.chars()));
        }
    }
    closed
}

fn variants(char: char) -> ClassUnicode {
    close(&set_of([char]))
}

fn contains(set: &ClassUnicode, char: char) -> bool {
    let ranges = set.ranges();
    let at = ranges.partition_point(|range| range.end() < char);
    ranges.get(at).is_some_and(|range| range.start() <= char)
}

/// A sequence of characters, each in either case.
fn spelling(folded: &str) -> RegexNode {
    RegexNode::sequence(folded.chars().map(|char| RegexNode::Set(variants(char))).collect())
}

/// A bracket expression that ignores case: the set, and the foldings to several characters.
pub(super) fn bracket(raw: &ClassUnicode, negative: bool) -> RegexNode {
    let closed = close(raw);
    if negative {
        return RegexNode::Set(complement(&closed));
    }
    let spelling = FULL.iter().filter(|(chars, _)| chars.chars().any(|char| contains(&closed, char))).map(|(_, folded)| spelling(folded));
    let spelling: Vec<RegexNode> = spelling.collect();
    RegexNode::choice([RegexNode::Set(closed)].into_iter().chain(spelling).collect())
}

/// A literal text that ignores case. In a look-behind, foldings to several characters are not used.
pub(super) fn literal(text: &[char], behind: bool) -> RegexNode {
    let mut nodes = Vec::new();
    let mut rest = text;
    while let [first, ..] = rest {
        let together = if behind { None } else { several(rest) };
        let (node, length) = match together {
            Some((length, chars, folded)) => (RegexNode::Choice(vec![spelling(folded), RegexNode::Set(set_of(chars.chars()))]), length),
            None => (single(*first, behind), 1),
        };
        nodes.push(node);
        rest = &rest[length..];
    }
    RegexNode::sequence(nodes)
}

/// The longest prefix of a text that is a full folding, ignoring case.
fn several(text: &[char]) -> Option<(usize, &'static str, &'static str)> {
    [3, 2].into_iter().find_map(|length| {
        let start = text.get(..length)?;
        let spells = |folded: &str| folded.chars().count() == length && folded.chars().zip(start).all(|(folded, char)| equals_simple(folded, *char));
        FULL.iter().find(|(_, folded)| spells(folded)).map(|&(chars, folded)| (length, chars, folded))
    })
}

/// Returns true if two characters are equal by simple folding.
fn equals_simple(folded: char, char: char) -> bool {
    folded == char || contains(&variants(folded), char)
}

/// One character, ignoring case.
fn single(char: char, behind: bool) -> RegexNode {
    match FULL.iter().find(|(chars, _)| chars.contains(char)) {
        Some((chars, folded)) if !behind => RegexNode::Choice(vec![RegexNode::Set(set_of(chars.chars())), spelling(folded)]),
        _ => RegexNode::Set(variants(char)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foldings_are_found_in_either_direction() {
        assert_eq!(several(&['S', 's', 'x']).map(|(length, ..)| length), Some(2));
        assert_eq!(several(&['f', 'F', 'I']).map(|(length, ..)| length), Some(3));
        assert!(several(&['s']).is_none() && several(&['a', 's', 's']).is_none());
        assert!(contains(&variants('ß'), 'ẞ') && contains(&variants('s'), 'ſ') && contains(&variants('\u{1fd3}'), '\u{390}'));
    }
}
