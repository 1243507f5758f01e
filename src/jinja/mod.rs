//! Jinja templates, compatible with Python's jinja2: chat templates, as transformers configures it (trimmed blocks,
//! `generation`, its functions, the immutable sandbox), and those of evaluation tasks. docs/formats.md lists the
//! differences.
//!
//! The Rust library minijinja is not compatible enough: it lacks `%` for strings, `generation`, `varargs` of macros and
//! methods that take precedence over keys, and its callbacks cannot change its grammar or operators.

// Each module uses only those above it. The syntax tree:

mod ast;
mod jinja_error;
mod unicode;

mod lexer;
mod names;

mod frames;
mod parser;

// Values and operations on them:

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

// Filters, tests, functions and methods, which use the running template:

mod json_value;

mod options;

mod runtime;

mod attributes;
mod functions;
mod output;
mod tojson;
mod urlize;

mod braces;
mod getter;

mod lazy_filters;
mod str_methods;

mod list_filters;
mod methods;
mod text_filters;

mod filters;
mod predicates;

// The running template:

mod template;

mod interpret;

pub use jinja_error::{ErrorKind, JinjaError};
pub use json_value::Json;
pub use lexer::Syntax;
pub use options::{Filter, Options};
pub use template::Template;
pub use unicode::is_space;

use ast::{Expr, Frame};
use interpret::Interpreter;
use jinja_error::Result;
use meter::Meter;
use names::KnownNames;
use std::collections::{BTreeSet, HashMap};

/// A parsed expression.
pub struct Expression {
    expression: Expr,
    template: Template,
}

/// Bytes that a template may allocate per byte of its input.
const BYTES_OF_INPUT: u64 = 64;

fn known(options: &Options, with: impl FnOnce(&KnownNames<'_>) -> Result<()>) -> Result<()> {
    with(&KnownNames { filter: &|name| filters::is_known(name, options), test: &|name| predicates::TESTS.contains(&name) })
}

impl Template {
    /// Parses a template.
    pub fn parse(source: &str, options: Options) -> Result<Self> {
        let frame = Frame::from(parser::parse(source, options.syntax, options.chat)?);
        known(&options, |known| names::check(&frame, known))?;
        let reads_self = !names::undeclared(&frame, &["self"]).is_empty();
        frames::analyze(&frame, reads_self)?;
        Ok(Self::new(frame, reads_self, options))
    }

    /// Renders it with variables.
    pub fn render(&self, variables: &[(&str, &Json)]) -> Result<String> {
        let mut interpreter = self.start(variables)?;
        interpreter.run_template()?;
        Ok(std::mem::take(&mut interpreter.out))
    }

    /// Names that it reads and does not assign, except for functions.
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
        Ok(Self { expression, template: Template::new(Frame::default(), false, options) })
    }

    /// Evaluates it with variables. The result must be representable in JSON.
    pub fn eval(&self, variables: &[(&str, &Json)]) -> Result<Json> {
        let mut interpreter = self.template.start(variables)?;
        let value = interpreter.eval(&self.expression)?;
        output::json(&value, &mut interpreter)
    }

    /// Names that it reads, except for functions.
    pub fn variables(&self) -> BTreeSet<String> {
        without_functions(names::of_expression(&self.expression))
    }
}

fn without_functions(mut names: BTreeSet<String>) -> BTreeSet<String> {
    names.retain(|name| !functions::NAMES.iter().chain(&functions::CHAT).any(|function| function == name));
    names
}
