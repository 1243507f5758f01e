//! Character classes and case mappings of Python's strings.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// Whitespace.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Letters.
pub(super) fn is_alpha(c: char) -> bool {
    use Category::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    matches!(get_general_category(c), LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter)
}

/// Decimal digits.
pub(super) fn is_decimal(c: char) -> bool {
    get_general_category(c) == Category::DecimalNumber
}

/// Digits, including superscript, subscript and circled ones.
pub(super) fn is_digit(c: char) -> bool {
    const OTHERS: [std::ops::RangeInclusive<char>; 12] = [
        '\u{b2}'..='\u{b3}',
        '\u{b9}'..='\u{b9}',
        '\u{1369}'..='\u{1371}',
        '\u{19da}'..='\u{19da}',
        '\u{2070}'..='\u{2079}',
        '\u{2080}'..='\u{2089}',
        '\u{2460}'..='\u{2468}',
        '\u{2474}'..='\u{247c}',
        '\u{2488}'..='\u{2490}',
        '\u{24ea}'..='\u{24ea}',
        '\u{24f5}'..='\u{24fd}',
        '\u{24ff}'..='\u{24ff}',
    ];
    is_decimal(c)
        || OTHERS.iter().any(|range| range.contains(&c)) && !('\u{2071}'..='\u{2073}').contains(&c)
        || ('\u{2776}'..='\u{2792}').contains(&c) && ![0x277f, 0x2789].contains(&(c as u32))
}

/// Numbers of any kind.
pub(super) fn is_numeric(c: char) -> bool {
    c.is_numeric() || "一二三四五六七八九十百千万億兆零〇壱弐参".contains(c)
}

/// Letters and numbers.
pub(super) fn is_alnum(c: char) -> bool {
    is_alpha(c) || is_digit(c) || is_numeric(c)
}

/// `\w` of Python's regular expressions.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || is_alnum(c)
}

/// Characters that Unicode lists individually as part of identifiers, and those that it excludes.
const IN_NAMES: [char; 6] = ['\u{2118}', '\u{212e}', '\u{1885}', '\u{1886}', '\u{b7}', '\u{387}'];
const NOT_IN_NAMES: [char; 16] = [
    '\u{37a}', '\u{2e2f}', '\u{fc5e}', '\u{fc5f}', '\u{fc60}', '\u{fc61}', '\u{fc62}', '\u{fc63}', '\u{fdfa}', '\u{fdfb}', '\u{fe70}', '\u{fe72}', '\u{fe74}',
    '\u{fe76}', '\u{fe78}', '\u{fe7a}',
];

/// Returns true if a Python identifier may begin with a character.
pub(super) fn begins_name(c: char) -> bool {
    let named = c == '_' || is_alpha(c) || get_general_category(c) == Category::LetterNumber || IN_NAMES[..4].contains(&c);
    named && !NOT_IN_NAMES.contains(&c) && !"\u{e33}\u{eb3}\u{fe7c}\u{fe7e}\u{ff9e}\u{ff9f}".contains(c)
}

/// Returns true if a Python identifier may contain a character.
pub(super) fn continues_name(c: char) -> bool {
    use Category::{ConnectorPunctuation, DecimalNumber, NonspacingMark, SpacingMark};
    let continues = matches!(get_general_category(c), ConnectorPunctuation | DecimalNumber | NonspacingMark | SpacingMark);
    let others = IN_NAMES.contains(&c) || ('\u{1369}'..='\u{1371}').contains(&c) || c == '\u{19da}' || "\u{e33}\u{eb3}\u{ff9e}\u{ff9f}".contains(c);
    begins_name(c) || continues || others
}

/// Returns true if `repr` does not escape a character.
pub(super) fn is_printable(c: char) -> bool {
    use Category::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned};
    c == ' ' || !matches!(get_general_category(c), Control | Format | Surrogate | PrivateUse | Unassigned | LineSeparator | ParagraphSeparator | SpaceSeparator)
}

/// Title case letters, which are neither upper nor lower case.
pub(super) fn is_title(c: char) -> bool {
    get_general_category(c) == Category::TitlecaseLetter
}

/// The value of a decimal digit in any script.
pub(super) fn decimal_value(c: char) -> Option<u32> {
    if !is_decimal(c) {
        return c.to_digit(10);
    }
    let zeros = (1..=9).take_while(|&back| char::from_u32(c as u32 - back).is_some_and(is_decimal)).count() as u32;
    // Digits come in runs of ten; mathematical ones without gaps between them.
    let start = if ('\u{1d7ce}'..='\u{1d7ff}').contains(&c) { (c as u32 - 0x1d7ce) % 10 } else { zeros };
    Some(start)
}

/// Appends a word's first letter in title case.
pub(super) fn title_case(c: char, out: &mut String) {
    match c {
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        'ŉ' => out.push_str("ʼN"),
        _ => {
            // If a letter becomes two, only the first is upper case: ß becomes Ss.
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// Lower case for comparisons.
pub(super) fn casefold(text: &str) -> String {
    let fold = |c: char| {
        let upper = if c == 'ı' { vec![c] } else { c.to_uppercase().collect() };
        upper.into_iter().flat_map(char::to_lowercase).collect::<Vec<_>>()
    };
    text.chars().flat_map(fold).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Line ends, as `splitlines` defines them.
pub(super) fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Splits a text into lines, with or without their ends.
pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !is_line_end(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && chars.next_if(|&(_, c)| c == '\n').is_some() {
            end += 1;
        }
        lines.push(&text[start..if keep_ends { end } else { at }]);
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}
