//! The syntax tree of a regular expression. Pure.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum RegexNode {
    /// Matches the empty text.
    Empty,
    /// A literal character.
    Char { char: char, ignore_case: bool },
    /// One character of a set.
    Set(ClassUnicode),
    /// Nodes in sequence.
    Sequence(Vec<RegexNode>),
    /// Alternatives, in order.
    Choice(Vec<RegexNode>),
    /// A quantifier; without `max`, it is unbounded.
    Repeat { body: Box<RegexNode>, min: u32, max: Option<u32>, greedy: bool },
    /// An atomic group: no backtracking into it.
    Atomic(Box<RegexNode>),
    /// A capturing group.
    Capture(usize, Box<RegexNode>),
    /// Look-ahead or look-behind.
    Look { behind: bool, negative: bool, body: Box<RegexNode> },
    /// An anchor.
    At(Anchor),
    /// `\K`: the match begins here.
    Keep,
    /// The text of the first of these groups that has matched and occurs here.
    Backreference(Vec<usize>),
    /// Matches the empty text if the group has matched.
    Matched(usize),
    /// Condition, then-branch and else-branch.
    Condition(Box<[RegexNode; 3]>),
    /// A call of a group's expression.
    Call(CallTarget),
}

/// The group that a call names.
#[derive(Clone, Debug)]
pub(super) enum CallTarget {
    Number(usize),
    Name(String),
}

/// An anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    TextStart,
    TextEnd,
    /// The end, or before the line feed at the end.
    LastLineEnd,
    LineStart,
    LineEnd,
    /// The start of the search.
    SearchStart,
    /// Between a word character and another one.
    WordBoundary {
        ascii: bool,
    },
    NotWordBoundary {
        ascii: bool,
    },
}

impl RegexNode {
    /// A sequence; a single node stays itself.
    pub(super) fn sequence(mut nodes: Vec<RegexNode>) -> RegexNode {
        match nodes.len() {
            0 => RegexNode::Empty,
            1 => nodes.remove(0),
            _ => RegexNode::Sequence(nodes),
        }
    }

    /// A choice; a single node stays itself.
    pub(super) fn choice(mut nodes: Vec<RegexNode>) -> RegexNode {
        if nodes.len() == 1 { nodes.remove(0) } else { RegexNode::Choice(nodes) }
    }

    pub(super) fn look(behind: bool, negative: bool, body: RegexNode) -> RegexNode {
        RegexNode::Look { behind, negative, body: Box::new(body) }
    }

    /// Zero or more, greedy.
    pub(super) fn any_number(body: RegexNode) -> RegexNode {
        RegexNode::Repeat { body: Box::new(body), min: 0, max: None, greedy: true }
    }

    /// Child nodes.
    pub(super) fn children(&self) -> &[RegexNode] {
        match self {
            RegexNode::Sequence(nodes) | RegexNode::Choice(nodes) => nodes,
            RegexNode::Repeat { body, .. } | RegexNode::Atomic(body) | RegexNode::Capture(_, body) | RegexNode::Look { body, .. } => {
                std::slice::from_ref(body.as_ref())
            }
            RegexNode::Condition(parts) => &parts[..],
            _ => &[],
        }
    }

    /// Child nodes, mutable.
    pub(super) fn children_mut(&mut self) -> &mut [RegexNode] {
        match self {
            RegexNode::Sequence(nodes) | RegexNode::Choice(nodes) => nodes,
            RegexNode::Repeat { body, .. } | RegexNode::Atomic(body) | RegexNode::Capture(_, body) | RegexNode::Look { body, .. } => {
                std::slice::from_mut(body.as_mut())
            }
            RegexNode::Condition(parts) => &mut parts[..],
            _ => &mut [],
        }
    }

    /// Returns true if the node or a descendant passes `test`.
    pub(super) fn any(&self, test: &dyn Fn(&RegexNode) -> bool) -> bool {
        test(self) || self.children().iter().any(|node| node.any(test))
    }

    /// Returns true if it never consumes a character.
    pub(super) fn zero_width(&self) -> bool {
        match self {
            RegexNode::Char { .. } | RegexNode::Set(_) | RegexNode::Backreference(_) | RegexNode::Call(_) => false,
            RegexNode::Look { .. } => true,
            _ => self.children().iter().all(RegexNode::zero_width),
        }
    }

    /// Returns true if it can match the empty text.
    pub(super) fn nullable(&self) -> bool {
        match self {
            RegexNode::Char { .. } | RegexNode::Set(_) => false,
            RegexNode::Sequence(nodes) => nodes.iter().all(RegexNode::nullable),
            RegexNode::Choice(nodes) => nodes.iter().any(RegexNode::nullable),
            RegexNode::Repeat { body, min, .. } => *min == 0 || body.nullable(),
            RegexNode::Atomic(body) | RegexNode::Capture(_, body) => body.nullable(),
            RegexNode::Condition(parts) => parts[0].nullable() && parts[1].nullable() || parts[2].nullable(),
            _ => true,
        }
    }
}

/// The set of a range of characters.
pub(super) fn range(first: char, last: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(first, last)])
}

/// The set of the given characters.
pub(super) fn set_of(chars: impl IntoIterator<Item = char>) -> ClassUnicode {
    ClassUnicode::new(chars.into_iter().map(|char| ClassUnicodeRange::new(char, char)))
}

/// All characters except those of a set. (`ClassUnicode::negate` adds U+D7FF and U+E000, which enclose the surrogates,
/// if one range ends and another begins there.)
pub(super) fn complement(set: &ClassUnicode) -> ClassUnicode {
    let mut others = range('\0', char::MAX);
    others.difference(set);
    others
}
