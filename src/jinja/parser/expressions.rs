//! Parses expressions, with jinja2's precedence.

use super::Parser;
use crate::jinja::ast::{Args, BinaryOp, CompareOp, Condition, Const, Expr, ExprKind};
use crate::jinja::jinja_error::Result;
use crate::jinja::lexer::TokenKind;

impl Parser {
    /// Parses an expression without commas.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(Self::condition)
    }

    /// Parses expressions separated by commas as a tuple. `conditions` allows `a if b`; the names `ends` end it;
    /// `parentheses` allows an empty tuple.
    pub(super) fn tuple(&mut self, conditions: bool, ends: &[&str], parentheses: bool) -> Result<Expr> {
        let line = self.line();
        let (mut items, mut tuple) = (Vec::new(), false);
        loop {
            let ended =
                matches!(self.kind(), TokenKind::VariableEnd | TokenKind::BlockEnd) || self.is_operator(")") || ends.iter().any(|end| self.is_name(end));
            if ended {
                break;
            }
            items.push(if conditions { self.expression()? } else { self.nested(Self::or)? });
            if !self.skip_operator(",") {
                break;
            }
            tuple = true;
        }
        match items.pop() {
            Some(item) if !tuple => Ok(item),
            None if !parentheses => self.fail(format!("expected an expression, got '{}'", self.kind().describe())),
            last => Ok(Expr::new(line, ExprKind::Tuple(items.into_iter().chain(last).collect()))),
        }
    }

    fn condition(&mut self) -> Result<Expr> {
        let line = self.line();
        let mut then = self.or()?;
        while self.skip_name("if") {
            let test = self.or()?;
            let otherwise = if self.skip_name("else") { Some(self.nested(Self::condition)?) } else { None };
            then = Expr::new(line, ExprKind::Condition(Box::new(Condition { test, then, otherwise })));
        }
        Ok(then)
    }

    fn or(&mut self) -> Result<Expr> {
        let line = self.line();
        let mut left = self.and()?;
        while self.skip_name("or") {
            left = self.chained(line, left, |parser| parser.and(), |pair| ExprKind::Or(Box::new(pair)))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let line = self.line();
        let mut left = self.not()?;
        while self.skip_name("and") {
            left = self.chained(line, left, |parser| parser.not(), |pair| ExprKind::And(Box::new(pair)))?;
        }
        Ok(left)
    }

    /// Adds an operand to a left-associative tree and checks its depth.
    fn chained(&mut self, line: u32, left: Expr, right: impl FnOnce(&mut Self) -> Result<Expr>, join: impl FnOnce((Expr, Expr)) -> ExprKind) -> Result<Expr> {
        let right = right(self)?;
        self.grown(&left)?;
        Ok(Expr::new(line, join((left, right))))
    }

    fn not(&mut self) -> Result<Expr> {
        let line = self.line();
        if self.skip_name("not") {
            let operand = self.nested(Self::not)?;
            return Ok(Expr::new(line, ExprKind::Not(Box::new(operand))));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let line = self.line();
        let first = self.sum()?;
        let mut others = Vec::new();
        while let Some(comparison) = self.comparison() {
            others.push((comparison, self.sum()?));
        }
        if others.is_empty() { Ok(first) } else { Ok(Expr::new(line, ExprKind::Compare(Box::new(first), others))) }
    }

    fn comparison(&mut self) -> Option<CompareOp> {
        let found = match self.kind() {
            TokenKind::Operator("==") => CompareOp::Eq,
            TokenKind::Operator("!=") => CompareOp::Ne,
            TokenKind::Operator("<") => CompareOp::Lt,
            TokenKind::Operator("<=") => CompareOp::Le,
            TokenKind::Operator(">") => CompareOp::Gt,
            TokenKind::Operator(">=") => CompareOp::Ge,
            TokenKind::Name(name) if &**name == "in" => CompareOp::In,
            TokenKind::Name(name) if &**name == "not" && matches!(self.following(), TokenKind::Name(name) if &**name == "in") => {
                self.next();
                CompareOp::NotIn
            }
            _ => return None,
        };
        self.next();
        Some(found)
    }

    fn sum(&mut self) -> Result<Expr> {
        self.binary(&[("+", BinaryOp::Add), ("-", BinaryOp::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let line = self.line();
        let mut operands = vec![self.product()?];
        while self.skip_operator("~") {
            operands.push(self.product()?);
        }
        match operands.pop() {
            Some(only) if operands.is_empty() => Ok(only),
            last => Ok(Expr::new(line, ExprKind::Concat(operands.into_iter().chain(last).collect()))),
        }
    }

    fn product(&mut self) -> Result<Expr> {
        self.binary(&[("*", BinaryOp::Mul), ("/", BinaryOp::Div), ("//", BinaryOp::FloorDiv), ("%", BinaryOp::Mod)], Self::power)
    }

    /// Left-associative: jinja2 parses `2 ** 3 ** 2` as `(2 ** 3) ** 2`, unlike Python.
    fn power(&mut self) -> Result<Expr> {
        self.binary(&[("**", BinaryOp::Pow)], |parser| parser.unary(true))
    }

    fn binary(&mut self, operators: &[(&str, BinaryOp)], operand: impl Fn(&mut Self) -> Result<Expr>) -> Result<Expr> {
        let line = self.line();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(text, _)| self.is_operator(text)) {
            self.next();
            left = self.chained(line, left, &operand, |pair| ExprKind::Binary(*operator, Box::new(pair)))?;
        }
        Ok(left)
    }

    fn unary(&mut self, filters: bool) -> Result<Expr> {
        let line = self.line();
        let sign = match self.kind() {
            TokenKind::Operator(sign @ ("-" | "+")) => Some(*sign),
            _ => None,
        };
        let mut value = match sign {
            Some(sign) => {
                self.next();
                let operand = Box::new(self.nested(|parser| parser.unary(false))?);
                Expr::new(line, if sign == "-" { ExprKind::Neg(operand) } else { ExprKind::Pos(operand) })
            }
            None => self.primary()?,
        };
        value = self.postfix(value)?;
        if filters { self.filtered(value) } else { Ok(value) }
    }

    fn primary(&mut self) -> Result<Expr> {
        let line = self.line();
        let kind = match self.kind().clone() {
            TokenKind::Name(name) => {
                self.next();
                match &*name {
                    "true" | "True" => ExprKind::Const(Const::Bool(true)),
                    "false" | "False" => ExprKind::Const(Const::Bool(false)),
                    "none" | "None" => ExprKind::Const(Const::None),
                    _ => ExprKind::Name(name),
                }
            }
            TokenKind::Str(_) => self.strings(),
            TokenKind::Int(value) => {
                self.next();
                ExprKind::Const(Const::Int(value))
            }
            TokenKind::Float(value) => {
                self.next();
                ExprKind::Const(Const::Float(value))
            }
            TokenKind::Operator("(") => {
                self.next();
                let inner = self.nested(|parser| parser.tuple(true, &[], true))?;
                self.expect_operator(")")?;
                return Ok(inner);
            }
            TokenKind::Operator("[") => {
                self.next();
                ExprKind::List(self.listed("]", Self::expression)?)
            }
            TokenKind::Operator("{") => {
                self.next();
                ExprKind::Dict(self.listed("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect_operator(":")?;
                    Ok((key, parser.expression()?))
                })?)
            }
            other => return self.fail(format!("unexpected '{}'", other.describe())),
        };
        Ok(Expr::new(line, kind))
    }

    /// Adjacent string literals are concatenated.
    fn strings(&mut self) -> ExprKind {
        let mut text = String::new();
        while let TokenKind::Str(part) = self.kind().clone() {
            self.next();
            text.push_str(&part);
        }
        ExprKind::Const(Const::Str(text.into()))
    }

    fn listed<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !self.is_operator(end) {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.is_operator(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        self.next();
        Ok(items)
    }

    fn postfix(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            value = match self.kind() {
                TokenKind::Operator("." | "[") => self.subscript(value)?,
                TokenKind::Operator("(") => self.call(value)?,
                _ => return Ok(value),
            };
            self.grown(&value)?;
        }
    }

    fn filtered(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            value = match self.kind() {
                TokenKind::Operator("|") => self.filters(Some(value))?,
                TokenKind::Name(name) if &**name == "is" => self.test(value)?,
                TokenKind::Operator("(") => self.call(value)?,
                _ => return Ok(value),
            };
            self.grown(&value)?;
        }
    }

    fn call(&mut self, callee: Expr) -> Result<Expr> {
        let line = self.line();
        let args = Box::new(self.arguments()?);
        Ok(Expr::new(line, ExprKind::Call(Box::new(callee), args)))
    }

    fn subscript(&mut self, value: Expr) -> Result<Expr> {
        let line = self.line();
        if self.skip_operator(".") {
            return match self.next() {
                TokenKind::Name(name) => Ok(Expr::new(line, ExprKind::Attribute(Box::new(value), name))),
                TokenKind::Int(index) => {
                    let index = Expr::new(line, ExprKind::Const(Const::Int(index)));
                    Ok(Expr::new(line, ExprKind::Item(Box::new((value, index)))))
                }
                other => self.fail(format!("expected a name or a number after '.', got '{}'", other.describe())),
            };
        }
        self.next();
        let mut parts = Vec::new();
        while !self.is_operator("]") {
            if !parts.is_empty() {
                self.expect_operator(",")?;
            }
            parts.push(self.subscribed()?);
        }
        self.next();
        if parts.len() == 1 {
            return Ok(match parts.remove(0) {
                Subscribed::Item(item) => Expr::new(line, ExprKind::Item(Box::new((value, item)))),
                Subscribed::Slice(slice) => Expr::new(line, ExprKind::Slice(Box::new(value), slice)),
            });
        }
        let item = |part| match part {
            Subscribed::Item(item) => Ok(item),
            Subscribed::Slice(_) => self.fail("a slice cannot be combined with other indices"),
        };
        let items = parts.into_iter().map(item).collect::<Result<_>>()?;
        Ok(Expr::new(line, ExprKind::Item(Box::new((value, Expr::new(line, ExprKind::Tuple(items)))))))
    }

    fn subscribed(&mut self) -> Result<Subscribed> {
        let start = if self.is_operator(":") { None } else { Some(self.expression()?) };
        if !self.skip_operator(":") {
            return match start {
                Some(item) => Ok(Subscribed::Item(item)),
                None => self.fail("expected an index"),
            };
        }
        let bound = |parser: &mut Self| {
            let open = [":", "]", ","].iter().any(|end| parser.is_operator(end));
            if open { Ok(None) } else { parser.expression().map(Some) }
        };
        let stop = bound(self)?;
        let step = if self.skip_operator(":") { bound(self)? } else { None };
        Ok(Subscribed::Slice(Box::new([start, stop, step])))
    }

    fn arguments(&mut self) -> Result<Args> {
        self.expect_operator("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.is_operator(")") {
            if !first {
                self.expect_operator(",")?;
                if self.is_operator(")") {
                    break;
                }
            }
            first = false;
            self.argument(&mut args)?;
        }
        self.next();
        Ok(args)
    }

    fn argument(&mut self, args: &mut Args) -> Result<()> {
        let invalid = "positional arguments come first, then named ones, then *rest and **rest";
        let named = matches!((self.kind(), self.following()), (TokenKind::Name(_), TokenKind::Operator("=")));
        if self.skip_operator("*") {
            if args.rest.is_some() || args.named_rest.is_some() {
                return self.fail(invalid);
            }
            args.rest = Some(self.expression()?);
        } else if self.skip_operator("**") {
            if args.named_rest.is_some() {
                return self.fail(invalid);
            }
            args.named_rest = Some(self.expression()?);
        } else if named {
            let name = self.expect_name()?;
            self.next();
            if args.named_rest.is_some() || args.named.iter().any(|(other, _)| *other == name) {
                return self.fail(if args.named_rest.is_some() { invalid.into() } else { format!("the argument {name} is given twice") });
            }
            args.named.push((name, self.expression()?));
        } else {
            if args.rest.is_some() || args.named_rest.is_some() || !args.named.is_empty() {
                return self.fail(invalid);
            }
            args.positional.push(self.expression()?);
        }
        Ok(())
    }

    /// Parses `| filter | filter`, applied to a value or, in a block, to its output.
    pub(super) fn filters(&mut self, value: Option<Expr>) -> Result<Expr> {
        self.expect_operator("|")?;
        let mut value = self.filter(value)?;
        while self.skip_operator("|") {
            value = self.filter(Some(value))?;
            self.grown(&value)?;
        }
        Ok(value)
    }

    /// Parses a filter's name and arguments.
    pub(super) fn filter(&mut self, value: Option<Expr>) -> Result<Expr> {
        let line = self.line();
        let name = self.dotted()?;
        let args = if self.is_operator("(") { self.arguments()? } else { Args::default() };
        Ok(Expr::new(line, ExprKind::Filter(value.map(Box::new), name.into(), Box::new(args))))
    }

    fn dotted(&mut self) -> Result<String> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_operator(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(name)
    }

    fn test(&mut self, value: Expr) -> Result<Expr> {
        let line = self.line();
        self.next();
        let negated = self.skip_name("not");
        let name = self.dotted()?;
        let keyword = ["else", "or", "and"].iter().any(|keyword| self.is_name(keyword));
        let args = match self.kind() {
            TokenKind::Operator("(") => self.arguments()?,
            TokenKind::Name(_) | TokenKind::Str(_) | TokenKind::Int(_) | TokenKind::Float(_) | TokenKind::Operator("[" | "{") if !keyword => {
                if self.is_name("is") {
                    return self.fail("tests cannot be chained with 'is'");
                }
                let argument = self.primary()?;
                Args { positional: vec![self.postfix(argument)?], ..Args::default() }
            }
            _ => Args::default(),
        };
        let test = Expr::new(line, ExprKind::Test(Box::new(value), name.into(), Box::new(args)));
        Ok(if negated { Expr::new(line, ExprKind::Not(Box::new(test))) } else { test })
    }
}

enum Subscribed {
    Item(Expr),
    Slice(Box<[Option<Expr>; 3]>),
}
