//! The template that runs, as filters, tests, functions and methods need it: they are below the interpreter, which calls
//! them, and ask it through this for what only it can do.

use super::arguments::Arguments;
use super::ast::Block;
use super::error::Result;
use super::meter::Meter;
use super::object::{LoopObject, Object};
use super::options::Options;
use super::value::Value;
use std::sync::Arc;

/// A template that runs.
pub(super) trait Runtime {
    /// The bounds of what it may spend.
    fn meter(&self) -> &Meter;

    /// Its rules.
    fn options(&self) -> &Options;

    /// Autoescaping at this place, as calls see it.
    fn escapes_calls(&self) -> bool;

    /// A block by its name.
    fn block(&self, name: &str) -> Option<Arc<Block>>;

    /// A value with a state. All are known, so that they can be taken apart in the end: they may hold each other in rings
    /// and long chains.
    fn object(&mut self, object: Object) -> Result<Value>;

    /// All items of a value. Those of a generator are gone then.
    fn iterate(&mut self, value: &Value) -> Result<Vec<Value>>;

    /// An attribute of `loop`; the loop may have to look at items to come.
    fn loop_attribute(&mut self, state: &LoopObject, name: &str) -> Result<Option<Value>>;

    /// A value through a filter by its name.
    fn filter(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<Value>;

    /// Returns true if a value passes a test by its name.
    fn test(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<bool>;
}
