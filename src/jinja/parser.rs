//! Parses tokens into the tree: statements here, expressions in `expressions`.

mod expressions;

use super::ast::{AssignTarget, Block, Expr, ExprKind, For, Macro, Name, OutputPiece, Stmt, StmtKind, Stmts};
use super::jinja_error::{JinjaError, Result};
use super::lexer::{Syntax, Token, TokenKind, expression_tokens, tokens};
use super::names;
use std::sync::Arc;

/// The deepest nesting of statements, brackets and operators; Python's compiler has a similar limit.
const MAX_DEPTH: u32 = 64;

/// The deepest tree of an expression.
const MAX_EXPRESSION_DEPTH: u16 = 200;

/// Parses a template.
pub(super) fn parse(source: &str, syntax: Syntax, generation: bool) -> Result<Stmts> {
    let mut parser = Parser { tokens: tokens(source, syntax)?, at: 0, depth: 0, generation, scoped_blocks: 0 };
    parser.statements(&[])
}

/// Parses a single expression.
pub(super) fn parse_expression(source: &str) -> Result<Expr> {
    let mut parser = Parser { tokens: expression_tokens(source)?, at: 0, depth: 0, generation: false, scoped_blocks: 0 };
    let expression = parser.expression()?;
    match parser.kind() {
        TokenKind::End => Ok(expression),
        other => parser.fail(format!("unexpected '{}' after the expression", other.describe())),
    }
}

/// The state of parsing.
pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// True if transformers' `generation` is a statement.
    generation: bool,
    /// The number of scoped blocks so far.
    scoped_blocks: usize,
}

impl Parser {
    pub(super) fn kind(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    pub(super) fn following(&self) -> &TokenKind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    pub(super) fn next(&mut self) -> TokenKind {
        let kind = self.kind().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        kind
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(JinjaError::new(message).at(self.line()))
    }

    pub(super) fn is_operator(&self, operator: &str) -> bool {
        matches!(self.kind(), TokenKind::Operator(found) if *found == operator)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.kind(), TokenKind::Name(found) if **found == *name)
    }

    pub(super) fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect_operator(&mut self, operator: &str) -> Result<()> {
        if self.skip_operator(operator) { Ok(()) } else { self.fail(format!("expected '{operator}', got '{}'", self.kind().describe())) }
    }

    pub(super) fn expect_name(&mut self) -> Result<Name> {
        match self.kind().clone() {
            TokenKind::Name(name) => {
                self.next();
                Ok(name)
            }
            other => self.fail(format!("expected a name, got '{}'", other.describe())),
        }
    }

    fn expect(&mut self, kind: &TokenKind) -> Result<()> {
        if self.kind() == kind {
            self.next();
            return Ok(());
        }
        self.fail(format!("expected '{}', got '{}'", kind.describe(), self.kind().describe()))
    }

    fn expect_keyword(&mut self, name: &str) -> Result<()> {
        if self.skip_name(name) { Ok(()) } else { self.fail(format!("expected '{name}', got '{}'", self.kind().describe())) }
    }

    /// Parses something one level deeper; fails above the limit.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return self.fail("statements or expressions are nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Checks the depth of a left-associative tree, which grows one operator at a time.
    pub(super) fn grown(&self, expression: &Expr) -> Result<()> {
        if expression.depth > MAX_EXPRESSION_DEPTH { self.fail("an expression is nested too deeply") } else { Ok(()) }
    }

    /// Parses statements up to one of the tags `ends`, whose name is not consumed.
    fn statements(&mut self, ends: &[&str]) -> Result<Stmts> {
        let mut body = Stmts::new();
        let mut pieces = Vec::new();
        let mut line = self.line();
        loop {
            if pieces.is_empty() {
                line = self.line();
            }
            match self.kind().clone() {
                TokenKind::Data(text) => {
                    self.next();
                    pieces.push(OutputPiece::Text(text));
                }
                TokenKind::VariableBegin => {
                    self.next();
                    pieces.push(OutputPiece::Print(self.tuple(true, &[], false)?));
                    self.expect(&TokenKind::VariableEnd)?;
                }
                TokenKind::BlockBegin => {
                    if !pieces.is_empty() {
                        body.push(Stmt { line, kind: StmtKind::Output(std::mem::take(&mut pieces)) });
                    }
                    self.next();
                    if matches!(self.kind(), TokenKind::Name(name) if ends.contains(&&**name)) {
                        return Ok(body);
                    }
                    let line = self.line();
                    let kind = self.nested(|parser| parser.statement(ends))?;
                    body.push(Stmt { line, kind });
                    self.expect(&TokenKind::BlockEnd)?;
                }
                TokenKind::End if ends.is_empty() => {
                    if !pieces.is_empty() {
                        body.push(Stmt { line, kind: StmtKind::Output(pieces) });
                    }
                    return Ok(body);
                }
                TokenKind::End => return self.fail(format!("unexpected end of template: {} is missing", tags(ends))),
                other => return self.fail(format!("unexpected '{}'", other.describe())),
            }
        }
    }

    /// Parses the body of a statement up to one of the tags `ends`; consumes and returns its name.
    fn body(&mut self, ends: &[&str]) -> Result<(Stmts, Name)> {
        self.skip_operator(":");
        self.expect(&TokenKind::BlockEnd)?;
        let body = self.statements(ends)?;
        let end = self.expect_name()?;
        Ok((body, end))
    }

    fn statement(&mut self, ends: &[&str]) -> Result<StmtKind> {
        let TokenKind::Name(tag) = self.kind().clone() else { return self.fail("a statement begins with its name") };
        match &*tag {
            "for" => self.for_loop(),
            "if" => self.if_chain(),
            "set" => self.set(),
            "macro" => self.macro_definition(),
            "call" => self.call_block(),
            "block" => self.block(),
            "generation" if self.generation => {
                self.next();
                let (body, _) = self.body(&["endgeneration"])?;
                Ok(StmtKind::Generation(self.with_specials("".into(), Vec::new(), Vec::new(), body)?))
            }
            "extends" | "include" | "import" | "from" => self.load(&tag),
            "with" => self.with(),
            "autoescape" => {
                self.next();
                let value = self.expression()?;
                Ok(StmtKind::Autoescape(value, self.body(&["endautoescape"])?.0.into()))
            }
            "filter" => self.filter_block(),
            "print" => self.print(),
            "break" | "continue" => {
                self.next();
                Ok(if &*tag == "break" { StmtKind::Break } else { StmtKind::Continue })
            }
            _ if ends.is_empty() => self.fail(format!("unknown tag '{tag}'")),
            _ => self.fail(format!("unknown tag '{tag}'; {} is missing", tags(ends))),
        }
    }

    fn for_loop(&mut self) -> Result<StmtKind> {
        self.next();
        let target = self.target(&["in"], false)?;
        self.expect_keyword("in")?;
        let iterable = self.tuple(false, &["recursive"], false)?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let scoped_before = self.scoped_blocks;
        let (body, end) = self.body(&["endfor", "else"])?;
        let otherwise = if &*end == "else" { self.body(&["endfor"])?.0 } else { Stmts::new() };
        let has_loop = recursive || self.scoped_blocks > scoped_before || !names::undeclared(&body, &["loop"]).is_empty();
        Ok(StmtKind::For(Arc::new(For { target, iterable, test, recursive, has_loop, body: body.into(), otherwise: otherwise.into() })))
    }

    fn if_chain(&mut self) -> Result<StmtKind> {
        let mut branches = Vec::new();
        loop {
            self.next();
            let test = self.tuple(false, &[], false)?;
            self.skip_operator(":");
            self.expect(&TokenKind::BlockEnd)?;
            let body = self.statements(&["elif", "else", "endif"])?;
            branches.push((test, body));
            if self.is_name("elif") {
                continue;
            }
            let otherwise = if &*self.expect_name()? == "else" { self.body(&["endif"])?.0 } else { Stmts::new() };
            return Ok(StmtKind::If(branches, otherwise));
        }
    }

    fn set(&mut self) -> Result<StmtKind> {
        self.next();
        let target = self.target(&[], true)?;
        if self.skip_operator("=") {
            return Ok(StmtKind::Set(target, self.tuple(true, &[], false)?));
        }
        let filter = if self.is_operator("|") { Some(self.filters(None)?) } else { None };
        Ok(StmtKind::SetBlock(target, filter, self.body(&["endset"])?.0.into()))
    }

    fn with(&mut self) -> Result<StmtKind> {
        self.next();
        let mut values = Vec::new();
        while *self.kind() != TokenKind::BlockEnd {
            if !values.is_empty() {
                self.expect_operator(",")?;
            }
            let target = self.target(&[], false)?;
            self.expect_operator("=")?;
            values.push((target, self.expression()?));
        }
        Ok(StmtKind::With(values, self.body(&["endwith"])?.0.into()))
    }

    fn block(&mut self) -> Result<StmtKind> {
        self.next();
        let name = self.expect_name()?;
        let scoped = self.skip_name("scoped");
        let required = self.skip_name("required");
        let (body, _) = self.body(&["endblock"])?;
        let blank = |piece: &OutputPiece| matches!(piece, OutputPiece::Text(text) if text.chars().all(super::unicode::is_space));
        if required && !body.iter().all(|stmt| matches!(&stmt.kind, StmtKind::Output(pieces) if pieces.iter().all(blank))) {
            return self.fail("a required block can hold only comments and whitespace");
        }
        self.skip_name(&name);
        self.scoped_blocks += usize::from(scoped);
        let named = names::undeclared(&body, &["self", "super"]);
        let (reads_self, reads_super) = (named.contains(&"self"), named.contains(&"super"));
        Ok(StmtKind::Block(Arc::new(Block { name, scoped, required, reads_self, reads_super, body: body.into() })))
    }

    /// Parses a statement that loads another template, so that only running it is an error.
    fn load(&mut self, tag: &str) -> Result<StmtKind> {
        self.next();
        self.expression()?;
        match tag {
            "include" if self.skip_name("ignore") => self.expect_keyword("missing")?,
            "import" => {
                self.expect_keyword("as")?;
                self.expect_name()?;
            }
            "from" => {
                self.expect_keyword("import")?;
                self.imported_names()?;
            }
            _ => {}
        }
        if tag != "extends" && (self.is_name("with") || self.is_name("without")) {
            self.next();
            self.expect_keyword("context")?;
        }
        Ok(StmtKind::Load(match tag {
            "extends" => "extends",
            "include" => "include",
            "import" => "import",
            _ => "from",
        }))
    }

    fn imported_names(&mut self) -> Result<()> {
        loop {
            self.expect_name()?;
            if self.skip_name("as") {
                self.expect_name()?;
            }
            if !self.skip_operator(",") {
                return Ok(());
            }
        }
    }

    fn macro_definition(&mut self) -> Result<StmtKind> {
        self.next();
        let name = self.expect_name()?;
        let (parameters, defaults) = self.signature()?;
        let (body, _) = self.body(&["endmacro"])?;
        Ok(StmtKind::Macro(self.with_specials(name, parameters, defaults, body)?))
    }

    fn call_block(&mut self) -> Result<StmtKind> {
        self.next();
        let (parameters, defaults) = if self.is_operator("(") { self.signature()? } else { Default::default() };
        let call = self.expression()?;
        if !matches!(call.kind, ExprKind::Call(..)) {
            return self.fail("expected a call");
        }
        let (body, _) = self.body(&["endcall"])?;
        Ok(StmtKind::CallBlock(call, self.with_specials("".into(), parameters, defaults, body)?))
    }

    /// Builds a macro; records whether its body names `caller`, `kwargs` and `varargs`.
    fn with_specials(&self, name: Name, parameters: Vec<Name>, defaults: Vec<Expr>, body: Stmts) -> Result<Arc<Macro>> {
        if (1..parameters.len()).any(|n| parameters[..n].contains(&parameters[n])) {
            return self.fail("a macro has two parameters of the same name");
        }
        let named = names::undeclared(&body, &["caller", "kwargs", "varargs"]);
        let has = |name: &str| parameters.iter().any(|parameter| **parameter == *name);
        let special = |name: &str| named.contains(&name) && !has(name);
        let caller = named.contains(&"caller");
        let first_default = parameters.len() - defaults.len();
        if caller && parameters[..first_default].iter().any(|parameter| &**parameter == "caller") {
            return self.fail("the parameter 'caller' needs a default");
        }
        let (kwargs, varargs) = (special("kwargs"), special("varargs"));
        Ok(Arc::new(Macro { name, parameters, defaults, body: body.into(), kwargs, varargs, caller }))
    }

    fn signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_operator("(")?;
        while !self.is_operator(")") {
            if !parameters.is_empty() {
                self.expect_operator(",")?;
            }
            let name = self.expect_name()?;
            self.assignable(&name)?;
            if self.skip_operator("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("a parameter without a default follows one with a default");
            }
            parameters.push(name);
        }
        self.next();
        Ok((parameters, defaults))
    }

    fn filter_block(&mut self) -> Result<StmtKind> {
        self.next();
        let filter = self.filter(None)?;
        let filter = if self.is_operator("|") { self.filters(Some(filter))? } else { filter };
        Ok(StmtKind::FilterBlock(filter, self.body(&["endfilter"])?.0.into()))
    }

    fn print(&mut self) -> Result<StmtKind> {
        self.next();
        let mut pieces = Vec::new();
        while *self.kind() != TokenKind::BlockEnd {
            if !pieces.is_empty() {
                self.expect_operator(",")?;
            }
            pieces.push(OutputPiece::Print(self.expression()?));
        }
        Ok(StmtKind::Output(pieces))
    }

    fn assignable(&self, name: &str) -> Result<()> {
        match name {
            "true" | "false" | "none" | "True" | "False" | "None" => self.fail(format!("cannot assign to {name}")),
            _ => Ok(()),
        }
    }

    /// Parses the target of an assignment; `attributes` allows those of a namespace.
    fn target(&mut self, ends: &[&str], attributes: bool) -> Result<AssignTarget> {
        let mut targets = Vec::new();
        let mut tuple = false;
        loop {
            let ended =
                matches!(self.kind(), TokenKind::VariableEnd | TokenKind::BlockEnd) || self.is_operator(")") || ends.iter().any(|end| self.is_name(end));
            if ended {
                break;
            }
            targets.push(self.one_target(attributes)?);
            if !self.skip_operator(",") {
                break;
            }
            tuple = true;
        }
        match targets.pop() {
            Some(target) if !tuple => Ok(target),
            Some(last) => Ok(AssignTarget::Tuple(targets.into_iter().chain([last]).collect())),
            None => self.fail(format!("expected a name to assign to, got '{}'", self.kind().describe())),
        }
    }

    fn one_target(&mut self, attributes: bool) -> Result<AssignTarget> {
        if self.skip_operator("(") {
            let target = self.nested(|parser| parser.target(&[], attributes))?;
            self.expect_operator(")")?;
            return Ok(target);
        }
        let TokenKind::Name(name) = self.kind().clone() else {
            return self.fail(format!("cannot assign to '{}'", self.kind().describe()));
        };
        self.next();
        self.assignable(&name)?;
        if attributes && self.skip_operator(".") {
            return Ok(AssignTarget::Attribute(name, self.expect_name()?));
        }
        Ok(AssignTarget::Name(name))
    }
}

fn tags(names: &[&str]) -> String {
    names.iter().map(|name| format!("{{% {name} %}}")).collect::<Vec<_>>().join(" or ")
}
