//! A parsed template.

use super::ast::{Block, Frame, Stmt, StmtKind};
use super::options::Options;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A parsed template.
pub struct Template {
    pub(super) frame: Frame,
    /// True if it names `self`.
    pub(super) reads_self: bool,
    pub(super) blocks: BTreeMap<Arc<str>, Arc<Block>>,
    pub(super) options: Options,
}

impl Template {
    pub(super) fn new(frame: Frame, reads_self: bool, options: Options) -> Self {
        let mut blocks = BTreeMap::new();
        find_blocks(&frame, &mut blocks);
        Self { frame, reads_self, blocks, options }
    }
}

/// Collects all blocks of a body, including nested ones.
fn find_blocks(body: &[Stmt], blocks: &mut BTreeMap<Arc<str>, Arc<Block>>) {
    for stmt in body {
        match &stmt.kind {
            StmtKind::Block(block) => {
                blocks.insert(block.name.clone(), block.clone());
                find_blocks(&block.body, blocks);
            }
            StmtKind::If(branches, otherwise) => {
                branches.iter().for_each(|(_, body)| find_blocks(body, blocks));
                find_blocks(otherwise, blocks);
            }
            StmtKind::For(node) => {
                find_blocks(&node.body, blocks);
                find_blocks(&node.otherwise, blocks);
            }
            StmtKind::SetBlock(_, _, frame) | StmtKind::With(_, frame) | StmtKind::FilterBlock(_, frame) | StmtKind::Autoescape(_, frame) => {
                find_blocks(frame, blocks);
            }
            StmtKind::Macro(definition) | StmtKind::CallBlock(_, definition) | StmtKind::Generation(definition) => find_blocks(&definition.body, blocks),
            StmtKind::Output(_) | StmtKind::Set(..) | StmtKind::Break | StmtKind::Continue | StmtKind::Load(_) => {}
        }
    }
}
