//! Splits a template into tokens: text, and the contents of `{{ }}` and `{% %}`, with jinja2's rules for whitespace
//! around them.

use super::jinja_error::{JinjaError, Result};
use super::unicode::is_space;
use std::sync::Arc;

/// Syntax settings, named as in jinja2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Syntax {
    /// Removes the line feed after a block.
    pub trim_blocks: bool,
    /// Removes spaces before a block at the start of a line.
    pub lstrip_blocks: bool,
    /// Keeps the line feed at the end of a template.
    pub keep_trailing_newline: bool,
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Data(Arc<str>),
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

/// A token with its line.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) line: u32,
}

impl TokenKind {
    /// Describes it for errors.
    pub(super) fn describe(&self) -> String {
        match self {
            TokenKind::Data(_) => "text".into(),
            TokenKind::BlockBegin => "{%".into(),
            TokenKind::BlockEnd => "%}".into(),
            TokenKind::VariableBegin => "{{".into(),
            TokenKind::VariableEnd => "}}".into(),
            TokenKind::Name(name) => name.to_string(),
            TokenKind::Str(_) => "string".into(),
            TokenKind::Int(_) => "integer".into(),
            TokenKind::Float(_) => "float".into(),
            TokenKind::Operator(operator) => (*operator).into(),
            TokenKind::End => "end of template".into(),
        }
    }
}

/// Longest first, so that `**` is not `*` twice.
const OPERATORS: [&str; 26] =
    ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

/// Tokenizes a template; the last token is [`TokenKind::End`].
pub(super) fn tokens(source: &str, syntax: Syntax) -> Result<Vec<Token>> {
    let mut source = lines(source);
    if !syntax.keep_trailing_newline && source.ends_with('\n') {
        source.pop();
    }
    let mut lexer = Lexer { source: &source, syntax, at: 0, line: 1, line_starting: true, open: Vec::new(), tokens: Vec::new() };
    lexer.root()?;
    lexer.push(TokenKind::End);
    Ok(lexer.tokens)
}

/// Tokenizes a single expression.
pub(super) fn expression_tokens(source: &str) -> Result<Vec<Token>> {
    let source = lines(source);
    let mut lexer = Lexer { source: &source, syntax: Syntax::default(), at: 0, line: 1, line_starting: true, open: Vec::new(), tokens: Vec::new() };
    while lexer.at < source.len() {
        lexer.code()?;
    }
    lexer.push(TokenKind::End);
    Ok(lexer.tokens)
}

/// Normalizes line ends to line feeds.
fn lines(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.into() }
}

struct Lexer<'a> {
    source: &'a str,
    syntax: Syntax,
    at: usize,
    line: u32,
    /// True if the last match ended a line.
    line_starting: bool,
    /// Expected closing brackets.
    open: Vec<char>,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: TokenKind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(TokenKind::Data(text.into()));
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(JinjaError::new(message).at(self.line))
    }

    /// Advances to a position, counting lines.
    fn advance(&mut self, to: usize) {
        let passed = &self.source[self.at..to];
        self.line += passed.matches('\n').count() as u32;
        self.line_starting = passed.ends_with('\n');
        self.at = to;
    }

    /// Tokenizes text and tags, to the end.
    fn root(&mut self) -> Result<()> {
        while let Some(offset) = next_tag(self.rest()) {
            let start = self.at + offset;
            let tag = &self.source[start..];
            let raw = raw_begin(tag);
            let sign = tag[2..].chars().next().filter(|c| "+-".contains(*c));
            let variable = tag.starts_with("{{");
            let text = self.strip(&self.source[self.at..start], sign, variable);
            self.data(text);
            let length = raw.unwrap_or(2 + usize::from(sign.is_some()));
            self.advance(start + length);
            match &tag[..2] {
                _ if raw.is_some() => self.raw()?,
                "{#" => self.comment()?,
                "{{" => self.tag(TokenKind::VariableBegin, TokenKind::VariableEnd)?,
                _ => self.tag(TokenKind::BlockBegin, TokenKind::BlockEnd)?,
            }
        }
        self.data(self.rest());
        self.advance(self.source.len());
        Ok(())
    }

    /// Strips the whitespace before a tag that the tag or the settings remove.
    fn strip(&self, text: &'a str, sign: Option<char>, variable: bool) -> &'a str {
        if sign == Some('-') {
            return text.trim_end_matches(is_space);
        }
        let line = text.rfind('\n').map_or(0, |at| at + 1);
        let at_line_start = line > 0 || self.line_starting;
        let strips = sign != Some('+') && self.syntax.lstrip_blocks && !variable && at_line_start;
        if strips && text[line..].chars().all(is_space) { &text[..line] } else { text }
    }

    /// Advances past the end of a tag at `end`, and the whitespace that it removes.
    fn end_of(&mut self, end: usize, sign: Option<char>, trims: bool) {
        let mut to = end + 2;
        if sign == Some('-') {
            to = self.source.len() - self.source[to..].trim_start_matches(is_space).len();
        } else if sign.is_none() && trims && self.source[to..].starts_with('\n') {
            to += 1;
        }
        self.advance(to);
    }

    fn comment(&mut self) -> Result<()> {
        let Some(offset) = self.rest().find("#}") else { return self.fail("a comment has no end: #} is missing") };
        let sign = self.rest()[..offset].chars().next_back().filter(|c| "+-".contains(*c));
        self.end_of(self.at + offset, sign, self.syntax.trim_blocks);
        Ok(())
    }

    fn raw(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(found) = self.rest()[from..].find("{%") {
            let begin = from + found;
            if let Some((sign, end)) = raw_end(&self.rest()[begin..]) {
                let text = self.strip(&self.rest()[..begin], sign, false);
                self.data(text);
                let end = self.at + begin + end;
                let closing = self.source[..end].chars().next_back().filter(|c| "+-".contains(*c));
                self.end_of(end, closing, self.syntax.trim_blocks);
                return Ok(());
            }
            from = begin + 2;
        }
        self.fail("a raw block has no end: {% endraw %} is missing")
    }

    fn tag(&mut self, begin: TokenKind, end: TokenKind) -> Result<()> {
        self.push(begin);
        let block = end == TokenKind::BlockEnd;
        loop {
            if self.open.is_empty() {
                let rest = self.rest();
                let sign = rest.chars().next().filter(|&c| c == '-' || c == '+' && block);
                let closes = |rest: &str| rest.starts_with(if block { "%}" } else { "}}" });
                if sign.is_some() && closes(&rest[1..]) || closes(rest) {
                    let sign = sign.filter(|_| !closes(rest));
                    self.push(end);
                    self.end_of(self.at + usize::from(sign.is_some()), sign, block && self.syntax.trim_blocks);
                    return Ok(());
                }
            }
            if self.rest().is_empty() {
                return Ok(());
            }
            self.code()?;
        }
    }

    /// Reads one token inside a tag, or skips whitespace.
    fn code(&mut self) -> Result<()> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or_default();
        let (kind, length) = match first {
            c if is_space(c) => {
                self.advance(self.source.len() - rest.trim_start_matches(is_space).len());
                return Ok(());
            }
            '0'..='9' => self.number(rest)?,
            '\'' | '"' => self.string(rest, first)?,
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (TokenKind::Name(rest[..length].into()), length)
            }
            _ => match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                Some(operator) => (self.balanced(operator)?, operator.len()),
                None => return self.fail(format!("unexpected character {first:?}")),
            },
        };
        self.push(kind);
        self.advance(self.at + length);
        Ok(())
    }

    fn balanced(&mut self, operator: &'static str) -> Result<TokenKind> {
        match operator {
            "{" => self.open.push('}'),
            "(" => self.open.push(')'),
            "[" => self.open.push(']'),
            "}" | ")" | "]" => match self.open.pop() {
                Some(expected) if operator.starts_with(expected) => {}
                Some(expected) => return self.fail(format!("unexpected '{operator}', expected '{expected}'")),
                None => return self.fail(format!("unexpected '{operator}'")),
            },
            _ => {}
        }
        Ok(TokenKind::Operator(operator))
    }

    fn number(&self, rest: &str) -> Result<(TokenKind, usize)> {
        let before = self.source[..self.at].chars().next_back();
        if let Some(length) = float_length(rest).filter(|_| before != Some('.')) {
            let value = rest[..length].replace('_', "").parse::<f64>();
            return value.map(|value| (TokenKind::Float(value), length)).or_else(|_| self.fail("a number is malformed"));
        }
        let (radix, digits, prefix) = match rest.as_bytes().get(1).map(u8::to_ascii_lowercase) {
            Some(b'b') if rest.starts_with('0') => (2, grouped(&rest[2..], |c| "01".contains(c), true), 2),
            Some(b'o') if rest.starts_with('0') => (8, grouped(&rest[2..], |c| ('0'..='7').contains(&c), true), 2),
            Some(b'x') if rest.starts_with('0') => (16, grouped(&rest[2..], |c| c.is_ascii_hexdigit(), true), 2),
            _ => (10, 0, 0),
        };
        let length = match digits {
            0 if rest.starts_with('0') => grouped(rest, |c| c == '0', false),
            0 => grouped(rest, |c| c.is_ascii_digit(), false),
            _ => prefix + digits,
        };
        let text = rest[if digits > 0 { prefix } else { 0 }..length].replace('_', "");
        match i128::from_str_radix(&text, if digits > 0 { radix } else { 10 }) {
            Ok(value) => Ok((TokenKind::Int(value), length)),
            Err(_) => self.fail("integers of more than 127 bits are not supported"),
        }
    }

    fn string(&self, rest: &str, quote: char) -> Result<(TokenKind, usize)> {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    let text = unescape(&rest[1..at]).or_else(|problem| self.fail(problem))?;
                    return Ok((TokenKind::Str(text.into()), at + 1));
                }
                _ => {}
            }
        }
        self.fail(format!("a string has no end: {quote} is missing"))
    }
}

/// The position of the next tag.
fn next_tag(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let at = from + found;
        if matches!(text.as_bytes().get(at + 1), Some(b'%' | b'{' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The length of `{% raw %}`, if the tag is that.
fn raw_begin(tag: &str) -> Option<usize> {
    let inner = tag.strip_prefix("{%")?;
    let inner = inner.strip_prefix(['+', '-']).unwrap_or(inner).trim_start_matches(is_space).strip_prefix("raw")?.trim_start_matches(is_space);
    let rest = match inner.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => inner.strip_prefix("%}")?,
    };
    Some(tag.len() - rest.len())
}

/// The sign that opens `{% endraw %}`, and the position of its `%}`.
fn raw_end(tag: &str) -> Option<(Option<char>, usize)> {
    let inner = &tag[2..];
    let sign = inner.chars().next().filter(|c| "+-".contains(*c));
    let inner = inner[usize::from(sign.is_some())..].trim_start_matches(is_space).strip_prefix("endraw")?.trim_start_matches(is_space);
    let inner = inner.strip_prefix(['+', '-']).unwrap_or(inner);
    inner.starts_with("%}").then(|| (sign, tag.len() - inner.len()))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of digits, with single underscores between them.
fn grouped(text: &str, digit: impl Fn(char) -> bool, mut underscore: bool) -> usize {
    let mut length = 0;
    let mut chars = text.chars().peekable();
    let mut at = 0;
    while let Some(c) = chars.next() {
        at += c.len_utf8();
        match c {
            c if digit(c) => (length, underscore) = (at, true),
            '_' if underscore && chars.peek().is_some_and(|&c| digit(c)) => underscore = false,
            _ => break,
        }
    }
    length
}

/// The length of a float at the start of a text, if there is one.
fn float_length(text: &str) -> Option<usize> {
    let digits = |text: &str| grouped(text, |c| c.is_ascii_digit(), false);
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    let end = whole + if fraction > 0 { fraction + 1 } else { 0 };
    let exponent = text[end..].strip_prefix(['e', 'E']).map_or(0, |rest| {
        let sign = usize::from(rest.starts_with(['+', '-']));
        match digits(&rest[sign..]) {
            0 => 0,
            length => 1 + sign + length,
        }
    });
    (fraction > 0 || exponent > 0).then_some(end + exponent)
}

/// Unescapes a string literal, as Python does.
fn unescape(literal: &str) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let c = rest.chars().next().unwrap_or_default();
        rest = &rest[c.len_utf8().min(rest.len())..];
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' | 'u' | 'U' => rest = coded(rest, c, &mut out)?,
            'N' => return Err("characters by name (\\N{…}) are not supported; write \\u and four hexadecimal digits".into()),
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let code = rest[..more].bytes().fold(c as u32 - 48, |code, byte| code * 8 + u32::from(byte - b'0'));
                out.extend(char::from_u32(code));
                rest = &rest[more..];
            }
            // jinja2 escapes other characters and reads the literal as ASCII.
            c if !c.is_ascii() => out.push_str(&escaped(c)),
            c => out.extend(['\\', c]),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Unescapes a hexadecimal character code.
fn coded<'a>(rest: &'a str, kind: char, out: &mut String) -> std::result::Result<&'a str, String> {
    let length = match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    };
    let digits = rest.get(..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digits = digits.ok_or_else(|| format!("\\{kind} needs {length} hexadecimal digits"))?;
    let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    out.push(code.ok_or_else(|| format!("\\{kind}{digits} is not a character"))?);
    Ok(&rest[length..])
}

/// Escapes a character like Python's `backslashreplace`.
pub(super) fn escaped(c: char) -> String {
    match c as u32 {
        code @ ..0x100 => format!("\\x{code:02x}"),
        code @ ..0x10000 => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}
