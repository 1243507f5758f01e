//! Variable scopes: each loop, macro and block assigns in its own scope, and reads from enclosing ones.

use super::ast::Name;
use super::value::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// A scope, with the enclosing one.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// `None` for a name that is undefined until it is assigned here.
    variables: RefCell<Vec<(Name, Option<Value>)>>,
    parent: Option<Rc<Scope>>,
    /// True for a block's scope, which sees only what is assigned around it.
    block: bool,
}

impl Scope {
    /// Creates an inner scope.
    pub(super) fn inside(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { parent: Some(parent.clone()), ..Self::default() })
    }

    /// Creates the scope of a block.
    pub(super) fn of_block(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { parent: Some(parent.clone()), block: true, ..Self::default() })
    }

    /// The scope around the enclosing block, or else the template's.
    pub(super) fn around_block(scope: &Rc<Scope>) -> Rc<Self> {
        let mut scope = scope;
        while let Some(parent) = &scope.parent {
            if scope.block {
                return parent.clone();
            }
            scope = parent;
        }
        scope.clone()
    }

    /// Looks a variable up in this scope and the enclosing ones; `Some(None)` if it is not assigned yet.
    pub(super) fn get(&self, name: &str) -> Option<Option<Value>> {
        let (mut scope, mut outside) = (Some(self), false);
        while let Some(current) = scope {
            if let Some((_, value)) = current.variables.borrow().iter().find(|(found, value)| **found == *name && (value.is_some() || !outside)) {
                return Some(value.clone());
            }
            outside |= current.block;
            scope = current.parent.as_deref();
        }
        None
    }

    /// Assigns a variable in this scope.
    pub(super) fn set(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = Some(value),
            None => variables.push((name.clone(), Some(value))),
        }
    }

    /// Marks names that are not in this scope as undefined until it assigns them.
    pub(super) fn undefine(&self, names: &[Name]) {
        self.variables.borrow_mut().extend(names.iter().map(|name| (name.clone(), None)));
    }

    /// Drops its variables, to break reference cycles.
    pub(super) fn clear(&self) {
        drop(self.variables.take());
    }
}
