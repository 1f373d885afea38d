//! What each part of a namespace takes on its server.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::Value;
use serde::Serialize;

use super::super::connect::Wire;
use super::super::keys::Keys;
use super::{command, texts};

/// How many keys of the server one step looks at.
const STEP: &str = "500";
/// After this no further step is made: a server may hold any number of keys of others.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a part of a namespace takes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// Its name.
    pub part: &'static str,
    /// How many keys it has.
    pub keys: u64,
    /// How many entries lie in them: events, names, rows.
    pub entries: u64,
    /// How many bytes the server says that they take, about; none where it does not say.
    pub bytes: Option<u64>,
}

/// What a look found, and whether it saw all keys.
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    pub(super) complete: bool,
}

/// The parts, each with what its keys begin with behind the namespace, and how their entries are counted.
const PARTS: [(&str, &[&str], Option<&str>); 12] = [
    ("control", &["control", "turn", "waited"], None),
    ("last", &["last"], Some("HLEN")),
    ("log", &["log"], Some("XLEN")),
    ("sources", &["sources"], Some("HLEN")),
    ("streams", &["stream:"], Some("XLEN")),
    ("settings", &["streams", "meta:"], None),
    ("ids", &["ids:"], Some("HLEN")),
    ("context", &["context:"], None),
    ("leases", &["lease:"], None),
    ("latest", &["latest"], None),
    ("tables", &["table"], Some("HLEN")),
    ("plain", &["plain:"], None),
];

/// Looks at all keys of the namespace, in steps of a bounded size.
pub(super) async fn look(wire: &Wire, keys: &Keys) -> Parts {
    let mut parts: Vec<_> = PARTS.iter().map(|one| one.0).chain(["other"]).map(Part::new).collect();
    let pattern = pattern(&keys.of(""));
    let before = keys.of("").len();
    let (mut cursor, begin) = ("0".to_owned(), Instant::now());
    let complete = loop {
        let step = command(&["SCAN", &cursor, "MATCH", &pattern, "COUNT", STEP]);
        let Ok(answer) = wire.send(&step).await else { break false };
        let mut found = texts(answer).into_iter();
        cursor = found.next().unwrap_or_default();
        let sizes = found.map(async |key| {
            let at = part_of(&key[before.min(key.len())..]);
            (at, size(wire, &key, PARTS.get(at).and_then(|one| one.2)).await)
        });
        for (at, (entries, bytes)) in join_all(sizes).await {
            parts[at].add(entries, bytes);
        }
        if cursor == "0" {
            break true;
        }
        if cursor.is_empty() || begin.elapsed() > PATIENCE {
            break false;
        }
    };
    parts.retain(|part| part.keys > 0);
    Parts { parts, complete }
}

impl Part {
    fn new(part: &'static str) -> Self {
        Self { part, keys: 0, entries: 0, bytes: Some(0) }
    }

    fn add(&mut self, entries: u64, bytes: Option<u64>) {
        self.keys += 1;
        self.entries += entries;
        self.bytes = self.bytes.zip(bytes).map(|(all, one)| all + one);
    }
}

fn part_of(rest: &str) -> usize {
    let is_it = |begin: &&str| match begin.strip_suffix(':') {
        Some(_) => rest.starts_with(*begin),
        None => {
            rest.strip_prefix(*begin).is_some_and(|more| matches!(more, "" | "s") || more.starts_with(':'))
        }
    };
    PARTS.iter().position(|(_, begins, _)| begins.iter().any(|begin| is_it(begin))).unwrap_or(PARTS.len())
}

/// Returns how many entries a key has, and how many bytes it takes.
async fn size(wire: &Wire, key: &str, counted: Option<&str>) -> (u64, Option<u64>) {
    let entries = match counted {
        Some(word) => count(wire, &[word, key]).await.unwrap_or(0),
        None => 1,
    };
    (entries, count(wire, &["MEMORY", "USAGE", key]).await)
}

async fn count(wire: &Wire, words: &[&str]) -> Option<u64> {
    match wire.send(&command(words)).await {
        Ok(Value::Int(count)) => u64::try_from(count).ok(),
        // It has gone meanwhile.
        Ok(Value::Nil) => Some(0),
        _ => None,
    }
}

/// Returns the pattern of all that begins so.
fn pattern(begin: &str) -> String {
    let mut pattern = String::with_capacity(begin.len() + 1);
    for c in begin.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_of_a_part() {
        let cases = [
            ("control", "control"),
            ("last", "last"),
            ("latest", "latest"),
            ("latest:state:last", "latest"),
            ("log", "log"),
            ("streams", "settings"),
            ("meta:log", "settings"),
            ("stream:last", "streams"),
            ("ids:a:log", "ids"),
            ("context:state:a", "context"),
            ("lease:state:a", "leases"),
            ("tables", "tables"),
            ("table:rules", "tables"),
            ("sources", "sources"),
            ("logs of others", "other"),
        ];
        for (rest, part) in cases {
            let at = part_of(rest);
            assert_eq!(PARTS.get(at).map_or("other", |one| one.0), part, "`{rest}`");
        }
    }

    #[test]
    fn a_prefix_is_taken_as_it_is_written() {
        assert_eq!(pattern("{a*:n}:"), "{a\\*:n}:*");
    }
}
