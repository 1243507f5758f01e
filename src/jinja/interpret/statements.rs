//! Runs statements.

use super::Interpreter;
use crate::jinja::arguments::Arguments;
use crate::jinja::ast::{AssignTarget, Block, Expr, ExprKind, For, Frame, Macro, OutputPiece, Stmt, StmtKind};
use crate::jinja::jinja_error::{ErrorKind, JinjaError, Result};
use crate::jinja::object::{LoopObject, MacroObject, Object};
use crate::jinja::runtime::Runtime;
use crate::jinja::scope::Scope;
use crate::jinja::value::Value;
use crate::jinja::{functions, markup, print};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Levels that a call of a macro or a recursive loop counts for.
const MACRO_LEVELS: u32 = 5;

/// The control flow after a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Interpreter<'_> {
    /// Runs the whole template.
    pub(in crate::jinja) fn run_template(&mut self) -> Result<()> {
        if self.template.reads_self {
            let value = self.object(Object::Template(self.root.clone()))?;
            self.root.set(&"self".into(), value);
        }
        self.run_frame(&self.template.frame).map(drop)
    }

    /// Runs a frame in a scope with its parameters.
    fn run_frame(&mut self, frame: &Frame) -> Result<Flow> {
        if let Some(undefined) = frame.undefined.get() {
            self.meter.steps(undefined.len())?;
            self.scope.undefine(undefined);
        }
        self.run(frame)
    }

    /// Runs statements.
    pub(super) fn run(&mut self, body: &[Stmt]) -> Result<Flow> {
        self.meter.enter()?;
        let mut flow = Ok(Flow::Next);
        for stmt in body {
            flow = self.statement(stmt).map_err(|error| error.at(stmt.line));
            if flow != Ok(Flow::Next) {
                break;
            }
        }
        self.meter.leave();
        flow
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<Flow> {
        match &stmt.kind {
            StmtKind::Output(pieces) => return self.output(pieces).map(|()| Flow::Next),
            StmtKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test)?.truth() {
                        return self.run(body);
                    }
                }
                return self.run(otherwise);
            }
            StmtKind::For(node) => return self.for_loop(node),
            StmtKind::Set(target, value) => {
                self.check_namespaces(target)?;
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Load(tag) => return Err(JinjaError::new(format!("cannot run '{tag}': there are no other templates"))),
            StmtKind::Macro(definition) => {
                let value = self.macro_value(definition)?;
                self.scope.set(&definition.name, value);
            }
            _ => return self.block_statement(stmt),
        }
        Ok(Flow::Next)
    }

    /// Runs a statement with its own scope.
    fn block_statement(&mut self, stmt: &Stmt) -> Result<Flow> {
        match &stmt.kind {
            StmtKind::SetBlock(target, filter, frame) => {
                let (value, flow) = self.captured_frame(frame, filter.as_ref())?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
                self.check_namespaces(target)?;
                let safe = self.escapes_calls;
                let value = match value {
                    Value::Str(text) => Value::text(text.text, text.safe || safe),
                    other => other,
                };
                self.assign(target, value)?;
            }
            StmtKind::With(values, frame) => {
                let inner = Scope::inside(&self.scope);
                for (target, value) in values {
                    let value = self.eval(value)?;
                    self.in_scope(inner.clone(), |this| this.assign(target, value))?;
                }
                return self.in_scope(inner, |this| this.run_frame(frame));
            }
            StmtKind::CallBlock(call, definition) => {
                let ExprKind::Call(callee, args) = &call.kind else { return Err(JinjaError::new("expected a call")) };
                let caller = self.macro_value(definition)?;
                let value = self.call_expression(callee, args, Some(caller))?;
                let Value::Str(_) = value else { return Err(JinjaError::new(format!("a call block must return text, not '{}'", value.type_name()))) };
                self.write(&value)?;
            }
            StmtKind::FilterBlock(filter, frame) => {
                let (value, flow) = self.captured_frame(frame, Some(filter))?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
                if value.as_str().is_none() {
                    return Err(JinjaError::new(format!("a filter block must return text, not '{}'", value.type_name())));
                }
                self.write(&value)?;
            }
            StmtKind::Autoescape(value, frame) => {
                return self.scoped(|this| {
                    let on = this.eval(value)?.truth();
                    let before = (std::mem::replace(&mut this.escapes, on), std::mem::replace(&mut this.escapes_calls, on));
                    let flow = this.run_frame(frame);
                    (this.escapes, this.escapes_calls) = before;
                    flow
                });
            }
            StmtKind::Generation(definition) => {
                let object = MacroObject { definition: definition.clone(), scope: self.scope.clone(), escapes: self.escapes };
                let text = self.call_macro(&object, Arguments::of(Vec::new()))?;
                self.write(&text)?;
            }
            StmtKind::Block(block) => {
                if block.required {
                    return Err(JinjaError::new(format!("the required block '{}' is missing", block.name)));
                }
                let around = if block.scoped { self.capture_scope()? } else { Scope::around_block(&self.scope) };
                let text = self.block_text(block, around)?;
                self.write(&text)?;
            }
            _ => {}
        }
        Ok(Flow::Next)
    }

    /// Writes a value's text unescaped.
    fn write(&mut self, value: &Value) -> Result<()> {
        print::write(value, &mut self.out, &self.meter)
    }

    fn output(&mut self, pieces: &[OutputPiece]) -> Result<()> {
        for piece in pieces {
            match piece {
                OutputPiece::Text(text) => {
                    self.meter.memory(text.len())?;
                    self.out.push_str(text);
                }
                OutputPiece::Print(expression) => {
                    let value =
                        self.eval_printed(expression).and_then(|value| if self.escapes { markup::escape_value(&value, &self.meter) } else { Ok(value) });
                    value.and_then(|value| self.write(&value)).map_err(|error| error.at(expression.line))?;
                }
            }
        }
        Ok(())
    }

    /// Captures the output of `work`.
    pub(super) fn capture<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<(String, T)> {
        let outer = std::mem::take(&mut self.out);
        let result = work(self);
        let inner = std::mem::replace(&mut self.out, outer);
        Ok((inner, result?))
    }

    /// Renders a frame in its own scope and filters it.
    fn captured_frame(&mut self, frame: &Frame, filter: Option<&Expr>) -> Result<(Value, Flow)> {
        let escapes = self.escapes;
        self.scoped(|this| {
            let outer = std::mem::take(&mut this.out);
            let result = this.run_frame(frame).and_then(|flow| {
                let value = match filter.filter(|_| flow == Flow::Next) {
                    Some(filter) => this.eval(filter)?,
                    None => {
                        let text: Arc<str> = std::mem::take(&mut this.out).into();
                        this.meter.track_text(&text, text.len())?;
                        Value::text(text, escapes)
                    }
                };
                Ok((value, flow))
            });
            this.out = outer;
            result
        })
    }

    /// Fails if an attribute's target is not a namespace.
    fn check_namespaces(&mut self, target: &AssignTarget) -> Result<()> {
        match target {
            AssignTarget::Name(_) => Ok(()),
            AssignTarget::Tuple(targets) => targets.iter().try_for_each(|target| self.check_namespaces(target)),
            AssignTarget::Attribute(name, _) => match self.variable(name)? {
                value if matches!(value.as_object(), Some(Object::Namespace(_))) => Ok(()),
                _ => Err(JinjaError::new(format!("cannot assign to an attribute of '{name}', which is not a namespace"))),
            },
        }
    }

    /// Assigns to a target.
    pub(super) fn assign(&mut self, target: &AssignTarget, value: Value) -> Result<()> {
        match target {
            AssignTarget::Name(name) => {
                self.meter.steps(1)?;
                self.scope.set(name, value);
                Ok(())
            }
            AssignTarget::Attribute(name, attribute) => {
                functions::namespace_name(attribute)?;
                self.meter.memory(2 * size_of::<Value>())?;
                if let Some(Object::Namespace(attributes)) = self.variable(name)?.as_object() {
                    functions::set_attribute(&mut attributes.borrow_mut(), attribute, value);
                }
                Ok(())
            }
            AssignTarget::Tuple(targets) => {
                if value.is_undefined() && targets.is_empty() {
                    return Ok(());
                }
                let items = self.iterate(&value).map_err(|error| match error.kind {
                    ErrorKind::LimitExceeded => error,
                    _ => JinjaError::new(format!("'{}' cannot be unpacked", value.type_name())),
                })?;
                if items.len() != targets.len() {
                    return Err(JinjaError::new(format!("cannot unpack {} values into {}", items.len(), targets.len())));
                }
                targets.iter().zip(items).try_for_each(|(target, item)| self.assign(target, item))
            }
        }
    }

    fn for_loop(&mut self, node: &Arc<For>) -> Result<Flow> {
        let iterable = self.eval(&node.iterable)?;
        if node.recursive {
            let (text, _) = self.capture(|this| this.run_loop(node, &iterable, 0))?;
            self.out.push_str(&text);
            return Ok(Flow::Next);
        }
        self.run_loop(node, &iterable, 0)
    }

    /// Runs a loop over a value. A `break` in its `else` applies to the enclosing loop.
    fn run_loop(&mut self, node: &Arc<For>, iterable: &Value, depth: usize) -> Result<Flow> {
        let source = self.iterate(iterable)?;
        let known = node.test.is_none() && !matches!(iterable, Value::Object(_));
        let scope = self.capture_scope()?;
        let value = self.object(Object::Loop(LoopObject {
            length: Cell::new(known.then_some(source.len())),
            source: RefCell::new(source.into()),
            ready: RefCell::default(),
            index: Cell::new(0),
            previous: RefCell::default(),
            current: RefCell::default(),
            changed: RefCell::default(),
            depth,
            node: node.clone(),
            scope: scope.clone(),
        }))?;
        let Some(Object::Loop(state)) = value.as_object() else { return Ok(Flow::Next) };
        // `else` runs unless the body completed for an item.
        let (mut started, mut finished) = (false, false);
        while let Some(item) = self.next_item(state)? {
            state.index.set(state.index.get() + usize::from(started));
            started = true;
            let before = state.current.borrow_mut().replace(item.clone());
            *state.previous.borrow_mut() = before;
            let inner = Scope::inside(&scope);
            let flow = self.in_scope(inner, |this| {
                this.assign(&node.target, item)?;
                if node.has_loop {
                    this.scope.set(&"loop".into(), value.clone());
                }
                this.run_frame(&node.body)
            })?;
            finished |= flow == Flow::Next;
            if flow == Flow::Break {
                break;
            }
        }
        if finished { Ok(Flow::Next) } else { self.in_scope(Scope::inside(&scope), |this| this.run_frame(&node.otherwise)) }
    }

    /// The next item that passes the loop's test.
    fn next_item(&mut self, state: &LoopObject) -> Result<Option<Value>> {
        let ready = state.ready.borrow_mut().pop_front();
        match ready {
            Some(item) => Ok(Some(item)),
            None => self.pull(state),
        }
    }

    fn pull(&mut self, state: &LoopObject) -> Result<Option<Value>> {
        loop {
            self.meter.steps(1)?;
            let item = state.source.borrow_mut().pop_front();
            let (Some(item), Some(test)) = (&item, &state.node.test) else { return Ok(item) };
            let inner = Scope::inside(&state.scope);
            let passes = self.in_scope(inner, |this| {
                this.assign(&state.node.target, item.clone())?;
                Ok(this.eval(test)?.truth())
            })?;
            if passes {
                return Ok(Some(item.clone()));
            }
        }
    }

    /// The next item, without consuming it.
    pub(super) fn peek_item(&mut self, state: &LoopObject) -> Result<Option<Value>> {
        if state.ready.borrow().is_empty() {
            let next = self.pull(state)?;
            state.ready.borrow_mut().extend(next);
        }
        Ok(state.ready.borrow().front().cloned())
    }

    /// Consumes all remaining items.
    pub(super) fn rest_of_loop(&mut self, state: &LoopObject) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        while let Some(item) = self.next_item(state)? {
            items.push(item);
        }
        Ok(items)
    }

    pub(super) fn length(&mut self, state: &LoopObject) -> Result<usize> {
        if let Some(length) = state.length.get() {
            return Ok(length);
        }
        let rest = self.rest_of_loop(state)?;
        let length = state.index.get() + 1 + rest.len();
        *state.ready.borrow_mut() = rest.into();
        state.length.set(Some(length));
        Ok(length)
    }

    /// `loop(items)` of a recursive loop.
    pub(super) fn recurse(&mut self, state: &LoopObject, arguments: Arguments) -> Result<Value> {
        let [items] = arguments.bind("loop", ["iterable"], 1)?;
        if !state.node.recursive {
            return Err(JinjaError::new("a loop that calls itself must be marked 'recursive'"));
        }
        let (node, items) = (state.node.clone(), items.unwrap_or(Value::None));
        self.meter.enter_levels(MACRO_LEVELS)?;
        let (text, _) = self.capture(|this| this.in_scope(state.scope.clone(), |this| this.run_loop(&node, &items, state.depth + 1)))?;
        self.meter.leave_levels(MACRO_LEVELS);
        Ok(Value::text(text, self.escapes))
    }

    fn macro_value(&mut self, definition: &Arc<Macro>) -> Result<Value> {
        let scope = self.capture_scope()?;
        self.object(Object::Macro(MacroObject { definition: definition.clone(), scope, escapes: self.escapes }))
    }

    /// Calls a macro: binds positional arguments, then named ones, then defaults.
    pub(super) fn call_macro(&mut self, object: &MacroObject, arguments: Arguments) -> Result<Value> {
        let definition = &object.definition;
        let (count, name) = (definition.parameters.len(), &definition.name);
        let Arguments { mut positional, mut named } = arguments;
        let extra = positional.split_off(positional.len().min(count));
        let mut values: Vec<Option<Value>> = positional.into_iter().map(Some).collect();
        let mut remove = |key: &str| named.iter().position(|(name, _)| **name == *key).map(|at| named.remove(at).1);
        let explicit = definition.parameters.iter().any(|parameter| &**parameter == "caller");
        for parameter in &definition.parameters[values.len()..] {
            values.push(remove(parameter));
        }
        let caller = if definition.caller && !explicit { remove("caller") } else { None };
        if let Some((wrong, _)) = named.first().filter(|_| !definition.kwargs) {
            let message = match &**wrong {
                "caller" => format!("the macro '{name}' does not use its caller, or was given two"),
                _ => format!("the macro '{name}' has no argument '{wrong}'"),
            };
            return Err(JinjaError::new(message));
        }
        if !extra.is_empty() && !definition.varargs {
            return Err(JinjaError::new(format!("the macro '{name}' takes at most {count} arguments")));
        }
        let inner = Scope::inside(&object.scope);
        if definition.caller && !explicit {
            inner.set(&"caller".into(), caller.unwrap_or_else(|| Value::missing("no caller is defined")));
        }
        if definition.kwargs {
            let pairs = named.into_iter().map(|(name, value)| ((&name).into(), value));
            inner.set(&"kwargs".into(), Value::dict(pairs, &self.meter)?);
        }
        if definition.varargs {
            inner.set(&"varargs".into(), Value::tuple(extra, &self.meter)?);
        }
        self.meter.enter_levels(MACRO_LEVELS)?;
        let escapes = std::mem::replace(&mut self.escapes, object.escapes);
        let result = self.capture(|this| this.in_scope(inner, |this| this.macro_body(definition, values)));
        self.escapes = escapes;
        self.meter.leave_levels(MACRO_LEVELS);
        Ok(Value::text(result?.0, self.escapes_calls))
    }

    fn macro_body(&mut self, definition: &Macro, values: Vec<Option<Value>>) -> Result<Flow> {
        for (parameter, value) in definition.parameters.iter().zip(&values) {
            let missing = || Value::missing(format!("the parameter '{parameter}' was not given"));
            self.scope.set(parameter, value.clone().unwrap_or_else(missing));
        }
        let first_default = definition.parameters.len() - definition.defaults.len();
        for (n, default) in definition.defaults.iter().enumerate() {
            if values[first_default + n].is_none() {
                let value = self.eval(default)?;
                self.scope.set(&definition.parameters[first_default + n], value);
            }
        }
        self.run_frame(&definition.body)
    }

    /// Renders a block with the variables of the enclosing scope.
    pub(super) fn block_text(&mut self, block: &Block, around: Rc<Scope>) -> Result<Value> {
        let inner = Scope::of_block(&around);
        if block.reads_self {
            inner.set(&"self".into(), self.object(Object::Template(around))?);
        }
        if block.reads_super {
            inner.set(&"super".into(), Value::missing(format!("there is no parent block '{}'", block.name)));
        }
        // A block is compiled separately, so the enclosing autoescaping does not apply.
        let escapes = std::mem::replace(&mut self.escapes, false);
        let result = self.capture(|this| this.in_scope(inner, |this| this.run_frame(&block.body)));
        self.escapes = escapes;
        Ok(Value::text(result?.0, self.escapes_calls))
    }
}
