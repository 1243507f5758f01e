//! Values with state, or that can be called.

use super::arguments::Arguments;
use super::ast::{Block, For, Macro, Name};
use super::scope::Scope;
use super::value::{AnyObject, Value};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// A value with state, or that can be called.
#[derive(Debug)]
pub(super) enum Object {
    /// A function of jinja2 or transformers.
    Function(&'static str),
    /// A method of a value.
    Method(Value, Name),
    /// A macro, with the scope of its definition.
    Macro(MacroObject),
    /// `loop`.
    Loop(LoopObject),
    /// `namespace()`.
    Namespace(RefCell<Vec<(Name, Value)>>),
    /// `cycler()`.
    Cycler(Vec<Value>, Cell<usize>),
    /// `joiner()`.
    Joiner(Value, Cell<bool>),
    /// A lazy filter, or its remaining items.
    Generator(RefCell<LazyItems>, &'static str),
    /// `self`, with the scope of its blocks.
    Template(Rc<Scope>),
    /// A block of `self`.
    Block(Arc<Block>, Rc<Scope>),
}

/// A macro.
pub(super) struct MacroObject {
    pub(super) definition: Arc<Macro>,
    pub(super) scope: Rc<Scope>,
    /// True if its body autoescapes output.
    pub(super) escapes: bool,
}

impl std::fmt::Debug for MacroObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<Macro {}>", self.definition.name)
    }
}

/// A loop's state.
pub(super) struct LoopObject {
    /// Remaining items, not tested yet.
    pub(super) source: RefCell<VecDeque<Value>>,
    /// Items that passed the test.
    pub(super) ready: RefCell<VecDeque<Value>>,
    pub(super) index: Cell<usize>,
    pub(super) length: Cell<Option<usize>>,
    pub(super) previous: RefCell<Option<Value>>,
    pub(super) current: RefCell<Option<Value>>,
    pub(super) changed: RefCell<Option<Vec<Value>>>,
    pub(super) depth: usize,
    pub(super) node: Arc<For>,
    /// The enclosing scope.
    pub(super) scope: Rc<Scope>,
}

impl std::fmt::Debug for LoopObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<LoopContext {}>", self.index.get())
    }
}

/// A lazy filter, like Python's generators; each item is returned once.
#[derive(Debug)]
pub(super) enum LazyItems {
    /// A filter that has not run, its value and arguments.
    Waiting(&'static str, Value, Arguments),
    /// Remaining items.
    Items(VecDeque<Value>),
}

impl AnyObject for Object {
    fn type_name(&self) -> &'static str {
        match self {
            Object::Function(_) => "function",
            Object::Method(..) => "builtin_function_or_method",
            Object::Macro(_) => "Macro",
            Object::Loop(_) => "LoopContext",
            Object::Namespace(_) => "TemplateNamespace",
            Object::Cycler(..) => "Cycler",
            Object::Joiner(..) => "Joiner",
            Object::Generator(_, name) => name,
            Object::Template(_) => "TemplateReference",
            Object::Block(..) => "BlockReference",
        }
    }
}

impl Value {
    /// An object, if it is one.
    pub(super) fn as_object(&self) -> Option<&Object> {
        let Value::Object(object) = self else { return None };
        let object: &dyn Any = &**object;
        object.downcast_ref()
    }
}

impl Object {
    /// Returns true if it can be called.
    pub(super) fn is_callable(&self) -> bool {
        matches!(self, Object::Function(_) | Object::Method(..) | Object::Macro(_) | Object::Loop(_) | Object::Joiner(..) | Object::Block(..))
    }

    /// Drops the values in it, to break reference cycles.
    pub(super) fn clear(&self) {
        match self {
            Object::Namespace(attributes) => drop(attributes.take()),
            Object::Generator(generator, _) => drop(generator.replace(LazyItems::Items(VecDeque::new()))),
            Object::Loop(state) => {
                drop((state.source.take(), state.ready.take(), state.previous.take(), state.current.take(), state.changed.take()));
            }
            _ => {}
        }
    }
}
