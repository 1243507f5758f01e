//! Writes a tree as a pattern for `fancy-regex` with the same matches as in Oniguruma. Sets are expanded, so that nothing
//! depends on the engine's tables or options. Pure.

use super::fold;
use super::sets::{JOINERS, NUMERIC, ascii, posix};
use super::tree::{Anchor, RegexNode, set_of};
use regex_syntax::hir::ClassUnicode;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The longest pattern that is written, in bytes; GPT-4o's takes 60 thousand.
const MAX_PATTERN: usize = 1 << 20;
/// The most ranges of characters, counting repetitions, since they take memory in the engine.
const MAX_RANGES: u64 = 200_000;

/// The context of a node, by precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    Nothing,
    Sequence,
    Quantifier,
}

/// A pattern writer.
struct PatternWriter {
    out: String,
    /// New numbers of the groups that are referenced.
    groups: BTreeMap<usize, usize>,
    /// `plain` writes groups without captures; `behind` is true in a look-behind, `looking` in any look-around.
    plain: bool,
    behind: bool,
    looking: bool,
}

/// Writes the pattern; an error says why it has no equivalent.
pub(super) fn write(tree: &RegexNode) -> Result<String, String> {
    if ranges(tree) > MAX_RANGES {
        return Err("it is too large".into());
    }
    let mut referred = Vec::new();
    references(tree, &mut referred);
    let mut captures = Vec::new();
    capturing(tree, &mut captures);
    if let Some(missing) = referred.iter().find(|group| !captures.contains(group)) {
        return Err(format!("there is no group {missing}"));
    }
    captures.retain(|group| referred.contains(group));
    let groups = captures.iter().enumerate().map(|(n, &group)| (group, n + 1)).collect();
    let mut writer = PatternWriter { out: String::new(), groups, plain: false, behind: false, looking: false };
    writer.node(tree, Precedence::Nothing)?;
    Ok(writer.out)
}

/// Collects the groups that are referenced.
fn references(node: &RegexNode, groups: &mut Vec<usize>) {
    match node {
        RegexNode::Backreference(to) => groups.extend(to),
        RegexNode::Matched(group) => groups.push(*group),
        _ => {}
    }
    node.children().iter().for_each(|node| references(node, groups));
}

/// Collects the groups in the order in which they open.
fn capturing(node: &RegexNode, groups: &mut Vec<usize>) {
    if let RegexNode::Capture(group, _) = node {
        groups.push(*group);
    }
    node.children().iter().for_each(|node| capturing(node, groups));
}

/// Counts the ranges of characters in the engine.
fn ranges(node: &RegexNode) -> u64 {
    let own = match node {
        RegexNode::Set(set) => set.ranges().len() as u64,
        _ => 1,
    };
    let inner: u64 = node.children().iter().map(ranges).sum();
    let times = match node {
        RegexNode::Repeat { min, max, .. } => u64::from(max.unwrap_or(*min).max(1)),
        _ => 1,
    };
    own.saturating_add(inner.saturating_mul(times))
}

impl PatternWriter {
    fn node(&mut self, node: &RegexNode, outer: Precedence) -> Result<(), String> {
        if self.out.len() > MAX_PATTERN {
            return Err("it is too large".into());
        }
        match node {
            RegexNode::Empty => self.put(if outer == Precedence::Quantifier { "(?:)" } else { "" }),
            RegexNode::Char { char, ignore_case: false } => self.char(*char),
            RegexNode::Char { .. } => return self.sequence(std::slice::from_ref(node), outer),
            RegexNode::Set(set) => self.set(set),
            RegexNode::Sequence(nodes) => return self.sequence(nodes, outer),
            RegexNode::Choice(nodes) => return self.choice(nodes, outer),
            RegexNode::Repeat { body, min, max, greedy } => return self.repeat(body, *min, *max, *greedy, outer),
            RegexNode::Atomic(body) => return self.group("(?>", body),
            RegexNode::Capture(number, body) => return self.capture(*number, body, outer),
            RegexNode::Look { behind, negative, body } => return self.look(*behind, *negative, body),
            RegexNode::At(anchor) => self.anchor(*anchor, outer)?,
            RegexNode::Keep if self.looking => return Err("\\K in a look-around is not supported".into()),
            RegexNode::Keep => self.put("\\K"),
            RegexNode::Backreference(groups) => self.backreference(groups),
            RegexNode::Matched(group) => {
                let group = self.groups[group];
                write!(self.out, "(?({group}))").expect("writing to a string");
            }
            RegexNode::Condition(parts) => return self.condition(parts),
            RegexNode::Call(_) => return Err("a call of a group is not supported here".into()),
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes a group with this opening.
    fn group(&mut self, open: &str, body: &RegexNode) -> Result<(), String> {
        self.put(open);
        self.node(body, Precedence::Nothing)?;
        self.put(")");
        Ok(())
    }

    fn char(&mut self, char: char) {
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '\'' => self.out.push(char),
            _ => write!(self.out, "\\x{{{:X}}}", char as u32).expect("writing to a string"),
        }
    }

    fn set(&mut self, set: &ClassUnicode) {
        self.put("[");
        // An empty set is the complement of all characters.
        if set.ranges().is_empty() {
            self.put("^\\x{0}-\\x{10FFFF}");
        }
        for range in set.ranges() {
            self.member(range.start());
            if range.end() > range.start() {
                self.put("-");
                self.member(range.end());
            }
        }
        self.put("]");
    }

    fn member(&mut self, char: char) {
        if char.is_ascii_alphanumeric() || char > '\u{a0}' { self.out.push(char) } else { self.char(char) }
    }

    /// Consecutive letters that ignore case are folded together.
    fn sequence(&mut self, nodes: &[RegexNode], outer: Precedence) -> Result<(), String> {
        let grouped = outer == Precedence::Quantifier;
        self.put(if grouped { "(?:" } else { "" });
        let mut at = 0;
        while at < nodes.len() {
            let letters = nodes[at..].iter().map_while(|node| match node {
                RegexNode::Char { char, ignore_case: true } => Some(*char),
                _ => None,
            });
            let letters: Vec<char> = letters.collect();
            if letters.is_empty() {
                self.node(&nodes[at], Precedence::Sequence)?;
                at += 1;
            } else {
                at += letters.len();
                self.node(&fold::literal(&letters, self.behind), Precedence::Sequence)?;
            }
        }
        self.put(if grouped { ")" } else { "" });
        Ok(())
    }

    fn choice(&mut self, nodes: &[RegexNode], outer: Precedence) -> Result<(), String> {
        let grouped = outer > Precedence::Nothing;
        self.put(if grouped { "(?:" } else { "" });
        for (n, node) in nodes.iter().enumerate() {
            self.put(if n > 0 { "|" } else { "" });
            // Nested choices become alternatives of this one.
            self.node(node, Precedence::Nothing)?;
        }
        self.put(if grouped { ")" } else { "" });
        Ok(())
    }

    fn repeat(&mut self, body: &RegexNode, min: u32, max: Option<u32>, greedy: bool, outer: Precedence) -> Result<(), String> {
        if max == Some(0) {
            return self.node(&RegexNode::Empty, outer);
        }
        let refers = body.any(&|node| matches!(node, RegexNode::Capture(number, _) if self.groups.contains_key(number)));
        if refers && body.nullable() {
            return Err("a group that can be empty is both repeated and referenced".into());
        }
        if body.zero_width() {
            // Repeating an anchor has no effect.
            return self.node(if min == 0 { &RegexNode::Empty } else { body }, outer);
        }
        let grouped = outer == Precedence::Quantifier;
        self.put(if grouped { "(?:" } else { "" });
        self.node(body, Precedence::Quantifier)?;
        match (min, max) {
            (0, Some(1)) => self.put("?"),
            (0, None) => self.put("*"),
            (1, None) => self.put("+"),
            (min, None) => write!(self.out, "{{{min},}}").expect("writing to a string"),
            (min, Some(max)) => write!(self.out, "{{{min},{max}}}").expect("writing to a string"),
        }
        self.put(if greedy { "" } else { "?" });
        self.put(if grouped { ")" } else { "" });
        Ok(())
    }

    fn capture(&mut self, number: usize, body: &RegexNode, outer: Precedence) -> Result<(), String> {
        if self.plain || !self.groups.contains_key(&number) {
            return self.node(body, outer);
        }
        if body
            .any(&|node| matches!(node, RegexNode::Backreference(to) if to.contains(&number)) || matches!(node, RegexNode::Matched(group) if *group == number))
        {
            return Err("a reference to a group within that group is not supported".into());
        }
        self.group("(", body)
    }

    fn look(&mut self, behind: bool, negative: bool, body: &RegexNode) -> Result<(), String> {
        let outside = (self.behind, self.looking);
        (self.behind, self.looking) = (behind, true);
        self.put(match (behind, negative) {
            (false, false) => "(?=",
            (false, true) => "(?!",
            (true, false) => "(?<=",
            (true, true) => "(?<!",
        });
        // Look-aheads are atomic.
        let hard = |node: &RegexNode| {
            matches!(
                node,
                RegexNode::Look { .. }
                    | RegexNode::At(_)
                    | RegexNode::Atomic(_)
                    | RegexNode::Backreference(_)
                    | RegexNode::Condition(_)
                    | RegexNode::Capture(..)
            )
        };
        let written = if !behind && !negative && body.any(&hard) { self.group("(?>", body) } else { self.node(body, Precedence::Nothing) };
        self.put(")");
        (self.behind, self.looking) = outside;
        written
    }

    fn backreference(&mut self, groups: &[usize]) {
        let groups: Vec<usize> = groups.iter().rev().map(|group| self.groups[group]).collect();
        let alternatives: Vec<String> = groups.iter().map(|group| format!("\\k<{group}>")).collect();
        let written = if groups.len() == 1 { alternatives.concat() } else { format!("(?>{})", alternatives.join("|")) };
        self.put(&written);
    }

    /// Writes a choice: the engine's own conditions break the atomic groups around them.
    fn condition(&mut self, [condition, then, otherwise]: &[RegexNode; 3]) -> Result<(), String> {
        self.put("(?:");
        if matches!(condition, RegexNode::Matched(_)) {
            self.node(condition, Precedence::Sequence)?
        } else {
            self.group("(?>", condition)?
        }
        self.node(then, Precedence::Sequence)?;
        self.put("|");
        let outside = std::mem::replace(&mut self.plain, true);
        self.look(false, true, condition)?;
        self.plain = outside;
        self.node(otherwise, Precedence::Sequence)?;
        self.put(")");
        Ok(())
    }

    fn anchor(&mut self, anchor: Anchor, outer: Precedence) -> Result<(), String> {
        match anchor {
            Anchor::TextStart => self.put("\\A"),
            Anchor::TextEnd => self.put("\\z"),
            Anchor::LastLineEnd => self.put("(?=\\x{A}?\\z)"),
            // Not after a line feed at the end; texts are never empty.
            Anchor::LineStart => self.put("(?m:^)(?!\\z)"),
            Anchor::LineEnd => self.put("(?m:$)"),
            Anchor::SearchStart => self.put("\\G"),
            Anchor::WordBoundary { ascii } => return self.boundary(ascii, false, outer),
            Anchor::NotWordBoundary { ascii } => return self.boundary(ascii, true, outer),
        }
        Ok(())
    }

    /// `\b` and `\B`. The engine's own have other word characters: the differences are checked explicitly.
    fn boundary(&mut self, ascii_only: bool, negative: bool, outer: Precedence) -> Result<(), String> {
        let [no_word_before, no_word_after] = if ascii_only {
            let words = ascii(&posix("word"));
            [true, false].map(|behind| RegexNode::look(behind, true, RegexNode::Set(words.clone())))
        } else {
            return self.unicode_boundary(negative);
        };
        let not = |node: &RegexNode| RegexNode::look(false, true, node.clone());
        let (both, other) = if negative {
            (vec![no_word_before.clone(), no_word_after.clone()], vec![not(&no_word_before), not(&no_word_after)])
        } else {
            (vec![no_word_before.clone(), not(&no_word_after)], vec![not(&no_word_before), no_word_after.clone()])
        };
        self.choice(&[RegexNode::Sequence(both), RegexNode::Sequence(other)], outer.max(Precedence::Sequence))
    }

    fn unicode_boundary(&mut self, negative: bool) -> Result<(), String> {
        let (mut numeric, mut joiners) = (Self::default_writer(), Self::default_writer());
        numeric.set(&set_of(NUMERIC));
        joiners.set(&set_of(JOINERS));
        let (numeric, joiners) = (numeric.out, joiners.out);
        let before = format!("(?:\\b{{start-half}}(?<!{numeric})|(?<={joiners}))");
        let after = format!("(?:\\b{{end-half}}(?!{numeric})|(?={joiners}))");
        self.put(&if negative { format!("(?:{before}{after}|(?!{before})(?!{after}))") } else { format!("(?:{before}(?!{after})|(?!{before}){after})") });
        Ok(())
    }

    fn default_writer() -> Self {
        Self { out: String::new(), groups: BTreeMap::new(), plain: true, behind: false, looking: false }
    }
}
