//! The interpreter: expressions here, statements in `statements`, constants in `folding`. They are mutually recursive,
//! since expressions call macros.

mod folding;
mod statements;

use super::arguments::Arguments;
use super::ast::{Args, BinaryOp, Block, CompareOp, Const, Expr, ExprKind, Name};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::object::{LazyItems, LoopObject, Object};
use super::options::Options;
use super::runtime::Runtime;
use super::scope::Scope;
use super::template::Template;
use super::value::{DictView, Value};
use super::{attributes, filters, functions, lazy_filters, markup, methods, operators, predicates, print, str_methods};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Levels that evaluating a lazy filter counts for.
const FILTER_LEVELS: u32 = 4;

/// A running template.
pub(super) struct Interpreter<'t> {
    pub(super) template: &'t Template,
    pub(super) meter: Meter,
    /// The context: the caller's variables.
    pub(super) context: HashMap<Name, Value>,
    /// The template's global scope.
    pub(super) root: Rc<Scope>,
    pub(super) scope: Rc<Scope>,
    pub(super) out: String,
    /// Autoescaping for output here, and for called functions.
    pub(super) escapes: bool,
    pub(super) escapes_calls: bool,
    /// True while a constant is evaluated as at jinja2's compile time (`folding`).
    pub(super) folding: bool,
    objects: Vec<Rc<Object>>,
    scopes: Vec<Rc<Scope>>,
}

impl<'t> Interpreter<'t> {
    /// Prepares to run a template.
    pub(super) fn new(template: &'t Template, context: HashMap<Name, Value>, meter: Meter) -> Self {
        let root = Rc::new(Scope::default());
        Self {
            template,
            meter,
            context,
            scope: root.clone(),
            root,
            out: String::new(),
            escapes: false,
            escapes_calls: false,
            folding: false,
            objects: Vec::new(),
            scopes: Vec::new(),
        }
    }

    /// The current scope, to be captured by a macro or a loop.
    pub(super) fn capture_scope(&mut self) -> Result<Rc<Scope>> {
        self.meter.memory(256)?;
        self.scopes.push(self.scope.clone());
        Ok(self.scope.clone())
    }

    /// Runs `work` in a new inner scope.
    pub(super) fn scoped<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let inner = Scope::inside(&self.scope);
        self.in_scope(inner, work)
    }

    /// Runs `work` in a scope.
    pub(super) fn in_scope<T>(&mut self, scope: Rc<Scope>, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.meter.steps(1)?;
        let outer = std::mem::replace(&mut self.scope, scope);
        let result = work(self);
        self.scope = outer;
        result
    }

    /// Looks a variable up.
    pub(super) fn variable(&mut self, name: &Name) -> Result<Value> {
        self.require_runtime()?;
        match self.scope.get(name) {
            Some(Some(value)) => return Ok(value),
            Some(None) => return Ok(Value::missing(format!("'{name}' is used before assignment"))),
            None => {}
        }
        if let Some(value) = self.context.get(name) {
            return Ok(value.clone());
        }
        let chat = if self.template.options.chat { functions::CHAT.len() } else { 0 };
        let function = functions::NAMES.iter().chain(&functions::CHAT[..chat]).copied().find(|known| **known == **name);
        if let Some(function) = function {
            let function = self.object(Object::Function(function))?;
            self.context.insert(name.clone(), function.clone());
            return Ok(function);
        }
        Ok(Value::missing(format!("'{name}' is undefined")))
    }

    /// Evaluates an expression.
    pub(super) fn eval(&mut self, expression: &Expr) -> Result<Value> {
        match &expression.kind {
            ExprKind::Const(literal) => Ok(constant(literal)),
            ExprKind::Name(name) => {
                self.meter.steps(1)?;
                let value = self.variable(name)?;
                self.strict(value)
            }
            kind => {
                if expression.folds
                    && let Some(value) = self.eval_folded(expression)?
                {
                    return Ok(value);
                }
                self.meter.enter()?;
                let value = self.compound(kind);
                self.meter.leave();
                value.map_err(|error| error.at(expression.line))
            }
        }
    }

    /// In strict mode, fails for an undefined value.
    fn strict(&self, value: Value) -> Result<Value> {
        if self.template.options.strict && value.is_undefined() { Err(value.undefined_error()) } else { Ok(value) }
    }

    /// Evaluates an operand that may be undefined even in strict mode.
    fn lenient(&mut self, expression: &Expr) -> Result<Value> {
        match &expression.kind {
            ExprKind::Name(name) => self.variable(name),
            ExprKind::Attribute(value, name) => {
                let value = self.eval(value)?;
                attributes::attribute(&value, name, self)
            }
            ExprKind::Item(pair) => {
                let (value, index) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                attributes::item(&value, &index, self)
            }
            _ => self.eval(expression),
        }
    }

    fn compound(&mut self, kind: &ExprKind) -> Result<Value> {
        match kind {
            ExprKind::Binary(operator, pair) => self.binary(*operator, &pair.0, &pair.1),
            ExprKind::And(pair) => {
                let left = self.eval(&pair.0)?;
                if left.truth() { self.eval(&pair.1) } else { Ok(left) }
            }
            ExprKind::Or(pair) => {
                let left = self.eval(&pair.0)?;
                if left.truth() { Ok(left) } else { self.eval(&pair.1) }
            }
            ExprKind::Not(operand) => Ok((!self.eval(operand)?.truth()).into()),
            ExprKind::Attribute(value, name) => {
                let value = self.eval(value)?;
                let found = attributes::attribute(&value, name, self)?;
                self.strict(found)
            }
            ExprKind::Item(pair) => {
                let (value, index) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                let found = attributes::item(&value, &index, self)?;
                self.strict(found)
            }
            ExprKind::Condition(condition) => {
                if self.eval(&condition.test)?.truth() {
                    return self.eval(&condition.then);
                }
                match &condition.otherwise {
                    Some(otherwise) => self.eval(otherwise),
                    None => self.require_runtime().map(|()| Value::missing("the inline if is false and has no else")),
                }
            }
            ExprKind::Call(callee, args) => self.call_expression(callee, args, None),
            ExprKind::Filter(value, name, args) => self.filter_expression(value.as_deref(), name, args),
            ExprKind::Test(value, name, args) => self.test_expression(value, name, args),
            other => self.collection(other),
        }
    }

    fn collection(&mut self, kind: &ExprKind) -> Result<Value> {
        match kind {
            ExprKind::Tuple(items) => {
                let items = self.all(items)?;
                Value::tuple(items, &self.meter)
            }
            ExprKind::List(items) => {
                let items = self.all(items)?;
                Value::list(items, &self.meter)
            }
            ExprKind::Dict(pairs) => {
                let mut entries = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    entries.push((self.eval(key)?, self.eval(value)?));
                }
                Value::dict(entries, &self.meter)
            }
            ExprKind::Neg(operand) => operators::sign(true, &self.eval(operand)?),
            ExprKind::Pos(operand) => operators::sign(false, &self.eval(operand)?),
            ExprKind::Concat(operands) => self.concat(operands),
            ExprKind::Compare(first, others) => self.compare(first, others),
            ExprKind::Slice(value, bounds) => {
                let value = self.eval(value)?;
                let mut values = [None, None, None];
                for (slot, bound) in values.iter_mut().zip(bounds.iter()) {
                    *slot = bound.as_ref().map(|bound| self.eval(bound)).transpose()?;
                }
                self.slice(&value, &values)
            }
            _ => Ok(Value::None),
        }
    }

    fn binary(&mut self, operator: BinaryOp, left: &Expr, right: &Expr) -> Result<Value> {
        let (left, right) = (self.eval(left)?, self.eval(right)?);
        operators::binary(operator, &left, &right, &self.meter)
    }

    fn all(&mut self, expressions: &[Expr]) -> Result<Vec<Value>> {
        expressions.iter().map(|expression| self.eval(expression)).collect()
    }

    fn concat(&mut self, operands: &[Expr]) -> Result<Value> {
        let values = self.all(operands)?;
        let safe = self.escapes && values.iter().any(Value::is_safe);
        let mut out = String::new();
        for value in &values {
            match safe {
                true => print::write(&markup::escape_value(value, &self.meter)?, &mut out, &self.meter)?,
                false => print::write(value, &mut out, &self.meter)?,
            }
        }
        let joined: Arc<str> = out.into();
        self.meter.track_text(&joined, joined.len())?;
        Ok(Value::text(joined, safe))
    }

    fn compare(&mut self, first: &Expr, others: &[(CompareOp, Expr)]) -> Result<Value> {
        let mut left = self.eval(first)?;
        for (comparison, right) in others {
            let right = self.eval(right)?;
            let container = match (comparison, &right) {
                (CompareOp::In | CompareOp::NotIn, Value::Object(_)) => {
                    let items = self.iterate(&right)?;
                    Value::list(items, &self.meter)?
                }
                _ => right.clone(),
            };
            if !operators::compare(*comparison, &left, &container, &self.meter)? {
                return Ok(false.into());
            }
            left = right;
        }
        Ok(true.into())
    }

    /// Evaluates the arguments of a call.
    pub(super) fn arguments(&mut self, args: &Args) -> Result<Arguments> {
        let mut positional = self.all(&args.positional)?;
        let mut named: Vec<(Name, Value)> = Vec::with_capacity(args.named.len());
        for (name, value) in &args.named {
            named.push((name.clone(), self.eval(value)?));
        }
        if let Some(rest) = &args.rest {
            let rest = self.eval(rest)?;
            positional.extend(self.iterate(&rest)?);
        }
        if let Some(rest) = &args.named_rest {
            let Value::Dict(dict) = self.eval(rest)? else { return Err(JinjaError::new("** expects a mapping")) };
            for (key, value) in &dict.entries {
                let Value::Str(key) = key else { return Err(JinjaError::new("argument names must be texts")) };
                if named.iter().any(|(name, _)| *name == key.text) {
                    return Err(JinjaError::new(format!("the argument {} is given twice", key.text)));
                }
                named.push((key.text.clone(), value.clone()));
            }
        }
        self.meter.memory((positional.len() + named.len()) * size_of::<Value>())?;
        Ok(Arguments { positional, named })
    }

    /// Evaluates a call; `caller` is the body of a call block.
    pub(super) fn call_expression(&mut self, callee: &Expr, args: &Args, caller: Option<Value>) -> Result<Value> {
        self.require_runtime()?;
        let callee = match &callee.kind {
            ExprKind::Attribute(value, name) => {
                let value = self.eval(value)?;
                // A method of a string is called without creating a bound method.
                if let (Value::Str(text), None) = (&value, &caller)
                    && attributes::TEXT.contains(&&**name)
                {
                    let arguments = self.arguments(args)?;
                    return str_methods::call(text, name, arguments, self);
                }
                attributes::attribute(&value, name, self)?
            }
            _ => self.eval(callee)?,
        };
        let mut arguments = self.arguments(args)?;
        if let Some(caller) = caller {
            arguments.named.push(("caller".into(), caller));
        }
        self.call(&callee, arguments)
    }

    /// Calls a value.
    pub(super) fn call(&mut self, callee: &Value, arguments: Arguments) -> Result<Value> {
        match callee.as_object() {
            Some(Object::Function(name)) => functions::call(name, arguments, self),
            Some(Object::Method(value, name)) => methods::call(value, name, arguments, self),
            Some(Object::Macro(object)) => self.call_macro(object, arguments),
            Some(Object::Loop(state)) => self.recurse(state, arguments),
            Some(Object::Joiner(separator, used)) => {
                arguments.none("joiner")?;
                Ok(if used.replace(true) { separator.clone() } else { "".into() })
            }
            Some(Object::Block(block, around)) => {
                arguments.none(&block.name)?;
                self.block_text(block, around.clone())
            }
            _ if callee.is_undefined() => Err(callee.undefined_error()),
            _ => Err(JinjaError::new(format!("a '{}' cannot be called", callee.type_name()))),
        }
    }

    fn filter_expression(&mut self, value: Option<&Expr>, name: &Name, args: &Args) -> Result<Value> {
        if filters::OF_CONTEXT.contains(&&**name) {
            self.require_runtime()?;
        }
        let value = match value {
            Some(value) if matches!(&**name, "default" | "d") => self.lenient(value)?,
            Some(value) => self.eval(value)?,
            // A filter block filters its output.
            None => {
                self.require_runtime()?;
                Value::text(std::mem::take(&mut self.out), self.escapes)
            }
        };
        let arguments = self.arguments(args)?;
        self.filter(name, value, arguments)
    }

    fn test_expression(&mut self, value: &Expr, name: &Name, args: &Args) -> Result<Value> {
        let value = if matches!(&**name, "defined" | "undefined") { self.lenient(value)? } else { self.eval(value)? };
        let arguments = self.arguments(args)?;
        self.test(name, value, arguments).map(Value::Bool)
    }

    /// Consumes the items of a generator or a loop.
    fn iterate_object(&mut self, value: &Value) -> Result<Vec<Value>> {
        match value.as_object() {
            Some(Object::Generator(generator, _)) => match generator.replace(LazyItems::Items(VecDeque::new())) {
                LazyItems::Items(items) => Ok(items.into()),
                // Its value may be another lazy filter, and each link of such a chain uses stack space.
                LazyItems::Waiting(name, value, arguments) => {
                    self.meter.enter_levels(FILTER_LEVELS)?;
                    let items = lazy_filters::generate(name, value, arguments, self);
                    self.meter.leave_levels(FILTER_LEVELS);
                    items
                }
            },
            Some(Object::Loop(state)) => {
                let items = self.rest_of_loop(state)?;
                state.index.set(state.index.get() + items.len());
                items.into_iter().map(|item| Value::tuple(vec![item, value.clone()], &self.meter)).collect()
            }
            _ => Err(JinjaError::new(format!("'{}' is not iterable", value.type_name()))),
        }
    }

    fn iterate_uncharged(&mut self, value: &Value) -> Result<Vec<Value>> {
        Ok(match value {
            Value::Undefined(_) => Vec::new(),
            Value::Str(text) => {
                self.meter.memory(text.text.len() * (size_of::<Value>() + 16))?;
                text.text.chars().map(|c| Value::text(c.encode_utf8(&mut [0; 4]) as &str, text.safe)).collect()
            }
            Value::Bytes(bytes) => bytes.iter().map(|&byte| Value::Int(byte.into())).collect(),
            Value::List(items) | Value::Tuple(items) => items.items.clone(),
            Value::Dict(dict) | Value::View(dict, DictView::Keys) => dict.entries.iter().map(|(key, _)| key.clone()).collect(),
            Value::View(dict, DictView::Values) => dict.entries.iter().map(|(_, value)| value.clone()).collect(),
            Value::View(dict, DictView::Items) => {
                let pair = |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()], &self.meter);
                dict.entries.iter().map(pair).collect::<Result<_>>()?
            }
            Value::Range(range) => (0..range.len()).map(|index| range.at(index)).collect(),
            Value::Object(_) => return self.iterate_object(value),
            other => return Err(JinjaError::new(format!("'{}' is not iterable", other.type_name()))),
        })
    }
}

impl Runtime for Interpreter<'_> {
    fn meter(&self) -> &Meter {
        &self.meter
    }

    fn options(&self) -> &Options {
        &self.template.options
    }

    fn escapes_calls(&self) -> bool {
        self.escapes_calls
    }

    fn block(&self, name: &str) -> Option<Arc<Block>> {
        self.template.blocks.get(name).cloned()
    }

    fn object(&mut self, object: Object) -> Result<Value> {
        self.meter.memory(200)?;
        let object = Rc::new(object);
        self.objects.push(object.clone());
        Ok(Value::Object(object))
    }

    fn iterate(&mut self, value: &Value) -> Result<Vec<Value>> {
        let items = self.iterate_uncharged(value)?;
        self.meter.memory(items.len() * size_of::<Value>())?;
        self.meter.steps(items.len() / 8)?;
        Ok(items)
    }

    fn loop_attribute(&mut self, state: &LoopObject, name: &str) -> Result<Option<Value>> {
        let index = state.index.get();
        Ok(Some(match name {
            "index0" => index.into(),
            "index" => (index + 1).into(),
            "first" => (index == 0).into(),
            "depth0" => state.depth.into(),
            "depth" => (state.depth + 1).into(),
            "length" => self.length(state)?.into(),
            "revindex" => (self.length(state)? - index).into(),
            "revindex0" => (self.length(state)? - index - 1).into(),
            "last" => self.peek_item(state)?.is_none().into(),
            "nextitem" => self.peek_item(state)?.unwrap_or_else(|| Value::missing("there is no next item")),
            "previtem" => state.previous.borrow().clone().unwrap_or_else(|| Value::missing("there is no previous item")),
            _ => return Ok(None),
        }))
    }

    fn filter(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<Value> {
        self.meter.steps(1)?;
        if let Some((_, filter)) = self.template.options.filters.iter().find(|(known, _)| *known == name) {
            let Value::Str(text) = &value else { return Err(JinjaError::new(format!("{name} expects text, not '{}'", value.type_name()))) };
            arguments.none(name)?;
            let made = filter(&text.text).map_err(JinjaError::new)?;
            self.meter.memory(made.size())?;
            return made.value(&self.meter);
        }
        filters::apply(name, value, arguments, self)
    }

    fn test(&mut self, name: &str, value: Value, arguments: Arguments) -> Result<bool> {
        self.meter.steps(1)?;
        predicates::apply(name, value, arguments, self)
    }
}

impl Drop for Interpreter<'_> {
    /// Breaks reference cycles. Objects are dropped in reverse order while this still holds those that they refer to, so
    /// that drops do not recurse.
    fn drop(&mut self) {
        self.scope = self.root.clone();
        self.root.clear();
        self.scopes.iter().for_each(|scope| scope.clear());
        self.objects.iter().for_each(|object| object.clear());
        self.context.clear();
        while self.objects.pop().is_some() {}
    }
}

fn constant(literal: &Const) -> Value {
    match literal {
        Const::None => Value::None,
        Const::Bool(value) => Value::Bool(*value),
        Const::Int(value) => Value::Int(*value),
        Const::Float(value) => Value::Float(*value),
        Const::Str(text) => text.into(),
    }
}
