//! Oniguruma's named character sets. Its tables and those of `regex-syntax` are both of Unicode 16; the sets that differ,
//! found by comparing every name and character, are built here. Pure.

use super::tree::{complement, range, set_of};
use super::unicode_blocks::BLOCKS;
use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// Characters below U+0100 that `\w` and `\b` include and `[\w]` does not.
pub(super) const NUMERIC: [char; 6] = ['\u{b2}', '\u{b3}', '\u{b9}', '\u{bc}', '\u{bd}', '\u{be}'];
/// Characters that only `regex-syntax` includes in words.
pub(super) const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// The names of POSIX brackets.
pub(super) const POSIX: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// Parses a class in the notation of `regex-syntax`.
pub(super) fn class(notation: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(notation).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(set)) => Some(set),
        HirKind::Class(Class::Bytes(set)) => set.to_unicode_class(),
        HirKind::Literal(literal) => Some(set_of(std::str::from_utf8(&literal.0).ok()?.chars())),
        _ => None,
    }
}

fn known(notation: &str) -> ClassUnicode {
    class(notation).expect("a class that regex-syntax knows")
}

/// The set of a POSIX bracket.
pub(super) fn posix(name: &str) -> ClassUnicode {
    match name {
        "alnum" => known(r"[\p{Alphabetic}\p{Nd}]"),
        "blank" => known(r"[\p{Zs}\t]"),
        "cntrl" => known(r"\p{Cc}"),
        "graph" => known(r"[^\s\p{Cc}\p{Cn}]"),
        "print" => known(r"[[^\s\p{Cc}\p{Cn}]\p{Zs}]"),
        "punct" => known(r"[\p{P}\p{S}]"),
        "word" => known(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]"),
        "xdigit" => known("[0-9A-Fa-f]"),
        other => property(other).expect("a name of POSIX"),
    }
}

/// Word characters, as `\w` has them.
pub(super) fn word() -> ClassUnicode {
    let mut set = posix("word");
    set.union(&set_of(NUMERIC));
    set
}

/// The ASCII characters of a set.
pub(super) fn ascii(set: &ClassUnicode) -> ClassUnicode {
    let mut set = set.clone();
    set.intersect(&range('\0', '\u{7f}'));
    set
}

/// The set of `\p{name}`, if it exists.
pub(super) fn property(name: &str) -> Option<ClassUnicode> {
    let name: String = name.chars().filter(|char| !matches!(char, ' ' | '-' | '_')).map(|char| char.to_ascii_lowercase()).collect();
    match name.as_str() {
        "alnum" | "blank" | "cntrl" | "graph" | "print" | "word" | "xdigit" => Some(posix(&name)),
        "posixpunct" => Some(posix("punct")),
        "newline" => Some(set_of(['\n'])),
        "cs" | "surrogate" => Some(ClassUnicode::empty()),
        "unknown" | "zzzz" => Some(known(r"[\p{Cn}\p{Co}]")),
        "innoblock" => Some(complement(&ClassUnicode::new(BLOCKS.iter().filter_map(|&(_, first, last)| scalars(first, last))))),
        _ => match BLOCKS.binary_search_by_key(&name.as_str(), |block| block.0) {
            Ok(at) => Some(ClassUnicode::new(scalars(BLOCKS[at].1, BLOCKS[at].2))),
            Err(_) if name.chars().all(|char| char.is_ascii_alphanumeric()) => class(&format!(r"\p{{{name}}}")),
            Err(_) => None,
        },
    }
}

/// The characters in a range of code points.
fn scalars(first: u32, last: u32) -> Option<regex_syntax::hir::ClassUnicodeRange> {
    Some(regex_syntax::hir::ClassUnicodeRange::new(char::from_u32(first)?, char::from_u32(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set has as many characters as in Oniguruma 6.9.10, with the same checksum
    /// (tests/golden/oniguruma_sets.txt, generated from its tables).
    #[test]
    fn sets_equal_those_of_oniguruma() {
        let lines = include_str!("../../../tests/golden/oniguruma_sets.txt");
        let mut compared = 0;
        for line in lines.lines() {
            let mut fields = line.split(' ');
            let (name, count, sum) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
            let set = property(name).unwrap_or_else(|| panic!("{name} is not known"));
            let chars = set.ranges().iter().flat_map(|range| range.start()..=range.end());
            let (found, total) = chars.fold((0u64, 0u64), |(count, sum), char| (count + 1, (sum + (u64::from(char as u32) + 1) * (count + 1)) % 1_000_003));
            assert_eq!((count.parse(), sum.parse()), (Ok(found), Ok(total)), "{name}");
            compared += 1;
        }
        assert!(compared > 800, "{compared}");
        assert!(property("nosuchproperty").is_none() && property("incb").is_none() && property("gc=L").is_none());
    }

    #[test]
    fn words_differ_from_those_of_regex_in_eight_characters() {
        let mut differing = word();
        differing.symmetric_difference(&known(r"\w"));
        assert_eq!(differing, set_of(NUMERIC.into_iter().chain(JOINERS)));
    }
}
