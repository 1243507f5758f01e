//! The interface of the running template for filters, tests, functions and methods, which the interpreter calls.

use super::arguments::Arguments;
use super::ast::Block;
use super::jinja_error::Result;
use super::meter::Meter;
use super::object::{LoopObject, Object};
use super::options::Options;
use super::value::Value;
use std::sync::Arc;

/// A running template.
pub(super) trait Runtime {
    /// The limits on work and memory.
    fn meter(&self) -> &Meter;

    /// The options.
    fn options(&self) -> &Options;

    /// Autoescaping, as called functions see it.
    fn escapes_calls(&self) -> bool;

    /// A block by name.
    fn block(&self, name: &str) -> Option<Arc<Block>>;

    /// Creates a value with state. All are registered, to break reference cycles at the end.
    fn object(&mut self, object: Object) -> Result<Value>;

    /// Returns all items of a value; consumes those of a generator.
    fn iterate(&mut self, value: &Value) -> Result<Vec<Value>>;

    /// An attribute of `loop`, which may test later items.
    fn loop_attribute(&mut self, state: &LoopObject, name: &str) -> Result<Option<Value>>;

    /// Applies a filter by name.
    fn filter(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<Value>;

    /// Applies a test by name.
    fn test(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<bool>;
}
