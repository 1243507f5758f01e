//! Text segment boundaries, `\y`, `\Y` and `\X`: extended grapheme clusters by the rules of Unicode Annex 29 that
//! Oniguruma implements (all but GB9c). Pure.

use super::sets::class;
use super::tree::{Anchor, RegexNode, complement};
use regex_syntax::hir::ClassUnicode;

fn set(notation: &str) -> ClassUnicode {
    class(notation).expect("a class that regex-syntax knows")
}

fn one(notation: &str) -> RegexNode {
    RegexNode::Set(set(notation))
}

fn after(node: RegexNode) -> RegexNode {
    RegexNode::look(true, false, node)
}

fn before(node: RegexNode) -> RegexNode {
    RegexNode::look(false, false, node)
}

/// A position between two characters, each of a set.
fn between(left: &str, right: &str) -> RegexNode {
    RegexNode::Sequence(vec![after(one(left)), before(one(right))])
}

/// A position that is not a boundary.
fn inside() -> RegexNode {
    const BREAKS: &str = r"[\p{gcb=CR}\p{gcb=LF}\p{gcb=Control}]";
    let other = complement(&set(BREAKS));
    let pictograph = RegexNode::sequence(vec![one(r"\p{Extended_Pictographic}"), RegexNode::any_number(one(r"\p{gcb=Extend}")), one(r"\p{gcb=ZWJ}")]);
    let flag = || one(r"\p{gcb=RI}");
    let not_flag = RegexNode::Choice(vec![RegexNode::At(Anchor::TextStart), RegexNode::Set(complement(&set(r"\p{gcb=RI}")))]);
    let odd = RegexNode::sequence(vec![not_flag, RegexNode::any_number(RegexNode::Sequence(vec![flag(), flag()])), flag()]);
    let joined = RegexNode::Choice(vec![
        between(r"\p{gcb=L}", r"[\p{gcb=L}\p{gcb=V}\p{gcb=LV}\p{gcb=LVT}]"),
        between(r"[\p{gcb=LV}\p{gcb=V}]", r"[\p{gcb=V}\p{gcb=T}]"),
        between(r"[\p{gcb=LVT}\p{gcb=T}]", r"\p{gcb=T}"),
        before(one(r"[\p{gcb=Extend}\p{gcb=ZWJ}\p{gcb=SpacingMark}]")),
        after(one(r"\p{gcb=Prepend}")),
        RegexNode::Sequence(vec![after(pictograph), before(one(r"\p{Extended_Pictographic}"))]),
        RegexNode::Sequence(vec![after(odd), before(flag())]),
    ]);
    RegexNode::Choice(vec![between(r"\r", r"\n"), RegexNode::sequence(vec![after(RegexNode::Set(other.clone())), before(RegexNode::Set(other)), joined])])
}

/// `\y`, or `\Y`.
pub(super) fn boundary(negative: bool) -> RegexNode {
    if negative { inside() } else { RegexNode::look(false, true, inside()) }
}

/// `\X`.
pub(super) fn cluster() -> RegexNode {
    let any = || RegexNode::Set(complement(&ClassUnicode::empty()));
    RegexNode::Atomic(Box::new(RegexNode::Sequence(vec![any(), RegexNode::any_number(RegexNode::Sequence(vec![inside(), any()]))])))
}
