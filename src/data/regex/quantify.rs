//! Quantifiers: their syntax, and how Oniguruma combines two in a row. Pure.

use super::pattern_reader::Reader;
use super::tree::Node;

/// The most repetitions of a quantifier.
const MOST: u32 = 100_000;

impl Reader<'_> {
    /// Parses a quantifier, if one follows.
    pub(super) fn quantifier(&mut self) -> Result<Option<Quantifier>, String> {
        let (least, most) = match self.peek() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => return self.interval(),
            _ => return Ok(None),
        };
        self.at += 1;
        let lazy = self.eat("?");
        let possessive = !lazy && self.eat("+");
        Ok(Some(Quantifier { least, most, greedy: !lazy, possessive }))
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
        let (least, most) = (first.unwrap_or(0), second);
        let swapped = most.is_some_and(|most| most < least);
        let (least, most) = if swapped { (most.unwrap_or(0), Some(least)) } else { (least, most) };
        let lazy = !fixed && !swapped && self.eat("?");
        Ok(Some(Quantifier { least, most, greedy: !lazy, possessive: swapped }))
    }

    /// Parses a decimal number, if one follows.
    pub(super) fn number(&mut self) -> Result<Option<u32>, String> {
        let mut number: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|char| char.to_digit(10)) {
            self.at += 1;
            let more = number.unwrap_or(0).saturating_mul(10).saturating_add(digit);
            if more > MOST {
                return Err(format!("it repeats more than {MOST} times"));
            }
            number = Some(more);
        }
        Ok(number)
    }
}

/// A quantifier.
pub(super) struct Quantifier {
    least: u32,
    most: Option<u32>,
    greedy: bool,
    possessive: bool,
}

impl Quantifier {
    /// Applies the quantifier to a node. Oniguruma merges two quantifiers in a row where it can.
    pub(super) fn over(self, node: Node) -> Node {
        if (self.least, self.most) == (1, Some(1)) {
            return node;
        }
        let repeat = |body: Node, least, most, greedy| Node::Repeat { body: Box::new(body), least, most, greedy };
        let node = match node {
            Node::Repeat { body, least, most, greedy } => match (kind(least, most, greedy), kind(self.least, self.most, self.greedy)) {
                (Some(1 | 2), None) if self.greedy && self.most.is_some_and(|most| most > 1) => {
                    let most = if self.least == 0 { 1 } else { self.least };
                    repeat(repeat(*body, least, None, greedy), self.least, Some(most), true)
                }
                (Some(inner), Some(outer)) => match REDUCED[inner][outer] {
                    Reduced::Inner => repeat(*body, least, most, greedy),
                    Reduced::To(least, most, greedy) => repeat(*body, least, most, greedy),
                    Reduced::PlusOptional => repeat(repeat(*body, 1, None, true), 0, Some(1), false),
                    Reduced::No => repeat(repeat(*body, least, most, greedy), self.least, self.most, self.greedy),
                },
                _ => repeat(repeat(*body, least, most, greedy), self.least, self.most, self.greedy),
            },
            body => repeat(body, self.least, self.most, self.greedy),
        };
        if self.possessive { Node::Atomic(Box::new(node)) } else { node }
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
fn kind(least: u32, most: Option<u32>, greedy: bool) -> Option<usize> {
    let at = match (least, most) {
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
pub(super) fn invalid_target(node: &Node) -> bool {
    match node {
        Node::At(_) | Node::Look { .. } | Node::Keep => true,
        Node::Choice(nodes) => nodes.iter().any(invalid_target),
        _ => false,
    }
}
