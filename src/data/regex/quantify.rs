//! Quantifiers: their syntax, and how Oniguruma combines two in a row. Pure.

use super::pattern_reader::PatternReader;
use super::tree::RegexNode;

/// The most repetitions of a quantifier.
const MAX_REPEATS: u32 = 100_000;

impl PatternReader<'_> {
    /// Parses a quantifier, if one follows.
    pub(super) fn quantifier(&mut self) -> Result<Option<Quantifier>, String> {
        let (min, max) = match self.peek() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => return self.interval(),
            _ => return Ok(None),
        };
        self.at += 1;
        let lazy = self.eat("?");
        let possessive = !lazy && self.eat("+");
        Ok(Some(Quantifier { min, max, greedy: !lazy, possessive }))
    }

    /// Parses `{n}`, `{n,}`, `{,m}` or `{n,m}`; other braces are literal.
    pub(super) fn interval(&mut self) -> Result<Option<Quantifier>, String> {
        let start = self.at;
        self.at += 1;
        let first = self.number()?;
        let fixed = !self.eat(",");
        let second = if fixed { first } else { self.number()? };
        if (first.is_none() && second.is_none()) || !self.eat("}") {
            self.at = start;
            return Ok(None);
        }
        let (min, max) = (first.unwrap_or(0), second);
        let swapped = max.is_some_and(|max| max < min);
        let (min, max) = if swapped { (max.unwrap_or(0), Some(min)) } else { (min, max) };
        let lazy = !fixed && !swapped && self.eat("?");
        Ok(Some(Quantifier { min, max, greedy: !lazy, possessive: swapped }))
    }

    /// Parses a decimal number, if one follows.
    pub(super) fn number(&mut self) -> Result<Option<u32>, String> {
        let mut number: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|char| char.to_digit(10)) {
            self.at += 1;
            let more = number.unwrap_or(0).saturating_mul(10).saturating_add(digit);
            if more > MAX_REPEATS {
                return Err(format!("it repeats more than {MAX_REPEATS} times"));
            }
            number = Some(more);
        }
        Ok(number)
    }
}

/// A quantifier.
pub(super) struct Quantifier {
    min: u32,
    max: Option<u32>,
    greedy: bool,
    possessive: bool,
}

impl Quantifier {
    /// Applies the quantifier to a node. Oniguruma merges two quantifiers in a row where it can.
    pub(super) fn over(self, node: RegexNode) -> RegexNode {
        if (self.min, self.max) == (1, Some(1)) {
            return node;
        }
        let repeat = |body: RegexNode, min, max, greedy| RegexNode::Repeat { body: Box::new(body), min, max, greedy };
        let node = match node {
            RegexNode::Repeat { body, min, max, greedy } => match (kind(min, max, greedy), kind(self.min, self.max, self.greedy)) {
                (Some(1 | 2), None) if self.greedy && self.max.is_some_and(|max| max > 1) => {
                    let max = if self.min == 0 { 1 } else { self.min };
                    repeat(repeat(*body, min, None, greedy), self.min, Some(max), true)
                }
                (Some(inner), Some(outer)) => match REDUCED[inner][outer] {
                    Reduced::Inner => repeat(*body, min, max, greedy),
                    Reduced::To(min, max, greedy) => repeat(*body, min, max, greedy),
                    Reduced::PlusOptional => repeat(repeat(*body, 1, None, true), 0, Some(1), false),
                    Reduced::No => repeat(repeat(*body, min, max, greedy), self.min, self.max, self.greedy),
                },
                _ => repeat(repeat(*body, min, max, greedy), self.min, self.max, self.greedy),
            },
            body => repeat(body, self.min, self.max, self.greedy),
        };
        if self.possessive { RegexNode::Atomic(Box::new(node)) } else { node }
    }
}

/// The quantifier that two in a row reduce to.
#[derive(Clone, Copy)]
enum Reduced {
    Inner,
    To(u32, Option<u32>, bool),
    /// `(?:a+)??`.
    PlusOptional,
    No,
}

/// The index of a common quantifier in the table: `?`, `*`, `+`, `??`, `*?`, `+?`.
fn kind(min: u32, max: Option<u32>, greedy: bool) -> Option<usize> {
    let at = match (min, max) {
        (0, Some(1)) => 0,
        (0, None) => 1,
        (1, None) => 2,
        _ => return None,
    };
    Some(if greedy { at } else { at + 3 })
}

/// Rows are the inner quantifier, columns the outer one (`ReduceTypeTable` in Oniguruma's regparse.c).
const REDUCED: [[Reduced; 6]; 6] = {
    use Reduced::{Inner, No, PlusOptional, To};
    const STAR: Reduced = To(0, None, true);
    const PLUS: Reduced = To(1, None, true);
    const LAZY_STAR: Reduced = To(0, None, false);
    const LAZY_OPTIONAL: Reduced = To(0, Some(1), false);
    [
        [Inner, STAR, STAR, LAZY_OPTIONAL, LAZY_STAR, No],
        [Inner, Inner, Inner, PlusOptional, PlusOptional, Inner],
        [STAR, STAR, Inner, No, PlusOptional, Inner],
        [Inner, LAZY_STAR, LAZY_STAR, Inner, LAZY_STAR, LAZY_STAR],
        [Inner; 6],
        [No, STAR, PLUS, LAZY_STAR, LAZY_STAR, Inner],
    ]
};

/// Returns true if Oniguruma does not allow to repeat the node.
pub(super) fn invalid_target(node: &RegexNode) -> bool {
    match node {
        RegexNode::At(_) | RegexNode::Look { .. } | RegexNode::Keep => true,
        RegexNode::Choice(nodes) => nodes.iter().any(invalid_target),
        _ => false,
    }
}
