//! The syntax tree of a regular expression. Pure.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// A literal character.
    Char { char: char, ignore_case: bool },
    /// One character of a set.
    Set(ClassUnicode),
    /// Nodes in sequence.
    Sequence(Vec<Node>),
    /// Alternatives, in order.
    Choice(Vec<Node>),
    /// A quantifier; without `most`, it is unbounded.
    Repeat { body: Box<Node>, least: u32, most: Option<u32>, greedy: bool },
    /// An atomic group: no backtracking into it.
    Atomic(Box<Node>),
    /// A capturing group.
    Capture(usize, Box<Node>),
    /// Look-ahead or look-behind.
    Look { behind: bool, negative: bool, body: Box<Node> },
    /// An anchor.
    At(Anchor),
    /// `\K`: the match begins here.
    Keep,
    /// The text of the first of these groups that has matched and occurs here.
    Backreference(Vec<usize>),
    /// Matches the empty text if the group has matched.
    Matched(usize),
    /// Condition, then-branch and else-branch.
    Condition(Box<[Node; 3]>),
    /// A call of a group's expression.
    Call(Target),
}

/// The group that a call names.
#[derive(Clone, Debug)]
pub(super) enum Target {
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

impl Node {
    /// A sequence; a single node stays itself.
    pub(super) fn sequence(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Sequence(nodes),
        }
    }

    /// A choice; a single node stays itself.
    pub(super) fn choice(mut nodes: Vec<Node>) -> Node {
        if nodes.len() == 1 { nodes.remove(0) } else { Node::Choice(nodes) }
    }

    pub(super) fn look(behind: bool, negative: bool, body: Node) -> Node {
        Node::Look { behind, negative, body: Box::new(body) }
    }

    /// Zero or more, greedy.
    pub(super) fn any_number(body: Node) -> Node {
        Node::Repeat { body: Box::new(body), least: 0, most: None, greedy: true }
    }

    /// Child nodes.
    pub(super) fn children(&self) -> &[Node] {
        match self {
            Node::Sequence(nodes) | Node::Choice(nodes) => nodes,
            Node::Repeat { body, .. } | Node::Atomic(body) | Node::Capture(_, body) | Node::Look { body, .. } => std::slice::from_ref(body.as_ref()),
            Node::Condition(parts) => &parts[..],
            _ => &[],
        }
    }

    /// Child nodes, mutable.
    pub(super) fn children_mut(&mut self) -> &mut [Node] {
        match self {
            Node::Sequence(nodes) | Node::Choice(nodes) => nodes,
            Node::Repeat { body, .. } | Node::Atomic(body) | Node::Capture(_, body) | Node::Look { body, .. } => std::slice::from_mut(body.as_mut()),
            Node::Condition(parts) => &mut parts[..],
            _ => &mut [],
        }
    }

    /// Returns true if the node or a descendant passes `test`.
    pub(super) fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        test(self) || self.children().iter().any(|node| node.any(test))
    }

    /// Returns true if it never consumes a character.
    pub(super) fn zero_width(&self) -> bool {
        match self {
            Node::Char { .. } | Node::Set(_) | Node::Backreference(_) | Node::Call(_) => false,
            Node::Look { .. } => true,
            _ => self.children().iter().all(Node::zero_width),
        }
    }

    /// Returns true if it can match the empty text.
    pub(super) fn nullable(&self) -> bool {
        match self {
            Node::Char { .. } | Node::Set(_) => false,
            Node::Sequence(nodes) => nodes.iter().all(Node::nullable),
            Node::Choice(nodes) => nodes.iter().any(Node::nullable),
            Node::Repeat { body, least, .. } => *least == 0 || body.nullable(),
            Node::Atomic(body) | Node::Capture(_, body) => body.nullable(),
            Node::Condition(parts) => parts[0].nullable() && parts[1].nullable() || parts[2].nullable(),
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
