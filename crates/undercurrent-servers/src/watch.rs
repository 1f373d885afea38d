//! Which keys scripts touch, beside those that they were given.
//!
//! A script may touch only what stands in its `KEYS`. Dragonfly refuses anything else; Redis and Valkey allow it as long as
//! one server has all keys. So on those two the commands of scripts are watched (`MONITOR`) while a workload runs.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use redis::aio::{Monitor, MultiplexedConnection};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::ServerError;
use crate::program::Flavour;
use crate::server::Server;
use crate::wait::PATIENCE;

/// The most keys that a report names; more are counted.
const NAMED: usize = 32;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct KeyReport {
    /// How often a script ran.
    pub scripts: usize,
    /// How many commands scripts ran.
    pub commands: usize,
    /// How many of their keys were not declared.
    pub count: usize,
    /// The first of them, each once.
    pub undeclared: BTreeSet<UndeclaredKey>,
}

/// A key that a script touched although it was not given it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UndeclaredKey {
    /// The SHA-1 of the script, or the first line of its text where that was sent.
    pub script: String,
    /// The command that touched it.
    pub command: String,
    /// The key.
    pub key: String,
}

/// Watches a server while a workload runs, and returns what that gave and what was seen.
///
/// Every script on the server counts, whoever runs it.
///
/// # Errors
///
/// Fails with [`NotApplicable`](crate::NotApplicable) on Dragonfly, which refuses such keys itself; otherwise where the
/// server does not let it watch.
pub async fn watch_keys<T>(
    server: &Server,
    workload: impl Future<Output = T>,
) -> Result<(T, KeyReport), ServerError> {
    if server.flavour() == Flavour::Dragonfly {
        return Err(server
            .program()
            .not_applicable("watching the keys of scripts", "it refuses undeclared keys itself"));
    }
    let monitor = server.client().get_async_monitor().await?;
    let mut connection = server.connect().await?;
    let mark = format!("undercurrent-servers:{}", Uuid::new_v4());
    let watching = Watching(tokio::spawn(watch(monitor, connection.clone(), mark.clone())));
    let it = workload.await;
    // What is seen after the mark happened after the workload.
    let _: String = redis::cmd("ECHO").arg(&mark).query_async(&mut connection).await?;
    Ok((it, watching.end().await?))
}

/// A task that ends when this is dropped.
struct Watching(JoinHandle<Result<KeyReport, ServerError>>);

impl Watching {
    async fn end(mut self) -> Result<KeyReport, ServerError> {
        match timeout(PATIENCE, &mut self.0).await {
            Ok(ended) => ended.expect("the task of a watch does not panic"),
            Err(_) => Err(ServerError::Late {
                what: "the watch of a server sees its end".to_owned(),
                patience: PATIENCE,
                last: "lines are still coming".to_owned(),
                output: String::new(),
            }),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(
    monitor: Monitor,
    mut connection: MultiplexedConnection,
    mark: String,
) -> Result<KeyReport, ServerError> {
    let mut lines = monitor.into_on_message::<String>();
    let mut report = KeyReport::default();
    let mut running = (String::new(), BTreeSet::new());
    while let Some(line) = lines.next().await {
        let Some(seen) = read(&line) else { continue };
        if seen.words.iter().any(|word| word == mark.as_bytes()) {
            return Ok(report);
        }
        if !seen.inside {
            if let Some(script) = script(&seen.words) {
                report.scripts += 1;
                running = script;
            }
            continue;
        }
        report.commands += 1;
        let (script, declared) = &running;
        for key in keys(&seen.words, &mut connection).await? {
            if !declared.contains(&key) {
                report.count += 1;
                if report.undeclared.len() < NAMED {
                    report.undeclared.insert(UndeclaredKey {
                        script: script.clone(),
                        command: text(&seen.words[0]).to_uppercase(),
                        key: text(&key),
                    });
                }
            }
        }
    }
    Err(ServerError::System { doing: "watching a server", cause: std::io::ErrorKind::UnexpectedEof.into() })
}

/// Asks the server which words of a command are keys.
async fn keys(
    words: &[Vec<u8>],
    connection: &mut MultiplexedConnection,
) -> Result<Vec<Vec<u8>>, ServerError> {
    let mut command = redis::cmd("COMMAND");
    command.arg("GETKEYS").arg(words);
    match command.query_async(connection).await {
        Ok(keys) => Ok(keys),
        // A server's refusal means that this command has none.
        Err(error) if error.code().is_some() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// One line of `MONITOR`.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    /// A script ran it.
    inside: bool,
    words: Vec<Vec<u8>>,
}

/// Reads `1700000000.123456 [0 lua] "HGET" "a" "\x00"`.
fn read(line: &str) -> Option<Seen> {
    let (_, rest) = line.split_once(" [")?;
    let (client, mut rest) = rest.split_once("] ")?;
    let inside = client.ends_with(" lua");
    let mut words = Vec::new();
    while let Some(quoted) = rest.strip_prefix('"') {
        let (word, after) = unquote(quoted)?;
        words.push(word);
        rest = after.trim_start();
    }
    (!words.is_empty()).then_some(Seen { inside, words })
}

/// Reads up to the closing quote; returns the word and what follows.
fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut word = Vec::new();
    let mut bytes = text.bytes().enumerate();
    loop {
        let (at, byte) = bytes.next()?;
        word.push(match byte {
            b'"' => return Some((word, &text[at + 1..])),
            b'\\' => match bytes.next()?.1 {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 7,
                b'b' => 8,
                b'x' => {
                    let digits = text.get(at + 2..at + 4)?;
                    bytes.nth(1)?;
                    u8::from_str_radix(digits, 16).ok()?
                }
                other => other,
            },
            other => other,
        });
    }
}

/// Returns the name of the script that a command runs, and the keys that it is given.
fn script(words: &[Vec<u8>]) -> Option<(String, BTreeSet<Vec<u8>>)> {
    let name = text(words.first()?).to_lowercase();
    if !["eval", "evalsha", "eval_ro", "evalsha_ro"].contains(&name.as_str()) {
        return None;
    }
    let script = text(words.get(1)?).lines().next().unwrap_or_default().to_owned();
    let count: usize = text(words.get(2)?).parse().ok()?;
    Some((script, words.iter().skip(3).take(count).cloned().collect()))
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_what_is_quoted_in_it() {
        let line = r#"1700000000.123456 [0 lua] "SET" "a \"b\"" "\x00\xff\n\\" """#;
        let words = ["SET".into(), r#"a "b""#.into(), b"\x00\xff\n\\".to_vec(), Vec::new()];
        assert_eq!(read(line), Some(Seen { inside: true, words: words.to_vec() }));
        let line = r#"1700000000.123456 [0 127.0.0.1:50000] "PING""#;
        assert_eq!(read(line), Some(Seen { inside: false, words: vec!["PING".into()] }));
        assert_eq!(read("OK"), None);
    }

    #[test]
    fn the_keys_of_a_call_are_as_many_as_it_says() {
        let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let (name, keys) = script(&words("EVALSHA abc 2 k1 k2 a1")).unwrap();
        assert_eq!((name.as_str(), keys), ("abc", BTreeSet::from(["k1".into(), "k2".into()])));
        assert_eq!(script(&words("GET a")), None);
    }
}
