//! Parses Oniguruma's character classes, `[…]` and `\p{…}`, and escaped characters. Pure.

use super::pattern_reader::PatternReader;
use super::sets;
use super::tree::{complement, set_of};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// A token of a bracket expression.
enum BracketToken {
    Close,
    Hyphen,
    And,
    Open,
    /// A code point.
    Code(u32),
    Set(ClassUnicode),
}

/// The previous item of a bracket expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BracketState {
    Start,
    /// A character that may begin a range, or a set (`None`).
    Value(Option<u32>),
    /// A character and a hyphen.
    Range(u32),
    /// A complete range, or a nested bracket.
    Complete,
}

/// The set of a bracket expression, as far as it is parsed.
struct Bracket {
    set: ClassUnicode,
    state: BracketState,
    /// The set to the left of `&&`.
    and: Option<ClassUnicode>,
}

impl Bracket {
    /// Adds the characters from `first` to `last`.
    fn add(&mut self, first: u32, last: u32) {
        let last = last.min(char::MAX as u32);
        let first = (first..=last).find_map(char::from_u32);
        let last = (0..=last).rev().find_map(char::from_u32);
        if let (Some(first), Some(last)) = (first, last)
            && first <= last
        {
            self.set.union(&ClassUnicode::new([ClassUnicodeRange::new(first, last)]));
        }
    }

    /// Adds the pending character, if any.
    fn flush(&mut self) {
        if let BracketState::Value(Some(code)) = self.state {
            self.add(code, code);
        }
    }

    fn code(&mut self, code: u32) -> Result<(), String> {
        if let BracketState::Range(first) = self.state {
            if first > code {
                return Err("a range in brackets ends before it begins".into());
            }
            self.add(first, code);
            self.state = BracketState::Complete;
            return Ok(());
        }
        if char::from_u32(code).is_none() {
            return Err(format!("\\x{{{code:X}}} is not a character"));
        }
        self.flush();
        self.state = BracketState::Value(Some(code));
        Ok(())
    }

    fn set(&mut self, set: &ClassUnicode) -> Result<(), String> {
        if matches!(self.state, BracketState::Range(_)) {
            return Err("a range in brackets ends with a set".into());
        }
        self.flush();
        self.set.union(set);
        self.state = BracketState::Value(None);
        Ok(())
    }

    fn nested(&mut self, set: &ClassUnicode) {
        self.flush();
        self.set.union(set);
        self.state = BracketState::Complete;
    }

    fn and(&mut self) {
        self.flush();
        self.state = BracketState::Start;
        let mut set = std::mem::replace(&mut self.set, ClassUnicode::empty());
        if let Some(before) = &self.and {
            set.intersect(before);
        }
        self.and = Some(set);
    }

    fn finish(mut self) -> ClassUnicode {
        self.flush();
        if let Some(before) = &self.and {
            self.set.intersect(before);
        }
        self.set
    }
}

impl PatternReader<'_> {
    /// Parses the rest of a bracket expression; returns the set, and true if it is negated.
    pub(super) fn bracket(&mut self) -> Result<(ClassUnicode, bool), String> {
        let negative = self.eat("^");
        let mut bracket = Bracket { set: ClassUnicode::empty(), state: BracketState::Start, and: None };
        if self.peek() == Some(']') {
            // `[]…]` begins with a literal bracket, if another one closes it.
            self.at += 1;
            if !self.closes_later() {
                return Err("brackets are empty".into());
            }
            bracket.code(']' as u32)?;
        }
        let mut token = self.class_token()?;
        loop {
            token = match token {
                BracketToken::Close => return Ok((bracket.finish(), negative)),
                BracketToken::Hyphen => self.hyphen(&mut bracket)?,
                BracketToken::Code(code) => {
                    bracket.code(code)?;
                    self.class_token()?
                }
                BracketToken::Set(set) => {
                    bracket.set(&set)?;
                    self.class_token()?
                }
                BracketToken::And => {
                    bracket.and();
                    self.class_token()?
                }
                BracketToken::Open => {
                    let (set, negative) = self.nested(Self::bracket)?;
                    bracket.nested(&if negative { complement(&set) } else { set });
                    self.class_token()?
                }
            };
        }
    }

    /// Returns true if another bracket closes this class.
    fn closes_later(&self) -> bool {
        let mut escaped = false;
        self.chars[self.at..].iter().any(|&char| {
            let closes = char == ']' && !escaped;
            escaped = char == '\\' && !escaped;
            closes
        })
    }

    /// Parses a hyphen, of a range or literal; returns the next token.
    fn hyphen(&mut self, bracket: &mut Bracket) -> Result<BracketToken, String> {
        const HYPHEN: u32 = '-' as u32;
        if let BracketState::Range(_) = bracket.state {
            bracket.code(HYPHEN)?;
            return self.class_token();
        }
        let following = self.class_token()?;
        match bracket.state {
            BracketState::Value(Some(first)) if !matches!(following, BracketToken::Close | BracketToken::And) => {
                // The character begins a range.
                bracket.state = BracketState::Range(first);
                Ok(following)
            }
            BracketState::Value(None) if !matches!(following, BracketToken::Close | BracketToken::And) => Err("a range in brackets begins with a set".into()),
            _ => {
                bracket.code(HYPHEN)?;
                Ok(following)
            }
        }
    }

    fn class_token(&mut self) -> Result<BracketToken, String> {
        let char = self.next().map_err(|_| "brackets are not closed")?;
        Ok(match char {
            ']' => BracketToken::Close,
            '-' => BracketToken::Hyphen,
            '&' if self.eat("&") => BracketToken::And,
            '[' => match self.posix()? {
                Some(set) => BracketToken::Set(set),
                None => BracketToken::Open,
            },
            '\\' => match self.next()? {
                letter @ ('w' | 'W' | 'd' | 'D' | 's' | 'S' | 'h' | 'H') => BracketToken::Set(self.class_letter(letter, false)),
                letter @ ('p' | 'P') if self.peek() == Some('{') => BracketToken::Set(self.property(letter == 'P', false)?),
                'b' => BracketToken::Code(8),
                'R' | 'X' | 'N' | 'O' | 'y' | 'Y' | 'K' | 'G' | 'A' | 'Z' | 'z' | 'B' | 'k' | 'g' => BracketToken::Code(self.chars[self.at - 1] as u32),
                _ => {
                    self.at -= 1;
                    self.escaped_in_class()?
                }
            },
            char => BracketToken::Code(char as u32),
        })
    }

    fn escaped_in_class(&mut self) -> Result<BracketToken, String> {
        if self.chars[self.at..].starts_with(&['x', '{']) || self.chars[self.at..].starts_with(&['o', '{']) {
            let codes = self.braced()?;
            return match codes[..] {
                [code] => Ok(BracketToken::Code(code)),
                _ => Ok(BracketToken::Set(set_of(scalars(&codes)?))),
            };
        }
        match self.escaped_text()?[..] {
            [char] => Ok(BracketToken::Code(char as u32)),
            _ => Err("an escape in brackets is not a character".into()),
        }
    }

    /// Parses `[:name:]` after its opening bracket; `None` if it is something else.
    fn posix(&mut self) -> Result<Option<ClassUnicode>, String> {
        let rest = &self.chars[self.at..];
        let [':', rest @ ..] = rest else { return Ok(None) };
        let negative = rest.first() == Some(&'^');
        let letters = &rest[usize::from(negative)..];
        let length = letters.iter().take_while(|char| char.is_alphabetic()).count();
        if !letters[length..].starts_with(&[':', ']']) || length + usize::from(negative) == 0 {
            return Ok(None);
        }
        let name: String = letters[..length].iter().collect();
        if !sets::POSIX.contains(&name.as_str()) {
            return Err(format!("[:{name}:] is not supported"));
        }
        self.at += length + usize::from(negative) + 3;
        let set = self.ascii_if_set(&name, sets::posix(&name));
        Ok(Some(if negative { complement(&set) } else { set }))
    }

    /// Restricts a named set to ASCII if an option asks for it.
    fn ascii_if_set(&self, name: &str, set: ClassUnicode) -> ClassUnicode {
        let options = self.options;
        let ascii_option = match name {
            "word" => options.ascii_word,
            "digit" => options.ascii_digit,
            "space" => options.ascii_space,
            _ => false,
        };
        let posix = sets::POSIX.contains(&name) && name != "ascii" && options.ascii_posix;
        if ascii_option || posix { sets::ascii(&set) } else { set }
    }

    /// The set of `\w`, `\d` and so on; `\w` outside brackets has more characters than `[\w]`.
    pub(super) fn class_letter(&self, letter: char, outside_brackets: bool) -> ClassUnicode {
        let options = self.options;
        let (set, ascii) = match letter.to_ascii_lowercase() {
            'w' if outside_brackets => (sets::word(), options.ascii_word),
            'w' => (sets::posix("word"), options.ascii_word),
            'd' => (sets::posix("digit"), options.ascii_digit),
            's' => (sets::posix("space"), options.ascii_space),
            _ => (sets::posix("xdigit"), false),
        };
        let set = if ascii || options.ascii_posix { sets::ascii(&set) } else { set };
        if letter.is_ascii_uppercase() { complement(&set) } else { set }
    }

    /// Parses a property in braces, after `\p` or `\P`; `\p{word}` outside brackets has more characters than inside.
    pub(super) fn property(&mut self, negative: bool, outside_brackets: bool) -> Result<ClassUnicode, String> {
        self.at += 1;
        let negative = negative ^ self.eat("^");
        let start = self.at;
        while self.next()? != '}' {}
        let name: String = self.chars[start..self.at - 1].iter().collect();
        let set = sets::property(&name).ok_or_else(|| format!("\\p{{{name}}} is not supported"))?;
        let plain: String = name.chars().filter(|char| !matches!(char, ' ' | '-' | '_')).map(|char| char.to_ascii_lowercase()).collect();
        let set = if outside_brackets && plain == "word" { sets::word() } else { set };
        let set = self.ascii_if_set(&plain, set);
        Ok(if negative { complement(&set) } else { set })
    }

    /// Parses an escape after its backslash; returns its characters.
    pub(super) fn escaped_text(&mut self) -> Result<Vec<char>, String> {
        let start = self.at;
        let code = match self.next()? {
            't' => 9,
            'n' => 10,
            'v' => 11,
            'f' => 12,
            'r' => 13,
            'a' => 7,
            'e' => 27,
            'x' | 'o' if self.peek() == Some('{') && self.chars.get(self.at + 1).is_some_and(char::is_ascii_hexdigit) => {
                self.at = start;
                return scalars(&self.braced()?);
            }
            'x' => {
                self.at = start;
                return self.bytes();
            }
            '0'..='7' => {
                self.at = start;
                return self.bytes();
            }
            'u' => self.radix(16, 4, 4)?,
            'c' => self.control()?,
            'C' if self.eat("-") => self.control()?,
            'C' | 'M' => return Err("\\C and \\M are not supported".into()),
            char => char as u32,
        };
        scalars(&[code])
    }

    fn control(&mut self) -> Result<u32, String> {
        Ok(match self.next()? {
            '?' => 0x7f,
            '\\' => return Err("an escape as a control character is not supported".into()),
            char => char as u32 & 0x9f,
        })
    }

    /// Parses digits of a code point.
    fn radix(&mut self, radix: u32, min: usize, max: usize) -> Result<u32, String> {
        let mut code = 0u32;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|char| char.to_digit(radix)).filter(|_| digits < max) {
            self.at += 1;
            digits += 1;
            code = code.saturating_mul(radix).saturating_add(digit);
        }
        if digits < min { Err("a code point has too few digits".into()) } else { Ok(code) }
    }

    /// Parses `x{…}` or `o{…}`: code points separated by spaces.
    fn braced(&mut self) -> Result<Vec<u32>, String> {
        let radix = if self.next()? == 'x' { 16 } else { 8 };
        self.at += 1;
        let mut codes = Vec::new();
        loop {
            codes.push(self.radix(radix, 1, 11)?);
            while matches!(self.peek(), Some(' ' | '\n')) {
                self.at += 1;
            }
            if self.eat("}") {
                return Ok(codes);
            }
        }
    }

    /// Parses bytes as `\xHH` or `\OOO` that form one UTF-8 character.
    fn bytes(&mut self) -> Result<Vec<char>, String> {
        let hexadecimal = self.peek() == Some('x');
        let mut bytes = Vec::new();
        loop {
            if hexadecimal {
                self.at += 1;
            }
            let (radix, digits) = if hexadecimal { (16, 2) } else { (8, 3) };
            let byte = self.radix(radix, 0, digits)?;
            bytes.push(u8::try_from(byte).map_err(|_| "an octal number is above 255")?);
            if let Ok(text) = std::str::from_utf8(&bytes) {
                return Ok(text.chars().collect());
            }
            let next = self.chars.get(self.at + 1);
            let more = self.peek() == Some('\\') && if hexadecimal { next == Some(&'x') } else { next.is_some_and(|char| char.is_digit(8)) };
            if bytes.len() == 4 || !more {
                return Err("bytes are not a UTF-8 character".into());
            }
            self.at += 1;
        }
    }
}

/// Converts code points to characters.
fn scalars(codes: &[u32]) -> Result<Vec<char>, String> {
    codes.iter().map(|&code| char::from_u32(code).ok_or_else(|| format!("\\x{{{code:X}}} is not a character"))).collect()
}
