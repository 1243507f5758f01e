//! Parses Oniguruma's syntax (`ONIG_SYNTAX_ONIGURUMA`, as in Hugging Face's tokenizers). Pure.

use super::fold;
use super::pattern_reader::PatternReader;
use super::quantify::invalid_target;
use super::segment;
use super::tree::{Anchor, CallTarget, RegexNode, complement, range, set_of};
use regex_syntax::hir::ClassUnicode;
use std::collections::HashMap;

/// A parsed pattern.
pub(super) struct Parsed {
    pub(super) tree: RegexNode,
    /// Group numbers by name.
    pub(super) names: HashMap<String, Vec<usize>>,
}

/// Parses a pattern; an error says why it cannot be used.
pub(super) fn parse(pattern: &str) -> Result<Parsed, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut reader = PatternReader::new(&chars);
    let tree = reader.alternatives()?;
    if reader.at < chars.len() {
        return Err("a closing parenthesis has no opening one".into());
    }
    if reader.numbered && !reader.names.is_empty() {
        return Err("it has both named groups and references by number".into());
    }
    Ok(Parsed { tree, names: reader.names })
}

impl PatternReader<'_> {
    fn alternatives(&mut self) -> Result<RegexNode, String> {
        let mut choices = vec![self.branch()?];
        while self.eat("|") {
            choices.push(self.branch()?);
        }
        Ok(RegexNode::choice(choices))
    }

    fn branch(&mut self) -> Result<RegexNode, String> {
        let mut nodes = Vec::new();
        loop {
            self.skip_ignored()?;
            if matches!(self.peek(), None | Some('|' | ')')) {
                return Ok(RegexNode::sequence(nodes));
            }
            let atom = self.atom()?;
            let before = self.depth;
            let quantified = self.quantified(atom);
            self.depth = before;
            nodes.push(quantified?);
        }
    }

    /// Skips comments, and white space in extended mode.
    fn skip_ignored(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                Some('(') if self.chars[self.at..].starts_with(&['(', '?', '#']) => {
                    self.at += 3;
                    while match self.next()? {
                        '\\' => self.next().is_ok(),
                        char => char != ')',
                    } {}
                }
                Some(' ' | '\t' | '\n' | '\r' | '\u{c}') if self.options.extended => self.at += 1,
                Some('#') if self.options.extended => {
                    while self.peek().is_some_and(|char| char != '\n') {
                        self.at += 1;
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Parses the quantifiers after an atom.
    fn quantified(&mut self, mut node: RegexNode) -> Result<RegexNode, String> {
        loop {
            self.skip_ignored()?;
            let Some(quantifier) = self.quantifier()? else { return Ok(node) };
            self.enter()?;
            if invalid_target(&node) {
                return Err("a quantifier follows an anchor or a look-around".into());
            }
            node = quantifier.over(node);
        }
    }

    fn atom(&mut self) -> Result<RegexNode, String> {
        let options = self.options;
        match self.next()? {
            '(' => self.nested(Self::group),
            '[' => {
                let (set, negative) = self.nested(Self::bracket)?;
                Ok(if options.ignore_case { fold::bracket(&set, negative) } else { RegexNode::Set(if negative { complement(&set) } else { set }) })
            }
            '.' => Ok(RegexNode::Set(if options.dot_all { anything() } else { no_newline() })),
            '^' => Ok(RegexNode::At(Anchor::LineStart)),
            '$' => Ok(RegexNode::At(Anchor::LineEnd)),
            '\\' => self.escape(),
            '?' | '*' | '+' => Err("a quantifier has nothing to repeat".into()),
            '{' => {
                self.at -= 1;
                match self.interval()? {
                    Some(_) => Err("a quantifier has nothing to repeat".into()),
                    None => Ok(self.literal('{', 1)),
                }
            }
            char => Ok(RegexNode::Char { char, ignore_case: options.ignore_case }),
        }
    }

    /// A literal character, `step` characters ahead.
    fn literal(&mut self, char: char, step: usize) -> RegexNode {
        self.at += step;
        RegexNode::Char { char, ignore_case: self.options.ignore_case }
    }

    fn escape(&mut self) -> Result<RegexNode, String> {
        let ascii = self.options.ascii_word || self.options.ascii_posix;
        let boundary = |negative| RegexNode::At(if negative { Anchor::NotWordBoundary { ascii } } else { Anchor::WordBoundary { ascii } });
        let node = match self.next()? {
            'b' => boundary(false),
            'B' => boundary(true),
            'A' => RegexNode::At(Anchor::TextStart),
            'z' => RegexNode::At(Anchor::TextEnd),
            'Z' => RegexNode::At(Anchor::LastLineEnd),
            'G' => RegexNode::At(Anchor::SearchStart),
            'K' => RegexNode::Keep,
            'y' => segment::boundary(false),
            'Y' => segment::boundary(true),
            'X' => segment::cluster(),
            'N' => RegexNode::Set(no_newline()),
            'O' => RegexNode::Set(anything()),
            'R' => line_end(),
            letter @ ('w' | 'W' | 'd' | 'D' | 's' | 'S' | 'h' | 'H') => RegexNode::Set(self.class_letter(letter, true)),
            letter @ ('p' | 'P') if self.peek() == Some('{') => RegexNode::Set(self.property(letter == 'P', true)?),
            'k' if matches!(self.peek(), Some('<' | '\'')) => self.backreference()?,
            'g' if matches!(self.peek(), Some('<' | '\'')) => self.call()?,
            digit @ '1'..='9' => self.digits(digit)?,
            _ => {
                self.at -= 1;
                let text = self.escaped_text()?;
                let ignore_case = self.options.ignore_case;
                RegexNode::sequence(text.into_iter().map(|char| RegexNode::Char { char, ignore_case }).collect())
            }
        };
        Ok(node)
    }

    /// Parses `\1`: a reference to an existing group or one of the first nine, else an octal number, else a digit.
    fn digits(&mut self, digit: char) -> Result<RegexNode, String> {
        self.at -= 1;
        let start = self.at;
        let number = self.number()?.unwrap_or(0) as usize;
        if number <= self.groups.max(9) {
            return self.backreference_to(vec![number], true);
        }
        self.at = start;
        if digit >= '8' {
            return Ok(self.literal(digit, 1));
        }
        let text = self.escaped_text()?;
        let ignore_case = self.options.ignore_case;
        Ok(RegexNode::sequence(text.into_iter().map(|char| RegexNode::Char { char, ignore_case }).collect()))
    }

    fn backreference_to(&mut self, groups: Vec<usize>, by_number: bool) -> Result<RegexNode, String> {
        self.numbered |= by_number;
        match self.options.ignore_case {
            true => Err("a backreference that ignores case is not supported".into()),
            false => Ok(RegexNode::Backreference(groups)),
        }
    }

    /// Parses a name between `<` and `>`, between apostrophes, or before `)`.
    fn name(&mut self) -> Result<String, String> {
        let close = match self.peek() {
            Some('<') => '>',
            Some('\'') => '\'',
            _ => ')',
        };
        self.at += usize::from(close != ')');
        let start = self.at;
        while self.next()? != close {}
        let name: String = self.chars[start..self.at - 1].iter().collect();
        self.at -= usize::from(close == ')');
        if name.is_empty() { Err("a group's name is empty".into()) } else { Ok(name) }
    }

    /// Resolves a name or a number to groups; returns true if it is a number.
    fn referred(&mut self, name: &str) -> Result<(Vec<usize>, bool), String> {
        let digits = name.trim_start_matches(['+', '-']);
        if name.starts_with(|char: char| char.is_ascii_digit() || char == '+' || char == '-') {
            let number: usize = digits.parse().map_err(|_| format!("a reference to the group {name:?} is not supported"))?;
            let group = match name.as_bytes()[0] {
                b'-' => (self.groups + 1).checked_sub(number),
                b'+' => self.groups.checked_add(number),
                _ => Some(number),
            };
            return match group {
                Some(group) if group > 0 && number > 0 => Ok((vec![group], true)),
                _ => Err(format!("there is no group {name}")),
            };
        }
        let groups = self.names.get(name).cloned();
        groups.map(|groups| (groups, false)).ok_or_else(|| format!("no group has the name {name:?} here"))
    }

    fn backreference(&mut self) -> Result<RegexNode, String> {
        let name = self.name()?;
        let (groups, by_number) = self.referred(&name)?;
        self.backreference_to(groups, by_number)
    }

    fn call(&mut self) -> Result<RegexNode, String> {
        let name = self.name()?;
        if !name.starts_with(|char: char| char.is_ascii_digit() || char == '+' || char == '-') {
            return Ok(RegexNode::Call(CallTarget::Name(name)));
        }
        if name == "0" {
            return Err("\\g<0>, a call of the whole pattern, is not supported".into());
        }
        let (groups, _) = self.referred(&name)?;
        self.numbered = true;
        Ok(RegexNode::Call(CallTarget::Number(groups[0])))
    }

    /// Parses a group after its opening parenthesis.
    fn group(&mut self) -> Result<RegexNode, String> {
        if self.peek() == Some('*') {
            return Err("(*…), a callout, is not supported".into());
        }
        if !self.eat("?") {
            self.groups += 1;
            let number = self.groups;
            return Ok(RegexNode::Capture(number, Box::new(self.group_body()?)));
        }
        let look = [("=", false, false), ("!", false, true), ("<=", true, false), ("<!", true, true)];
        if let Some((_, behind, negative)) = look.into_iter().find(|(mark, ..)| self.eat(mark)) {
            return Ok(RegexNode::look(behind, negative, self.group_body()?));
        }
        match self.peek() {
            Some(':') => {
                self.at += 1;
                self.group_body()
            }
            Some('>') => {
                self.at += 1;
                Ok(RegexNode::Atomic(Box::new(self.group_body()?)))
            }
            Some('<' | '\'') => {
                let name = self.name()?;
                if !is_name(&name) {
                    return Err(format!("{name:?} cannot be the name of a group"));
                }
                self.groups += 1;
                let number = self.groups;
                self.names.entry(name).or_default().push(number);
                Ok(RegexNode::Capture(number, Box::new(self.group_body()?)))
            }
            Some('(') => self.condition(),
            Some('~') => Err("(?~…), an absent operator, is not supported".into()),
            Some('{') => Err("(?{…}), a callout, is not supported".into()),
            _ => self.option_group(),
        }
    }

    /// Parses the rest of a group.
    fn group_body(&mut self) -> Result<RegexNode, String> {
        let outside = self.options;
        let node = self.alternatives()?;
        self.options = outside;
        if self.eat(")") { Ok(node) } else { Err("a parenthesis is not closed".into()) }
    }

    /// Parses `(?im-x:…)`, or `(?im-x)`, which applies to the rest of the enclosing group.
    fn option_group(&mut self) -> Result<RegexNode, String> {
        let outside = self.options;
        let mut inside = outside;
        let mut on = true;
        loop {
            match self.next()? {
                '-' => on = false,
                'i' => inside.ignore_case = on,
                'm' => inside.dot_all = on,
                'x' => inside.extended = on,
                'W' => inside.ascii_word = on,
                'D' => inside.ascii_digit = on,
                'S' => inside.ascii_space = on,
                'P' => inside.ascii_posix = on,
                'y' if on && self.eat("{g}") => {}
                end @ (':' | ')') => {
                    self.options = inside;
                    let node = if end == ':' { self.group_body() } else { self.alternatives() };
                    self.options = outside;
                    return node;
                }
                other => return Err(format!("the option {other:?} of a group is not supported")),
            }
        }
    }

    /// Parses `(?(…)…|…)`.
    fn condition(&mut self) -> Result<RegexNode, String> {
        self.at += 1;
        let named = matches!(self.peek(), Some('<' | '\'' | '+' | '-' | '0'..='9'));
        let condition = if named {
            let name = self.name()?;
            let (groups, by_number) = self.referred(&name)?;
            self.numbered |= by_number;
            match groups[..] {
                [group] if self.eat(")") => RegexNode::Matched(group),
                _ => return Err(format!("a condition on the groups {name:?} is not supported")),
            }
        } else {
            self.group_body()?
        };
        if self.eat(")") {
            return if named { Ok(condition) } else { Err("a condition has no branches".into()) };
        }
        let outside = self.options;
        let then = self.branch()?;
        let otherwise = if self.eat("|") { self.alternatives()? } else { RegexNode::Empty };
        self.options = outside;
        if !self.eat(")") {
            return Err("a parenthesis is not closed".into());
        }
        Ok(RegexNode::Condition(Box::new([condition, then, otherwise])))
    }
}

fn is_name(name: &str) -> bool {
    name.chars().all(|char| char.is_alphanumeric() || char == '_') && !name.starts_with(|char: char| char.is_ascii_digit())
}

fn anything() -> ClassUnicode {
    complement(&ClassUnicode::empty())
}

fn no_newline() -> ClassUnicode {
    complement(&set_of(['\n']))
}

/// `\R`.
fn line_end() -> RegexNode {
    let mut single = range('\n', '\r');
    single.union(&set_of(['\u{85}', '\u{2028}', '\u{2029}']));
    RegexNode::Atomic(Box::new(RegexNode::Choice(vec![
        RegexNode::Sequence(vec![RegexNode::Set(set_of(['\r'])), RegexNode::Set(set_of(['\n']))]),
        RegexNode::Set(single),
    ])))
}
