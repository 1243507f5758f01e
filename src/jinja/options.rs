//! Rules of a template.

use super::input::Json;
use super::lexer::Syntax;

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
