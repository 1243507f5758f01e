//! Options of a template.

use super::json_value::Json;
use super::lexer::Syntax;

/// A custom filter: maps text to a value.
pub type Filter = fn(&str) -> std::result::Result<Json, String>;

/// Options of a template.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The syntax.
    pub syntax: Syntax,
    /// True to add transformers' extensions for chat templates.
    pub chat: bool,
    /// True to make any use of an undefined value an error.
    pub strict: bool,
    /// Custom filters.
    pub filters: &'static [(&'static str, Filter)],
    /// Returns the current time, in seconds since 1970.
    pub now: fn() -> f64,
    /// The limit on steps of a rendering.
    pub steps: u64,
    /// The limit on bytes of a rendering, besides some per byte of its input.
    pub bytes: u64,
}
