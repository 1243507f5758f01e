//! The syntax tree of a template.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A name, shared with its values.
pub(super) type Name = Arc<str>;

/// A literal.
#[derive(Clone, Debug)]
pub(super) enum Const {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// An expression with its line.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) line: u32,
    /// The depth of its tree.
    pub(super) depth: u16,
    /// True if it contains no names or calls.
    constant: bool,
    /// True if it contains a slice of a constant (`folding`).
    pub(super) folds: bool,
    pub(super) kind: ExprKind,
}

impl Expr {
    pub(super) fn new(line: u32, kind: ExprKind) -> Self {
        let (mut depth, mut folds) = (0_u16, false);
        let mut constant = !matches!(kind, ExprKind::Name(_) | ExprKind::Call(..) | ExprKind::Filter(None, ..));
        kind.children(&mut |child| {
            depth = depth.max(child.depth);
            folds |= child.folds;
            constant &= child.constant;
        });
        folds |= constant && matches!(kind, ExprKind::Slice(..));
        Self { line, depth: depth.saturating_add(1), constant, folds, kind }
    }
}

impl ExprKind {
    /// Calls `visit` with each direct child, in jinja2's order.
    pub(super) fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Self::Const(_) | Self::Name(_) => {}
            Self::Tuple(items) | Self::List(items) | Self::Concat(items) => items.iter().for_each(visit),
            Self::Dict(pairs) => pairs.iter().for_each(|(key, value)| [key, value].into_iter().for_each(&mut *visit)),
            Self::Neg(operand) | Self::Pos(operand) | Self::Not(operand) | Self::Attribute(operand, _) => visit(operand),
            Self::Binary(_, pair) | Self::And(pair) | Self::Or(pair) | Self::Item(pair) => [&pair.0, &pair.1].into_iter().for_each(visit),
            Self::Compare(first, others) => std::iter::once(&**first).chain(others.iter().map(|(_, other)| other)).for_each(visit),
            Self::Slice(value, bounds) => std::iter::once(&**value).chain(bounds.iter().flatten()).for_each(visit),
            Self::Filter(value, _, args) => value.as_deref().into_iter().chain(args.iter()).for_each(visit),
            Self::Test(value, _, args) | Self::Call(value, args) => std::iter::once(&**value).chain(args.iter()).for_each(visit),
            Self::Condition(condition) => {
                let Condition { test, then, otherwise } = &**condition;
                [test, then].into_iter().chain(otherwise).for_each(visit);
            }
        }
    }
}

impl Args {
    fn iter(&self) -> impl Iterator<Item = &Expr> {
        let named = self.named.iter().map(|(_, value)| value);
        self.positional.iter().chain(named).chain(&self.rest).chain(&self.named_rest)
    }
}

/// Kinds of expressions.
#[derive(Debug)]
pub(super) enum ExprKind {
    Const(Const),
    Name(Name),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    Not(Box<Expr>),
    Binary(BinaryOp, Box<(Expr, Expr)>),
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    Attribute(Box<Expr>, Name),
    Item(Box<(Expr, Expr)>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    /// A filter; without a value in a filter block.
    Filter(Option<Box<Expr>>, Name, Box<Args>),
    Test(Box<Expr>, Name, Box<Args>),
    Call(Box<Expr>, Box<Args>),
    Condition(Box<Condition>),
}

/// `then if test else otherwise`.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) test: Expr,
    pub(super) then: Expr,
    pub(super) otherwise: Option<Expr>,
}

/// The arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(Name, Expr)>,
    /// `*rest`.
    pub(super) rest: Option<Expr>,
    /// `**named_rest`.
    pub(super) named_rest: Option<Expr>,
}

/// The target of an assignment.
#[derive(Debug)]
pub(super) enum AssignTarget {
    Name(Name),
    /// An attribute of a namespace.
    Attribute(Name, Name),
    Tuple(Vec<AssignTarget>),
}

/// A part of the output.
#[derive(Debug)]
pub(super) enum OutputPiece {
    Text(Arc<str>),
    Print(Expr),
}

/// A statement with its line.
#[derive(Debug)]
pub(super) struct Stmt {
    pub(super) line: u32,
    pub(super) kind: StmtKind,
}

/// A list of statements.
pub(super) type Stmts = Vec<Stmt>;

/// Statements with their own variables.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) body: Stmts,
    /// Names that are undefined from its start until it assigns them (`frames`).
    pub(super) undefined: OnceLock<Vec<Name>>,
}

impl From<Stmts> for Frame {
    fn from(body: Stmts) -> Self {
        Self { body, undefined: OnceLock::new() }
    }
}

impl Deref for Frame {
    type Target = [Stmt];

    fn deref(&self) -> &[Stmt] {
        &self.body
    }
}

/// Kinds of statements.
#[derive(Debug)]
pub(super) enum StmtKind {
    Output(Vec<OutputPiece>),
    If(Vec<(Expr, Stmts)>, Stmts),
    For(Arc<For>),
    Set(AssignTarget, Expr),
    SetBlock(AssignTarget, Option<Expr>, Frame),
    With(Vec<(AssignTarget, Expr)>, Frame),
    Macro(Arc<Macro>),
    /// A call whose body becomes the macro `caller`.
    CallBlock(Expr, Arc<Macro>),
    FilterBlock(Expr, Frame),
    Autoescape(Expr, Frame),
    Block(Arc<Block>),
    /// An assistant's text, for transformers' masks: a macro that is called at once.
    Generation(Arc<Macro>),
    Break,
    Continue,
    /// A statement that loads another template, which never exists.
    Load(&'static str),
}

/// A loop.
#[derive(Debug)]
pub(super) struct For {
    pub(super) target: AssignTarget,
    pub(super) iterable: Expr,
    pub(super) test: Option<Expr>,
    pub(super) recursive: bool,
    /// True if `loop` is a variable of the body.
    pub(super) has_loop: bool,
    pub(super) body: Frame,
    pub(super) otherwise: Frame,
}

/// A macro, or the body of a call block or of `generation`.
#[derive(Debug)]
pub(super) struct Macro {
    /// Empty for a body.
    pub(super) name: Name,
    pub(super) parameters: Vec<Name>,
    /// Defaults of the last parameters.
    pub(super) defaults: Vec<Expr>,
    pub(super) body: Frame,
    /// True if the body names `kwargs`, `varargs` and `caller`.
    pub(super) kwargs: bool,
    pub(super) varargs: bool,
    pub(super) caller: bool,
}

/// A block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) name: Name,
    pub(super) scoped: bool,
    pub(super) required: bool,
    /// True if the body names `self` and `super`.
    pub(super) reads_self: bool,
    pub(super) reads_super: bool,
    pub(super) body: Frame,
}
