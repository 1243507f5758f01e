//! Constants that jinja2 evaluates at compile time. A slice of a value without slices (`(2)[1:]`) is then undefined, but
//! an error at run time. This affects a whole printed expression, and subexpressions whose value is a literal.

use super::Interpreter;
use crate::jinja::ast::Expr;
use crate::jinja::jinja_error::{ErrorKind, JinjaError, Result};
use crate::jinja::operators;
use crate::jinja::value::Value;

impl Interpreter<'_> {
    /// Evaluates an expression that is printed.
    pub(super) fn eval_printed(&mut self, expression: &Expr) -> Result<Value> {
        match expression.folds {
            true => self.eval_constant(expression)?.map_or_else(|| self.eval(expression), Ok),
            false => self.eval(expression),
        }
    }

    /// Evaluates a constant subexpression, if its value can be a literal.
    pub(super) fn eval_folded(&mut self, expression: &Expr) -> Result<Option<Value>> {
        match self.folding {
            true => Ok(None),
            false => Ok(self.eval_constant(expression)?.filter(is_literal)),
        }
    }

    /// Evaluates an expression as a constant, if it is one.
    fn eval_constant(&mut self, expression: &Expr) -> Result<Option<Value>> {
        let depth = self.meter.depth();
        self.folding = true;
        let value = self.eval(expression);
        self.folding = false;
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind == ErrorKind::LimitExceeded => Err(error),
            Err(_) => {
                self.meter.return_to(depth);
                Ok(None)
            }
        }
    }

    /// Fails while folding, for expressions that need the running template.
    pub(super) fn require_runtime(&self) -> Result<()> {
        if self.folding { Err(JinjaError::new("this is not a constant")) } else { Ok(()) }
    }

    /// `value[start:stop:step]`.
    pub(super) fn slice(&self, value: &Value, bounds: &[Option<Value>; 3]) -> Result<Value> {
        let slice = operators::slice(value, bounds, &self.meter)?;
        let missing = || format!("'{}' does not support this slice", value.type_name());
        match slice {
            Some(slice) => Ok(slice),
            None if self.folding => Ok(Value::missing(missing())),
            None => Err(JinjaError::new(missing())),
        }
    }
}

/// Returns true for values that can be literals: no undefined values, bytes or objects.
fn is_literal(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Range(_) => true,
        Value::List(items) | Value::Tuple(items) => items.items.iter().all(is_literal),
        Value::Dict(dict) => dict.entries.iter().all(|(key, value)| is_literal(key) && is_literal(value)),
        Value::Undefined(_) | Value::Bytes(_) | Value::View(..) | Value::Object(_) => false,
    }
}
