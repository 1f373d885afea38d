//! What the names of a script stand for: keys that it was given, or numbers.

use std::collections::{HashMap, HashSet};

use super::lua::{Expr, Kind, Script, Symbol, Value};

/// What is known of the symbols of a script.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// Whatever they stand for is a key that the script was given.
    keys: HashSet<Symbol>,
    /// They may stand for a number that was computed.
    numbers: HashSet<Symbol>,
    /// They may stand for the answer of `TIME`.
    clocks: HashSet<Symbol>,
}

impl Meaning {
    pub(super) fn of(script: &Script) -> Self {
        let mut values: HashMap<&Symbol, Vec<&Value>> = HashMap::new();
        for (symbol, value) in &script.definitions {
            values.entry(symbol).or_default().push(value);
        }
        // All are keys until one of their values is none; none is a number until one of its values is.
        let mut meaning =
            Self { keys: values.keys().map(|&symbol| symbol.clone()).collect(), ..Self::default() };
        meaning.keys.extend(script.never_given().into_iter().map(Symbol::Name));
        loop {
            let mut changed = false;
            for (&symbol, values) in &values {
                let is_key = values.iter().all(|value| meaning.gives_key(value));
                changed |= !is_key && meaning.keys.remove(symbol);
                let is_number =
                    values.iter().any(|value| matches!(value, Value::Of(it) if meaning.is_number(it)));
                changed |= is_number && meaning.numbers.insert(symbol.clone());
                let is_clock =
                    values.iter().any(|value| matches!(value, Value::Of(it) if meaning.is_clock(it)));
                changed |= is_clock && meaning.clocks.insert(symbol.clone());
            }
            if !changed {
                return meaning;
            }
        }
    }

    fn gives_key(&self, value: &Value) -> bool {
        match value {
            Value::Of(expr) => self.is_key(expr),
            Value::Element(Expr { kind: Kind::Name(name), .. }) => name == "KEYS",
            Value::Element(Expr { kind: Kind::Table(fields), .. }) => {
                fields.iter().all(|(_, value)| self.is_key(value))
            }
            Value::Element(_) | Value::Unknown => false,
        }
    }

    /// Says whether an expression is one of the keys that the script was given, whatever happens.
    pub(super) fn is_key(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Index(of, _) => matches!(&of.kind, Kind::Name(name) if name == "KEYS"),
            Kind::Binary(op, left, right) if op == "or" => self.is_key(left) && self.is_key(right),
            Kind::Binary(op, _, right) if op == "and" => self.is_key(right),
            _ => symbol(expr).is_some_and(|symbol| self.keys.contains(&symbol)),
        }
    }

    /// Says whether an expression may be a number that was computed.
    pub(super) fn is_number(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Binary(op, left, right) => match op.as_str() {
                "+" | "-" | "*" | "/" | "%" | "^" => true,
                // A number is true, so what stands before `and` is never the answer where it is one.
                "and" => self.is_number(right),
                "or" => self.is_number(left) || self.is_number(right),
                _ => false,
            },
            Kind::Unary(op, of) => op == "-" && !matches!(of.kind, Kind::Number(_)),
            Kind::Call(callee, _) => match callee.path().as_deref() {
                Some("tonumber") => true,
                Some(path) if path.starts_with("math.") => true,
                _ => symbol(expr).is_some_and(|symbol| self.numbers.contains(&symbol)),
            },
            Kind::Number(text) => text.parse::<i64>().is_err(),
            _ => symbol(expr).is_some_and(|symbol| self.numbers.contains(&symbol)),
        }
    }

    /// Says whether an expression may be the answer of `TIME`.
    pub(super) fn is_clock(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Call(callee, args) if callee.path().is_some_and(|path| path.starts_with("redis.")) => {
                matches!(args.first(), Some(Expr { kind: Kind::Text(text), .. }) if text.eq_ignore_ascii_case("TIME"))
            }
            _ => symbol(expr).is_some_and(|symbol| self.clocks.contains(&symbol)),
        }
    }
}

/// Returns what is looked up for an expression.
fn symbol(expr: &Expr) -> Option<Symbol> {
    match &expr.kind {
        Kind::Name(name) => Some(Symbol::Name(name.clone())),
        Kind::Field(_, name) => Some(Symbol::Field(name.clone())),
        Kind::Call(callee, _) => match &callee.kind {
            Kind::Name(name) => Some(Symbol::Result(name.clone())),
            _ => None,
        },
        _ => None,
    }
}
