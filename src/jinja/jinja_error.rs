//! Errors of templates.

/// Kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An invalid template, or a value of the wrong type.
    Template,
    /// An undefined value was used.
    Undefined,
    /// The template called `raise_exception`.
    Raised,
    /// The limit on work or memory was exceeded.
    LimitExceeded,
}

/// An error of parsing or rendering a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JinjaError {
    /// The kind.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
    /// The line, if known.
    pub line: Option<u32>,
}

/// The result of parsing or rendering a part.
pub(super) type Result<T> = std::result::Result<T, JinjaError>;

impl JinjaError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Template, message: message.into(), line: None }
    }

    /// Sets the line, unless it is set.
    pub(super) fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}
