//! Static analysis, as in jinja2's compiler: names that are read before they are assigned, unknown filters and tests,
//! and misplaced statements.

use super::ast::{AssignTarget, Expr, ExprKind, Macro, Name, OutputPiece, Stmt, StmtKind};
use super::jinja_error::{JinjaError, Result};
use std::collections::BTreeSet;

/// Returns those of `names` that a body reads before it assigns them. Blocks are not analyzed.
pub(super) fn undeclared<'n>(body: &[Stmt], names: &[&'n str]) -> Vec<&'n str> {
    let mut reads = UndeclaredNames::default();
    reads.body(body);
    names.iter().copied().filter(|name| reads.found.contains(*name)).collect()
}

/// Returns all names that a body reads before it assigns them.
pub(super) fn all_undeclared(body: &[Stmt]) -> BTreeSet<String> {
    let mut reads = UndeclaredNames::default();
    reads.body(body);
    reads.found.iter().map(|name| name.to_string()).collect()
}

/// Returns all names in an expression.
pub(super) fn of_expression(expression: &Expr) -> BTreeSet<String> {
    let mut reads = UndeclaredNames::default();
    reads.expression(expression);
    reads.found.iter().map(|name| name.to_string()).collect()
}

#[derive(Default)]
struct UndeclaredNames {
    found: BTreeSet<Name>,
    assigned: BTreeSet<Name>,
}

impl UndeclaredNames {
    fn expression(&mut self, expression: &Expr) {
        if let ExprKind::Name(name) = &expression.kind
            && !self.assigned.contains(name)
        {
            self.found.insert(name.clone());
        }
        expression.kind.children(&mut |child| self.expression(child));
    }

    fn target(&mut self, target: &AssignTarget) {
        match target {
            AssignTarget::Name(name) => {
                self.assigned.insert(name.clone());
            }
            AssignTarget::Attribute(..) => {}
            AssignTarget::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn macro_body(&mut self, definition: &Macro) {
        self.assigned.extend(definition.parameters.iter().cloned());
        definition.defaults.iter().for_each(|default| self.expression(default));
        self.body(&definition.body);
    }

    fn body(&mut self, body: &[Stmt]) {
        body.iter().for_each(|stmt| self.statement(stmt));
    }

    fn statement(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Output(pieces) => pieces.iter().for_each(|piece| {
                if let OutputPiece::Print(expression) = piece {
                    self.expression(expression);
                }
            }),
            StmtKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    self.expression(test);
                    self.body(body);
                }
                self.body(otherwise);
            }
            StmtKind::For(node) => {
                self.target(&node.target);
                self.expression(&node.iterable);
                self.body(&node.body);
                self.body(&node.otherwise);
                node.test.iter().for_each(|test| self.expression(test));
            }
            StmtKind::Set(target, value) => {
                self.target(target);
                self.expression(value);
            }
            StmtKind::SetBlock(target, filter, body) => {
                self.target(target);
                filter.iter().for_each(|filter| self.expression(filter));
                self.body(body);
            }
            StmtKind::With(values, body) => {
                values.iter().for_each(|(target, _)| self.target(target));
                values.iter().for_each(|(_, value)| self.expression(value));
                self.body(body);
            }
            StmtKind::Macro(definition) => self.macro_body(definition),
            StmtKind::CallBlock(call, definition) => {
                self.expression(call);
                self.macro_body(definition);
            }
            StmtKind::FilterBlock(filter, body) => {
                self.body(body);
                self.expression(filter);
            }
            StmtKind::Autoescape(value, body) => {
                self.expression(value);
                self.body(body);
            }
            StmtKind::Generation(definition) => self.macro_body(definition),
            StmtKind::Block(_) | StmtKind::Break | StmtKind::Continue | StmtKind::Load(_) => {}
        }
    }
}

/// Performs the checks of jinja2's compiler.
pub(super) fn check(body: &[Stmt], known: &KnownNames<'_>) -> Result<()> {
    let mut check = NameChecker { known, blocks: BTreeSet::new(), problem: None };
    check.body(body, StmtContext::default());
    check.problem.map_or(Ok(()), Err)
}

/// Checks a single expression.
pub(super) fn check_expression(expression: &Expr, known: &KnownNames<'_>) -> Result<()> {
    let mut check = NameChecker { known, blocks: BTreeSet::new(), problem: None };
    check.expression(expression, false);
    check.problem.map_or(Ok(()), Err)
}

/// Predicates for existing filters and tests.
pub(super) struct KnownNames<'a> {
    pub(super) filter: &'a dyn Fn(&str) -> bool,
    pub(super) test: &'a dyn Fn(&str) -> bool,
}

/// The context of a statement.
#[derive(Clone, Copy, Default)]
struct StmtContext {
    /// In a condition, where an unknown filter is allowed unless it is used.
    soft: bool,
    /// In a loop of the same function.
    looped: bool,
    /// In a loop's body, where `loop` cannot be assigned.
    in_loop: bool,
}

struct NameChecker<'a> {
    known: &'a KnownNames<'a>,
    blocks: BTreeSet<Name>,
    problem: Option<JinjaError>,
}

impl NameChecker<'_> {
    fn fail(&mut self, line: u32, message: String) {
        self.problem.get_or_insert(JinjaError::new(message).at(line));
    }

    fn expression(&mut self, expression: &Expr, soft: bool) {
        let soft = soft || matches!(expression.kind, ExprKind::Condition(_));
        match &expression.kind {
            ExprKind::Filter(_, name, _) if !soft && !(self.known.filter)(name) => self.fail(expression.line, format!("there is no filter '{name}'")),
            ExprKind::Test(_, name, _) if !soft && !(self.known.test)(name) => self.fail(expression.line, format!("there is no test '{name}'")),
            _ => {}
        }
        expression.kind.children(&mut |child| self.expression(child, soft));
    }

    fn target(&mut self, target: &AssignTarget, context: StmtContext, line: u32) {
        match target {
            AssignTarget::Name(name) if context.in_loop && &**name == "loop" => {
                self.fail(line, "cannot assign to the special variable 'loop' in a loop".into())
            }
            AssignTarget::Name(_) | AssignTarget::Attribute(..) => {}
            AssignTarget::Tuple(targets) => targets.iter().for_each(|target| self.target(target, context, line)),
        }
    }

    fn function(&mut self, definition: &Macro, context: StmtContext) {
        definition.defaults.iter().for_each(|default| self.expression(default, false));
        self.body(&definition.body, StmtContext { soft: false, looped: false, ..context });
    }

    fn body(&mut self, body: &[Stmt], context: StmtContext) {
        body.iter().for_each(|stmt| self.statement(stmt, context));
    }

    fn statement(&mut self, stmt: &Stmt, context: StmtContext) {
        let inner = StmtContext { soft: false, ..context };
        match &stmt.kind {
            StmtKind::Output(pieces) => pieces.iter().for_each(|piece| {
                if let OutputPiece::Print(expression) = piece {
                    self.expression(expression, context.soft);
                }
            }),
            StmtKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    self.expression(test, true);
                    self.body(body, StmtContext { soft: true, ..context });
                }
                self.body(otherwise, StmtContext { soft: true, ..context });
            }
            StmtKind::For(node) => {
                let inside = StmtContext { soft: false, looped: true, in_loop: true };
                self.target(&node.target, inside, stmt.line);
                self.expression(&node.iterable, context.soft);
                node.test.iter().for_each(|test| self.expression(test, false));
                self.body(&node.body, inside);
                self.body(&node.otherwise, StmtContext { looped: context.looped && !node.recursive, in_loop: true, soft: false });
            }
            StmtKind::Set(target, value) => {
                self.target(target, context, stmt.line);
                self.expression(value, context.soft);
            }
            StmtKind::SetBlock(target, filter, body) => {
                self.target(target, context, stmt.line);
                filter.iter().for_each(|filter| self.expression(filter, false));
                self.body(body, inner);
            }
            StmtKind::With(values, body) => {
                values.iter().for_each(|(_, value)| self.expression(value, context.soft));
                self.body(body, inner);
            }
            StmtKind::Macro(definition) => self.function(definition, context),
            StmtKind::CallBlock(call, definition) => {
                self.expression(call, context.soft);
                self.function(definition, context);
            }
            StmtKind::FilterBlock(filter, body) => {
                self.expression(filter, false);
                self.body(body, inner);
            }
            StmtKind::Autoescape(value, body) => {
                self.expression(value, false);
                self.body(body, inner);
            }
            StmtKind::Generation(definition) => self.function(definition, context),
            StmtKind::Block(block) => {
                if !self.blocks.insert(block.name.clone()) {
                    self.fail(stmt.line, format!("the block '{}' is defined twice", block.name));
                }
                self.body(&block.body, StmtContext { in_loop: context.in_loop, ..StmtContext::default() });
            }
            StmtKind::Break | StmtKind::Continue if !context.looped => self.fail(stmt.line, "break and continue are allowed in loops only".into()),
            StmtKind::Break | StmtKind::Continue | StmtKind::Load(_) => {}
        }
    }
}
