//! Inlines calls of groups, `\g<name>`. A group that calls itself is refused. Pure.

use super::parse::Parsed;
use super::tree::{CallTarget, RegexNode};
use std::collections::HashMap;

/// Nesting depth of calls.
const MAX_DEPTH: usize = 20;
/// The most nodes after inlining.
const MAX_NODES: usize = 1 << 16;

/// Returns the tree without calls.
pub(super) fn inlined(parsed: Parsed) -> Result<RegexNode, String> {
    let Parsed { mut tree, names } = parsed;
    let mut bodies = HashMap::new();
    collect(&tree, &mut bodies);
    let mut inline = Inline { bodies, names, nodes: 0, referred: Vec::new() };
    inline.references(&tree);
    inline.replace(&mut tree, 0)?;
    Ok(tree)
}

fn collect(node: &RegexNode, bodies: &mut HashMap<usize, RegexNode>) {
    if let RegexNode::Capture(group, body) = node {
        bodies.insert(*group, (**body).clone());
    }
    node.children().iter().for_each(|node| collect(node, bodies));
}

struct Inline {
    bodies: HashMap<usize, RegexNode>,
    names: HashMap<String, Vec<usize>>,
    nodes: usize,
    referred: Vec<usize>,
}

impl Inline {
    fn references(&mut self, node: &RegexNode) {
        match node {
            RegexNode::Backreference(groups) => self.referred.extend(groups),
            RegexNode::Matched(group) => self.referred.push(*group),
            _ => {}
        }
        node.children().iter().for_each(|node| self.references(node));
    }

    fn replace(&mut self, node: &mut RegexNode, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err("inlining its calls of groups makes it too large".into());
        }
        if let RegexNode::Call(target) = node {
            if depth == MAX_DEPTH {
                return Err("a group that calls itself is not supported".into());
            }
            *node = self.body(target)?;
            return self.replace(node, depth + 1);
        }
        node.children_mut().iter_mut().try_for_each(|node| self.replace(node, depth))
    }

    fn body(&self, target: &CallTarget) -> Result<RegexNode, String> {
        let group = match target {
            CallTarget::Number(group) => *group,
            CallTarget::Name(name) => match self.names.get(name).map(Vec::as_slice) {
                Some([group]) => *group,
                Some(_) => return Err(format!("a call of {name:?}, which several groups are named, is not supported")),
                None => return Err(format!("no group has the name {name:?}")),
            },
        };
        let body = self.bodies.get(&group).ok_or_else(|| format!("there is no group {group}"))?;
        let mut captures = vec![group];
        inner_captures(body, &mut captures);
        match captures.iter().any(|group| self.referred.contains(group)) {
            true => Err("a call of a group that something refers to is not supported".into()),
            false => Ok(body.clone()),
        }
    }
}

fn inner_captures(node: &RegexNode, groups: &mut Vec<usize>) {
    if let RegexNode::Capture(group, _) = node {
        groups.push(*group);
    }
    node.children().iter().for_each(|node| inner_captures(node, groups));
}
