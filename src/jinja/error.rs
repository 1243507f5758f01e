//! Errors of templates.

/// Kinds of errors.
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
    /// Its kind.
    pub kind: ErrorKind,
    /// Why.
    pub message: String,
    /// The line, if it is known.
    pub line: Option<u32>,
}

/// The result of a step of a template.
pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Template, message: message.into(), line: None }
    }

    /// The same, at a line if it has none.
    pub(super) fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}
