//! A Lua script as the expressions in it and what its names stand for.
//!
//! Every local has a name of its own here (`name@3` for the third declaration), so that two of one name are two.

use std::collections::{HashMap, HashSet};

use full_moon::ast::{
    Block, Call, Expression, Field, FunctionArgs, FunctionBody, Index, LastStmt, Parameter, Prefix, Stmt,
    Suffix, Var,
};
use full_moon::node::Node;
use full_moon::tokenizer::{Position, TokenReference, TokenType};

/// An expression and the line in which it begins.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Name(String),
    Field(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Call(Box<Expr>, Vec<Expr>),
    Text(String),
    Number(String),
    Nil,
    /// Fields with a name have it; those without have their place.
    Table(Vec<(Option<String>, Expr)>),
    Binary(String, Box<Expr>, Box<Expr>),
    Unary(String, Box<Expr>),
    Other(Vec<Expr>),
}

/// What can stand for a value.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Symbol {
    Name(String),
    /// Of any table: tables are not told apart.
    Field(String),
    /// What a function returns.
    Result(String),
}

/// What a symbol is made to stand for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Of(Expr),
    /// Each element of a table in turn.
    Element(Expr),
    Unknown,
}

/// A script that has been read.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) definitions: Vec<(Symbol, Value)>,
    /// All that is evaluated, each once, with what is in it inside.
    pub(super) roots: Vec<Expr>,
    /// Those of them that a function or the script itself returns.
    pub(super) returned: Vec<Expr>,
    /// Where `KEYS` is written to.
    pub(super) overwrites: Vec<usize>,
    parameters: HashMap<String, Vec<String>>,
    scopes: Vec<HashMap<String, String>>,
    declared: usize,
}

/// Reads a script as Lua 5.1, which is what Redis has.
///
/// # Errors
///
/// Fails where it is none, with the line and what is wrong.
pub(super) fn read(text: &str) -> Result<Script, Vec<(usize, String)>> {
    let ast = full_moon::parse(text).map_err(|errors| {
        errors.iter().map(|e| (e.range().0.line(), e.error_message().into_owned())).collect::<Vec<_>>()
    })?;
    let mut script = Script::default();
    script.block(ast.nodes(), "");
    // What a parameter stands for is what its function is called with.
    let mut calls = Vec::new();
    for root in &script.roots {
        root.walk(&mut |expr| {
            if let Kind::Call(callee, args) = &expr.kind
                && let Kind::Name(name) = &callee.kind
            {
                calls.push((name.clone(), args.clone()));
            }
        });
    }
    for (name, args) in calls {
        for (place, parameter) in script.parameters.get(&name).into_iter().flatten().enumerate() {
            let value = args.get(place).map_or(Value::Unknown, |arg| Value::Of(arg.clone()));
            script.definitions.push((Symbol::Name(parameter.clone()), value));
        }
    }
    Ok(script)
}

impl Expr {
    /// Visits it and everything in it.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.walk(visit));
    }

    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Name(_) | Kind::Text(_) | Kind::Number(_) | Kind::Nil => Vec::new(),
            Kind::Field(of, _) | Kind::Unary(_, of) => vec![of],
            Kind::Index(of, at) | Kind::Binary(_, of, at) => vec![of, at],
            Kind::Call(callee, args) => std::iter::once(callee.as_ref()).chain(args).collect(),
            Kind::Table(fields) => fields.iter().map(|(_, value)| value).collect(),
            Kind::Other(parts) => parts.iter().collect(),
        }
    }

    /// Returns the name of a function of a library, such as `redis.call`, if this is one.
    pub(super) fn path(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(name) => Some(name.clone()),
            Kind::Field(of, name) => Some(format!("{}.{name}", of.path()?)),
            _ => None,
        }
    }
}

impl Script {
    /// Returns the parameters of functions that nobody calls or hands on; a part may have such.
    pub(super) fn never_given(&self) -> Vec<String> {
        let mut named = HashSet::new();
        for root in &self.roots {
            root.walk(&mut |expr| {
                if let Kind::Name(name) = &expr.kind {
                    named.insert(name.clone());
                }
            });
        }
        // An anonymous one is handed on wherever it stands.
        let unused = |name: &str| !named.contains(name) && !name.starts_with("function@");
        let unused = self.parameters.iter().filter(|(name, _)| unused(name));
        unused.flat_map(|(_, parameters)| parameters.clone()).collect()
    }

    fn block(&mut self, block: &Block, function: &str) {
        self.scopes.push(HashMap::new());
        self.statements(block, function);
        self.scopes.pop();
    }

    fn statements(&mut self, block: &Block, function: &str) {
        for statement in block.stmts() {
            self.statement(statement, function);
        }
        if let Some(LastStmt::Return(returned)) = block.last_stmt() {
            for expression in returned.returns() {
                let expr = self.root(expression);
                self.returned.push(expr.clone());
                self.definitions.push((Symbol::Result(function.to_owned()), Value::Of(expr)));
            }
        }
    }

    fn statement(&mut self, statement: &Stmt, function: &str) {
        match statement {
            Stmt::LocalAssignment(it) => {
                let values: Vec<_> =
                    it.expressions().iter().map(|expression| self.root(expression)).collect();
                let symbols: Vec<_> =
                    it.names().iter().map(|name| Symbol::Name(self.declare(name))).collect();
                self.define(symbols, &values);
            }
            Stmt::Assignment(it) => {
                let values: Vec<_> =
                    it.expressions().iter().map(|expression| self.root(expression)).collect();
                let symbols = it.variables().iter().map(|var| {
                    let target = self.var(var);
                    let symbol = match &target.kind {
                        Kind::Name(name) => Symbol::Name(name.clone()),
                        Kind::Field(_, name) => Symbol::Field(name.clone()),
                        _ => Symbol::Field(String::new()),
                    };
                    if let Kind::Index(of, _) = &target.kind
                        && matches!(&of.kind, Kind::Name(name) if name == "KEYS")
                    {
                        self.overwrites.push(target.line);
                    }
                    self.roots.push(target);
                    symbol
                });
                let symbols = symbols.collect();
                self.define(symbols, &values);
            }
            Stmt::FunctionCall(it) => {
                let call = self.chain(it.prefix(), it.suffixes());
                self.roots.push(call);
            }
            Stmt::LocalFunction(it) => {
                let name = self.declare(it.name());
                self.function(it.body(), &name);
            }
            Stmt::FunctionDeclaration(it) => self.function(it.body(), &it.name().to_string()),
            Stmt::Do(it) => self.block(it.block(), function),
            Stmt::If(it) => {
                self.root(it.condition());
                self.block(it.block(), function);
                for branch in it.else_if().into_iter().flatten() {
                    self.root(branch.condition());
                    self.block(branch.block(), function);
                }
                it.else_block().into_iter().for_each(|block| self.block(block, function));
            }
            Stmt::While(it) => {
                self.root(it.condition());
                self.block(it.block(), function);
            }
            Stmt::Repeat(it) => {
                self.scopes.push(HashMap::new());
                self.statements(it.block(), function);
                self.root(it.until());
                self.scopes.pop();
            }
            Stmt::NumericFor(it) => {
                for bound in [Some(it.start()), Some(it.end()), it.step()].into_iter().flatten() {
                    self.root(bound);
                }
                self.scopes.push(HashMap::new());
                let name = self.declare(it.index_variable());
                self.definitions.push((Symbol::Name(name), Value::Unknown));
                self.block(it.block(), function);
                self.scopes.pop();
            }
            Stmt::GenericFor(it) => {
                let values: Vec<_> =
                    it.expressions().iter().map(|expression| self.root(expression)).collect();
                self.scopes.push(HashMap::new());
                for (place, name) in it.names().iter().enumerate() {
                    let name = self.declare(name);
                    let value = match values.first().map(|value| &value.kind) {
                        Some(Kind::Call(callee, args)) if place == 1 && args.len() == 1 => {
                            match callee.path().as_deref() {
                                Some("ipairs") => Value::Element(args[0].clone()),
                                _ => Value::Unknown,
                            }
                        }
                        _ => Value::Unknown,
                    };
                    self.definitions.push((Symbol::Name(name), value));
                }
                self.block(it.block(), function);
                self.scopes.pop();
            }
            _ => {}
        }
    }

    /// Notes what symbols are made to stand for; `nil` says nothing.
    fn define(&mut self, symbols: Vec<Symbol>, values: &[Expr]) {
        for (place, symbol) in symbols.into_iter().enumerate() {
            match values.get(place) {
                Some(Expr { kind: Kind::Nil, .. }) => {}
                Some(value) => self.definitions.push((symbol, Value::Of(value.clone()))),
                // A last call gives as many values as are wanted.
                None if values.last().is_some_and(|last| matches!(last.kind, Kind::Call(..))) => {
                    self.definitions.push((symbol, Value::Unknown));
                }
                None => {}
            }
        }
    }

    fn declare(&mut self, name: &TokenReference) -> String {
        let name = word(name);
        self.declared += 1;
        let own = format!("{name}@{}", self.declared);
        self.scopes.last_mut().expect("a declaration stands in a block").insert(name, own.clone());
        own
    }

    fn function(&mut self, body: &FunctionBody, name: &str) {
        self.scopes.push(HashMap::new());
        let parameters = body.parameters().iter().filter_map(|parameter| match parameter {
            Parameter::Name(name) => Some(self.declare(name)),
            _ => None,
        });
        let parameters = parameters.collect();
        self.parameters.insert(name.to_owned(), parameters);
        self.block(body.block(), name);
        self.scopes.pop();
    }

    /// Reads an expression that stands in no other.
    fn root(&mut self, expression: &Expression) -> Expr {
        let expr = self.expr(expression);
        self.roots.push(expr.clone());
        expr
    }

    fn expr(&mut self, expression: &Expression) -> Expr {
        let line = expression.start_position().map_or(1, Position::line);
        let kind = match expression {
            Expression::BinaryOperator { lhs, binop, rhs } => {
                Kind::Binary(word(binop.token()), Box::new(self.expr(lhs)), Box::new(self.expr(rhs)))
            }
            Expression::Parentheses { expression, .. } => self.expr(expression).kind,
            Expression::UnaryOperator { unop, expression } => {
                Kind::Unary(word(unop.token()), Box::new(self.expr(expression)))
            }
            Expression::Function(function) => {
                self.declared += 1;
                let name = format!("function@{}", self.declared);
                self.function(function.body(), &name);
                Kind::Other(Vec::new())
            }
            Expression::FunctionCall(call) => return self.chain(call.prefix(), call.suffixes()),
            Expression::TableConstructor(table) => self.table(table.fields()),
            Expression::Number(token) => Kind::Number(word(token)),
            Expression::String(token) => text(token),
            Expression::Symbol(token) if word(token) == "nil" => Kind::Nil,
            Expression::Var(var) => return self.var(var),
            _ => Kind::Other(Vec::new()),
        };
        Expr { line, kind }
    }

    fn table(&mut self, fields: &full_moon::ast::punctuated::Punctuated<Field>) -> Kind {
        let mut read = Vec::new();
        for field in fields {
            match field {
                Field::NameKey { key, value, .. } => {
                    let value = self.expr(value);
                    self.definitions.push((Symbol::Field(word(key)), Value::Of(value.clone())));
                    read.push((Some(word(key)), value));
                }
                Field::ExpressionKey { key, value, .. } => {
                    let both = Kind::Other(vec![self.expr(key), self.expr(value)]);
                    read.push((Some(String::new()), Expr { line: 0, kind: both }));
                }
                Field::NoKey(value) => read.push((None, self.expr(value))),
                _ => {}
            }
        }
        Kind::Table(read)
    }

    fn var(&mut self, var: &Var) -> Expr {
        match var {
            Var::Name(name) => self.name(name),
            Var::Expression(it) => self.chain(it.prefix(), it.suffixes()),
            _ => Expr { line: 1, kind: Kind::Other(Vec::new()) },
        }
    }

    fn name(&self, name: &TokenReference) -> Expr {
        let line = name.start_position().map_or(1, Position::line);
        let word = word(name);
        let own = self.scopes.iter().rev().find_map(|scope| scope.get(&word)).cloned();
        Expr { line, kind: Kind::Name(own.unwrap_or(word)) }
    }

    /// Reads `prefix.a[b](c)`.
    fn chain<'a>(&mut self, prefix: &Prefix, suffixes: impl Iterator<Item = &'a Suffix>) -> Expr {
        let mut expr = match prefix {
            Prefix::Name(name) => self.name(name),
            Prefix::Expression(expression) => self.expr(expression),
            _ => Expr { line: 1, kind: Kind::Other(Vec::new()) },
        };
        for suffix in suffixes {
            let of = Box::new(expr.clone());
            let kind = match suffix {
                Suffix::Index(Index::Dot { name, .. }) => Kind::Field(of, word(name)),
                Suffix::Index(Index::Brackets { expression, .. }) => {
                    Kind::Index(of, Box::new(self.expr(expression)))
                }
                Suffix::Call(Call::AnonymousCall(args)) => Kind::Call(of, self.args(args)),
                Suffix::Call(Call::MethodCall(call)) => Kind::Call(
                    Box::new(Expr { line: expr.line, kind: Kind::Field(of, word(call.name())) }),
                    self.args(call.args()),
                ),
                _ => Kind::Other(vec![expr.clone()]),
            };
            expr = Expr { line: expr.line, kind };
        }
        expr
    }

    fn args(&mut self, args: &FunctionArgs) -> Vec<Expr> {
        match args {
            FunctionArgs::Parentheses { arguments, .. } => {
                arguments.iter().map(|argument| self.expr(argument)).collect()
            }
            FunctionArgs::String(token) => {
                let line = token.start_position().map_or(1, Position::line);
                vec![Expr { line, kind: text(token) }]
            }
            FunctionArgs::TableConstructor(table) => vec![Expr { line: 1, kind: self.table(table.fields()) }],
            _ => Vec::new(),
        }
    }
}

fn word(token: &TokenReference) -> String {
    token.token().to_string()
}

fn text(token: &TokenReference) -> Kind {
    match token.token_type() {
        TokenType::StringLiteral { literal, .. } => Kind::Text(literal.to_string()),
        _ => Kind::Text(word(token)),
    }
}
