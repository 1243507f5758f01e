//! Text segment boundaries, `\y`, `\Y` and `\X`: extended grapheme clusters by the rules of Unicode Annex 29 that
//! Oniguruma implements (all but GB9c). Pure.

use super::sets::class;
use super::tree::{Anchor, Node, complement};
use regex_syntax::hir::ClassUnicode;

fn set(notation: &str) -> ClassUnicode {
    class(notation).expect("a class that regex-syntax knows")
}

fn one(notation: &str) -> Node {
    Node::Set(set(notation))
}

fn after(node: Node) -> Node {
    Node::look(true, false, node)
}

fn before(node: Node) -> Node {
    Node::look(false, false, node)
}

/// A position between two characters, each of a set.
fn between(left: &str, right: &str) -> Node {
    Node::Sequence(vec![after(one(left)), before(one(right))])
}

/// A position that is not a boundary.
fn inside() -> Node {
    const BREAKS: &str = r"[\p{gcb=CR}\p{gcb=LF}\p{gcb=Control}]";
    let other = complement(&set(BREAKS));
    let pictograph = Node::sequence(vec![one(r"\p{Extended_Pictographic}"), Node::any_number(one(r"\p{gcb=Extend}")), one(r"\p{gcb=ZWJ}")]);
    let flag = || one(r"\p{gcb=RI}");
    let not_flag = Node::Choice(vec![Node::At(Anchor::TextStart), Node::Set(complement(&set(r"\p{gcb=RI}")))]);
    let odd = Node::sequence(vec![not_flag, Node::any_number(Node::Sequence(vec![flag(), flag()])), flag()]);
    let joined = Node::Choice(vec![
        between(r"\p{gcb=L}", r"[\p{gcb=L}\p{gcb=V}\p{gcb=LV}\p{gcb=LVT}]"),
        between(r"[\p{gcb=LV}\p{gcb=V}]", r"[\p{gcb=V}\p{gcb=T}]"),
        between(r"[\p{gcb=LVT}\p{gcb=T}]", r"\p{gcb=T}"),
        before(one(r"[\p{gcb=Extend}\p{gcb=ZWJ}\p{gcb=SpacingMark}]")),
        after(one(r"\p{gcb=Prepend}")),
        Node::Sequence(vec![after(pictograph), before(one(r"\p{Extended_Pictographic}"))]),
        Node::Sequence(vec![after(odd), before(flag())]),
    ]);
    Node::Choice(vec![between(r"\r", r"\n"), Node::sequence(vec![after(Node::Set(other.clone())), before(Node::Set(other)), joined])])
}

/// `\y`, or `\Y`.
pub(super) fn boundary(negative: bool) -> Node {
    if negative { inside() } else { Node::look(false, true, inside()) }
}

/// `\X`.
pub(super) fn cluster() -> Node {
    let any = || Node::Set(complement(&ClassUnicode::empty()));
    Node::Atomic(Box::new(Node::Sequence(vec![any(), Node::any_number(Node::Sequence(vec![inside(), any()]))])))
}
