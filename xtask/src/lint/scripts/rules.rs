//! The rules, for the text of one script.

use super::lua::{Expr, Kind, Script, read};
use super::meaning::Meaning;

/// What a script may use that it does not define.
const GLOBALS: [&str; 15] = [
    "KEYS", "ARGV", "redis", "string", "table", "math", "tonumber", "tostring", "type", "ipairs", "pairs",
    "next", "select", "error", "cjson",
];

/// What of `redis` is there on every server.
const REDIS: [&str; 5] = ["call", "pcall", "error_reply", "status_reply", "sha1hex"];

/// Commands that no script runs, and why.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("it leaks to the connection, or is refused", &["SELECT", "FLUSHDB", "FLUSHALL", "SWAPDB"]),
    (
        "it blocks, or gives nothing inside a script",
        &[
            "XREAD",
            "BLPOP",
            "BRPOP",
            "BLMOVE",
            "BRPOPLPUSH",
            "BLMPOP",
            "BZPOPMIN",
            "BZPOPMAX",
            "BZMPOP",
            "WAIT",
            "WAITAOF",
        ],
    ),
    ("not every server has functions", &["FUNCTION", "FCALL", "FCALL_RO"]),
    (
        "a script runs no script and no transaction",
        &["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT", "MULTI", "EXEC", "WATCH"],
    ),
    (
        "its keys are counted by an argument, which this lint does not read",
        &[
            "ZUNION",
            "ZINTER",
            "ZDIFF",
            "ZUNIONSTORE",
            "ZINTERSTORE",
            "ZDIFFSTORE",
            "SINTERCARD",
            "LMPOP",
            "ZMPOP",
        ],
    ),
];

/// What servers begin their errors with; inside a script Dragonfly leaves it out.
const CODES: [&str; 8] =
    ["WRONGTYPE", "NOSCRIPT", "READONLY", "MISCONF", "NOREPLICAS", "OOM", "LOADING", "CROSSSLOT"];

const CLOCK: &str =
    "what `TIME` answers are texts on one server and numbers on another: `tonumber(clock[1])`";

/// What is wrong, and in which line.
pub(super) type Problem = (usize, String);

fn undefined(script: &Script) -> Vec<Problem> {
    let mut found = Vec::new();
    let unpacks = guards_unpack(script);
    for root in &script.roots {
        root.walk(&mut |expr| {
            if let Kind::Name(name) = &expr.kind
                && !name.contains('@')
                && !GLOBALS.contains(&name.as_str())
                && !(name == "unpack" && unpacks)
            {
                found.push((expr.line, format!("`{name}` is defined nowhere, or not on every server")));
            }
        });
    }
    found
}

/// Returns what is wrong with a script.
pub(super) fn problems(text: &str) -> Vec<Problem> {
    if text.starts_with('#') {
        return vec![(1, "no shebang: Dragonfly takes it for a syntax error".to_owned())];
    }
    let script = match read(text) {
        Ok(script) => script,
        Err(errors) => {
            // What follows the first comes of it.
            let first = errors.into_iter().take(1);
            return first.map(|(line, text)| (line, format!("no Lua 5.1: {text}"))).collect();
        }
    };
    let meaning = Meaning::of(&script);
    let mut rules = Rules { meaning: &meaning, problems: undefined(&script) };
    script.roots.iter().for_each(|root| rules.expr(root, Place { root: true, ..Place::default() }));
    for returned in script.returned.iter().filter(|returned| meaning.is_clock(returned)) {
        rules.say(returned, CLOCK);
    }
    let mut problems = rules.problems;
    problems.extend(script.overwrites.iter().map(|&line| (line, "`KEYS` stays as it was given".to_owned())));
    problems.sort_unstable();
    problems.dedup();
    problems
}

/// `table.unpack or unpack` is right on both versions of Lua.
fn guards_unpack(script: &Script) -> bool {
    script.roots.iter().any(|root| {
        matches!(&root.kind, Kind::Binary(op, left, right)
            if op == "or" && left.path().as_deref() == Some("table.unpack") && right.path().as_deref() == Some("unpack"))
    })
}

/// Where an expression stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Somewhere inside `math.floor(…)` or `math.ceil(…)`.
    whole: bool,
    /// Directly inside `tonumber(…)`.
    number: bool,
    /// Directly inside `redis.error_reply(…)`.
    error: bool,
    /// What is indexed.
    indexed: bool,
    /// What is called, or a field of which is taken.
    used: bool,
    /// In no other expression.
    root: bool,
}

struct Rules<'a> {
    meaning: &'a Meaning,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn say(&mut self, expr: &Expr, text: impl Into<String>) {
        self.problems.push((expr.line, text.into()));
    }

    fn expr(&mut self, expr: &Expr, place: Place) {
        let inside = Place { whole: place.whole, ..Place::default() };
        if self.meaning.is_clock(expr) && !place.indexed && !place.root {
            self.say(expr, CLOCK);
        }
        match &expr.kind {
            Kind::Text(text) if !place.error => {
                let code = text.split(|c: char| !c.is_ascii_uppercase()).find(|word| CODES.contains(word));
                if let Some(code) = code {
                    self.say(expr, format!("`{code}` is no part of an error inside a script on Dragonfly"));
                }
            }
            Kind::Field(of, name) => {
                let of_redis = matches!(&of.kind, Kind::Name(of) if of == "redis");
                if of_redis && !REDIS.contains(&name.as_str()) {
                    self.say(expr, format!("not every server has `redis.{name}`"));
                } else if of_redis && !place.used {
                    self.say(
                        expr,
                        format!("`redis.{name}` is called by its own name, so that it is found here"),
                    );
                }
            }
            Kind::Binary(op, left, right) => match op.as_str() {
                "/" | "^" if !place.whole => {
                    self.say(expr, format!("`{op}` makes a fraction: put it into `math.floor(…)`"));
                }
                ".." => {
                    for side in [left, right] {
                        if self.meaning.is_number(side) {
                            self.say(side, "a number in `..`: write it with `string.format('%d', …)`");
                        }
                    }
                }
                _ => {}
            },
            Kind::Table(fields) => {
                for (name, value) in fields {
                    if name.is_none() && matches!(value.kind, Kind::Nil) {
                        self.say(value, "`nil` in a list: Redis ends the answer there, Dragonfly does not");
                    }
                }
            }
            Kind::Index(of, _) if self.meaning.is_clock(of) && !place.number => self.say(expr, CLOCK),
            Kind::Name(name) if name == "redis" && !place.used => {
                self.say(expr, "`redis` keeps its name, so that its calls are found here");
            }
            Kind::Call(callee, args) => return self.call(expr, callee, args, inside),
            _ => {}
        }
        for child in expr.children() {
            let indexed = matches!(&expr.kind, Kind::Index(of, _) if std::ptr::eq(of.as_ref(), child));
            let used = matches!(expr.kind, Kind::Field(..));
            self.expr(child, Place { indexed, used, ..inside });
        }
    }

    fn call(&mut self, call: &Expr, callee: &Expr, args: &[Expr], inside: Place) {
        let path = callee.path().unwrap_or_default();
        match path.as_str() {
            "redis.call" | "redis.pcall" => self.command(call, args),
            "tostring" if args.first().is_some_and(|arg| self.meaning.is_number(arg)) => {
                self.say(call, "a number in `tostring`: write it with `string.format('%d', …)`");
            }
            _ => {}
        }
        self.expr(callee, Place { used: true, ..inside });
        let place = Place {
            whole: inside.whole || path == "math.floor" || path == "math.ceil",
            number: path == "tonumber",
            error: path == "redis.error_reply",
            ..Place::default()
        };
        args.iter().for_each(|arg| self.expr(arg, place));
    }

    fn command(&mut self, call: &Expr, args: &[Expr]) {
        let Some(Expr { kind: Kind::Text(name), .. }) = args.first() else {
            return self.say(call, "the name of a command stands in the script as a text");
        };
        let name = name.to_uppercase();
        if let Some((why, _)) = FORBIDDEN.iter().find(|(_, names)| names.contains(&name.as_str())) {
            self.say(call, format!("`{name}` inside a script: {why}"));
        }
        let words = &args[1..];
        let blocks = words
            .iter()
            .any(|word| matches!(&word.kind, Kind::Text(text) if text.eq_ignore_ascii_case("BLOCK")));
        if blocks {
            self.say(call, "`BLOCK` inside a script");
        }
        for word in words {
            if matches!(&word.kind, Kind::Binary(op, ..) if "+-*/%^".contains(op.as_str())) {
                self.say(word, "a number that was computed: write it with `string.format('%d', …)`");
            }
        }
        for key in keys(&name, words) {
            if !self.meaning.is_key(key) {
                self.say(key, format!("what `{name}` is given is no key out of `KEYS`"));
            }
        }
    }
}

/// Returns the words of a command that are keys.
fn keys<'a>(name: &str, words: &'a [Expr]) -> Vec<&'a Expr> {
    match name {
        "TIME" | "INFO" | "PING" | "ECHO" | "ROLE" | "DBSIZE" | "PUBLISH" | "SPUBLISH" | "LASTSAVE" => {
            Vec::new()
        }
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "MGET" | "SINTER" | "SUNION" | "SDIFF" | "PFCOUNT" => {
            words.iter().collect()
        }
        "MSET" | "MSETNX" => words.iter().step_by(2).collect(),
        "OBJECT" | "MEMORY" | "XINFO" | "XGROUP" | "DEBUG" => words.iter().skip(1).take(1).collect(),
        "RENAME" | "RENAMENX" | "COPY" | "SMOVE" | "LMOVE" | "RPOPLPUSH" | "ZRANGESTORE" => {
            words.iter().take(2).collect()
        }
        _ => words.iter().take(1).collect(),
    }
}
