//! Names that are undefined from the start of a frame until it assigns them, as in jinja2's compiler (idtracking.py). If
//! a frame assigns a name unconditionally, before reading it, and no outer frame names it, the name is local from the
//! start, also for a loop or macro in it that reads the name earlier. A name that only branches of an `if` assign, or
//! that is read first, is looked up in the context until then.

use super::ast::{AssignTarget, Expr, ExprKind, Frame, Macro, Name, OutputPiece, Stmt, StmtKind};
use super::jinja_error::{JinjaError, Result};
use super::names;
use std::collections::BTreeMap;

/// Finds the undefined names of all frames of a template.
pub(super) fn analyze(template: &Frame, reads_self: bool) -> Result<()> {
    let mut symbols = Symbols::inside(None);
    if reads_self {
        symbols.parameter(&"self".into());
    }
    symbols.finish(template)
}

/// Names that a frame reads or assigns, and the enclosing frame, whose names are complete.
struct Symbols<'a> {
    around: Option<&'a Symbols<'a>>,
    /// True for names that are undefined at its start.
    names: BTreeMap<Name, bool>,
}

impl<'a> Symbols<'a> {
    fn inside(around: Option<&'a Symbols<'a>>) -> Self {
        Self { around, names: BTreeMap::new() }
    }

    fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.around.is_some_and(|around| around.knows(name))
    }

    /// Adds a name that has a value from the start.
    fn parameter(&mut self, name: &Name) {
        self.names.insert(name.clone(), false);
    }

    fn parameters(&mut self, target: &AssignTarget) {
        match target {
            AssignTarget::Name(name) => self.parameter(name),
            AssignTarget::Attribute(..) => {}
            AssignTarget::Tuple(targets) => targets.iter().for_each(|target| self.parameters(target)),
        }
    }

    fn read(&mut self, name: &Name) {
        if !self.knows(name) {
            self.names.insert(name.clone(), false);
        }
    }

    /// Adds an assigned name; `certain` if unconditionally.
    fn assign(&mut self, name: &Name, certain: bool) {
        if !self.names.contains_key(name) {
            let undefined = certain && !self.knows(name);
            self.names.insert(name.clone(), undefined);
        }
    }

    fn target(&mut self, target: &AssignTarget, certain: bool) {
        match target {
            AssignTarget::Name(name) => self.assign(name, certain),
            AssignTarget::Attribute(name, _) => self.read(name),
            AssignTarget::Tuple(targets) => targets.iter().for_each(|target| self.target(target, certain)),
        }
    }

    fn expression(&mut self, expression: &Expr) {
        if let ExprKind::Name(name) = &expression.kind {
            self.read(name);
        }
        expression.kind.children(&mut |child| self.expression(child));
    }

    /// Adds the names of statements, without those of nested frames.
    fn body(&mut self, body: &[Stmt], certain: bool) {
        body.iter().for_each(|stmt| self.statement(stmt, certain));
    }

    fn statement(&mut self, stmt: &Stmt, certain: bool) {
        match &stmt.kind {
            StmtKind::Output(pieces) => pieces.iter().for_each(|piece| {
                if let OutputPiece::Print(expression) = piece {
                    self.expression(expression);
                }
            }),
            StmtKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    self.expression(test);
                    self.body(body, false);
                }
                self.body(otherwise, false);
            }
            StmtKind::For(node) => self.expression(&node.iterable),
            StmtKind::Set(target, value) => {
                self.expression(value);
                self.target(target, certain);
            }
            StmtKind::SetBlock(target, ..) => self.target(target, certain),
            StmtKind::With(values, _) => values.iter().for_each(|(_, value)| self.expression(value)),
            StmtKind::Macro(definition) => self.assign(&definition.name, certain),
            StmtKind::CallBlock(call, _) => self.expression(call),
            StmtKind::FilterBlock(filter, _) => self.expression(filter),
            StmtKind::Autoescape(..) | StmtKind::Generation(_) | StmtKind::Block(_) => {}
            StmtKind::Break | StmtKind::Continue | StmtKind::Load(_) => {}
        }
    }

    /// Adds the names of a frame, after its parameters, and finishes nested frames.
    fn finish(&mut self, frame: &Frame) -> Result<()> {
        self.body(frame, true);
        let undefined = self.names.iter().filter(|(_, undefined)| **undefined);
        frame.undefined.get_or_init(|| undefined.map(|(name, _)| name.clone()).collect());
        self.frames(frame)
    }

    /// Finishes the frames in statements.
    fn frames(&self, body: &[Stmt]) -> Result<()> {
        body.iter().try_for_each(|stmt| self.frames_of(stmt))
    }

    fn frames_of(&self, stmt: &Stmt) -> Result<()> {
        let mut inner = Symbols::inside(Some(self));
        match &stmt.kind {
            StmtKind::If(branches, otherwise) => {
                branches.iter().try_for_each(|(_, body)| self.frames(body))?;
                self.frames(otherwise)
            }
            StmtKind::For(node) => {
                inner.parameters(&node.target);
                if node.has_loop {
                    inner.parameter(&"loop".into());
                }
                inner.finish(&node.body)?;
                Symbols::inside(Some(self)).finish(&node.otherwise)
            }
            StmtKind::SetBlock(_, filter, frame) => {
                inner.finish(frame)?;
                filter.iter().try_for_each(|filter| inner.has_names_of(filter))
            }
            StmtKind::With(values, frame) => {
                values.iter().for_each(|(target, _)| inner.parameters(target));
                inner.finish(frame)
            }
            StmtKind::Macro(definition) | StmtKind::CallBlock(_, definition) | StmtKind::Generation(definition) => inner.macro_frame(definition),
            StmtKind::FilterBlock(_, frame) => inner.finish(frame),
            StmtKind::Autoescape(value, frame) => {
                inner.expression(value);
                inner.finish(frame)
            }
            StmtKind::Block(block) => {
                let mut inner = Symbols::inside(None);
                let own = [("self", block.reads_self), ("super", block.reads_super)];
                own.iter().filter(|(_, read)| *read).for_each(|(name, _)| inner.parameter(&(*name).into()));
                inner.finish(&block.body)
            }
            StmtKind::Output(_) | StmtKind::Set(..) | StmtKind::Break | StmtKind::Continue | StmtKind::Load(_) => Ok(()),
        }
    }

    fn macro_frame(&mut self, definition: &Macro) -> Result<()> {
        definition.parameters.iter().for_each(|parameter| self.parameter(parameter));
        let special = [("caller", definition.caller), ("kwargs", definition.kwargs), ("varargs", definition.varargs)];
        special.iter().filter(|(_, read)| *read).for_each(|(name, _)| self.parameter(&(*name).into()));
        definition.defaults.iter().for_each(|default| self.expression(default));
        self.finish(&definition.body)
    }

    /// Fails if the filter of a set block reads a name that nothing else in its frames names: jinja2 does not analyze
    /// that filter.
    fn has_names_of(&self, filter: &Expr) -> Result<()> {
        match names::of_expression(filter).iter().find(|name| !self.knows(name)) {
            Some(name) => Err(JinjaError::new(format!("the filter of a set block reads '{name}', which is not used elsewhere")).at(filter.line)),
            None => Ok(()),
        }
    }
}
