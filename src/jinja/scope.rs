//! Variables: each loop, macro and block assigns in a scope of its own, and reads from those around it.

use super::ast::Name;
use super::value::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// Variables, and the scope around them.
#[derive(Debug, Default)]
pub(super) struct Scope {
    variables: RefCell<Vec<(Name, Value)>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    /// A scope in another.
    pub(super) fn inside(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { variables: RefCell::default(), parent: Some(parent.clone()) })
    }

    /// A variable of this scope or one around it.
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(current) = scope {
            if let Some((_, value)) = current.variables.borrow().iter().find(|(found, _)| **found == *name) {
                return Some(value.clone());
            }
            scope = current.parent.as_deref();
        }
        None
    }

    /// Assigns a variable of this scope.
    pub(super) fn set(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => variables.push((name.clone(), value)),
        }
    }

    /// Lets go of its variables, so that none holds its own scope.
    pub(super) fn clear(&self) {
        drop(self.variables.take());
    }
}
