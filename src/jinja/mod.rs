//! Jinja templates, with the values of Python's jinja2: those of chats, as transformers sets it up
//! (trimmed blocks, `generation`, its functions, the immutable sandbox), and those of evaluation
//! tasks. docs/formats.md lists what differs.
//!
//! It is the program's own because the values are what matters: the library for Rust, minijinja,
//! has no `%` for text, `generation`, `varargs` of macros or methods in front of keys, and its
//! callbacks reach neither its grammar nor its operators.

// Each uses only those above it. A template as a tree:

mod ast;
mod unicode;

mod lexer;
mod names;

mod frames;
mod parser;

mod expressions;

// Values, and what is done with them alone:

mod meter;
mod number;
mod value;
mod wrap;

mod arguments;
mod clock;
mod encodings;
mod scope;

mod object;

mod print;

mod markup;
mod pretty;
mod spec;

mod percent;

mod operators;

// Filters, tests, functions and methods, which ask the template that runs:

mod runtime;

mod attributes;
mod functions;
mod input;
mod json;
mod urlize;

mod braces;
mod getter;

mod lazy_filters;
mod text;

mod list_filters;
mod methods;
mod text_filters;

mod filters;
mod predicates;

// The template that runs:

mod interpret;

mod folding;
mod statements;

pub use input::Json;
pub use lexer::Syntax;
pub use unicode::is_space;

use ast::{Block, Expr, Frame, Stmt, StmtKind};
use interpret::Interpreter;
use meter::Meter;
use names::Known;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The template, or a value that it does not fit.
    Template,
    /// The use of what is not there.
    Undefined,
    /// The template itself raised it.
    Raised,
    /// It spent more than it may.
    Spent,
}

/// A template that cannot be parsed or rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The message.
    pub kind: ErrorKind,
    /// Why.
    pub message: String,
    /// The line, if it is known.
    pub line: Option<u32>,
}

type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Template, message: message.into(), line: None }
    }

    fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

/// A filter of the program's own: a text in, a value out.
pub type Filter = fn(&str) -> std::result::Result<Json, String>;

/// Rules of a template.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Its syntax.
    pub syntax: Syntax,
    /// True if it has what transformers gives to chat templates.
    pub chat: bool,
    /// True if what is not there is an error wherever it is named.
    pub strict: bool,
    /// Filters besides jinja2's.
    pub filters: &'static [(&'static str, Filter)],
    /// Gives the present moment, in seconds since 1970.
    pub now: fn() -> f64,
    /// Steps that a rendering may take, and bytes that it may make besides some for each of its input.
    pub steps: u64,
    /// The bytes.
    pub bytes: u64,
}

/// A template that has been parsed.
pub struct Template {
    frame: Frame,
    /// True if it names `self`.
    reads_self: bool,
    blocks: BTreeMap<Arc<str>, Arc<Block>>,
    options: Options,
}

/// An expression that has been parsed.
pub struct Expression {
    expression: Expr,
    template: Template,
}

/// Bytes that a template may make for each byte of its input.
const BYTES_OF_INPUT: u64 = 64;

fn known(options: &Options, with: impl FnOnce(&Known<'_>) -> Result<()>) -> Result<()> {
    with(&Known { filter: &|name| filters::is_known(name, options), test: &|name| predicates::TESTS.contains(&name) })
}

impl Template {
    /// Parses a template.
    pub fn parse(source: &str, options: Options) -> Result<Self> {
        let frame = Frame::from(parser::parse(source, options.syntax, options.chat)?);
        known(&options, |known| names::check(&frame, known))?;
        let reads_self = !names::undeclared(&frame, &["self"]).is_empty();
        frames::analyze(&frame, reads_self)?;
        let mut blocks = BTreeMap::new();
        find_blocks(&frame, &mut blocks);
        Ok(Self { frame, reads_self, blocks, options })
    }

    /// Its text with these variables.
    pub fn render(&self, variables: &[(&str, &Json)]) -> Result<String> {
        let mut interpreter = self.start(variables)?;
        interpreter.run_template()?;
        Ok(std::mem::take(&mut interpreter.out))
    }

    /// Names that it reads and does not assign, without those of jinja2 itself.
    pub fn variables(&self) -> BTreeSet<String> {
        without_functions(names::all_undeclared(&self.frame))
    }

    fn start(&self, variables: &[(&str, &Json)]) -> Result<Interpreter<'_>> {
        let size: usize = variables.iter().map(|(_, value)| value.size()).sum();
        let meter = Meter::new(self.options.steps + size as u64, self.options.bytes + BYTES_OF_INPUT * size as u64);
        let mut context = HashMap::new();
        for (name, value) in variables {
            context.insert((*name).into(), value.value(&meter)?);
        }
        Ok(Interpreter::new(self, context, meter))
    }
}

impl Expression {
    /// Parses an expression.
    pub fn parse(source: &str, options: Options) -> Result<Self> {
        let expression = parser::parse_expression(source)?;
        known(&options, |known| names::check_expression(&expression, known))?;
        Ok(Self { expression, template: Template { frame: Frame::default(), reads_self: false, blocks: BTreeMap::new(), options } })
    }

    /// Its value with these variables. It must be one that JSON has.
    pub fn eval(&self, variables: &[(&str, &Json)]) -> Result<Json> {
        let mut interpreter = self.template.start(variables)?;
        let value = interpreter.eval(&self.expression)?;
        Json::of(&value, &mut interpreter)
    }

    /// Names that it reads, without those of jinja2 itself.
    pub fn variables(&self) -> BTreeSet<String> {
        without_functions(names::of_expression(&self.expression))
    }
}

fn without_functions(mut names: BTreeSet<String>) -> BTreeSet<String> {
    names.retain(|name| !functions::NAMES.iter().chain(&functions::CHAT).any(|function| function == name));
    names
}

/// All blocks of a body, also those in other statements.
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
