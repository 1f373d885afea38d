//! What the user may do, found without doing it: a command in a transaction that never ends is looked at and not run.

use redis::RedisError;

use super::super::connect::{ConnectError, Connector};
use super::super::keys::Keys;
use super::command;

/// What would be good to know and a node does without.
const WISHED: [&str; 3] = ["CONFIG GET appendfsync", "SCAN 0", "MEMORY USAGE KEY"];
/// What a node sends, with as many words as each needs; `KEY` stands for a key of the namespace.
const NEEDED: [&str; 36] = [
    "EVAL return 0",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    "INFO",
    "WAIT 0 1",
    "TIME",
    "PERSIST KEY",
    "XREAD STREAMS KEY 0",
    "DEL KEY",
    "EXISTS KEY",
    "GET KEY",
    "SET KEY v",
    "PEXPIRE KEY 1",
    "PTTL KEY",
    "UNLINK KEY",
    "HDEL KEY f",
    "HEXISTS KEY f",
    "HGET KEY f",
    "HGETALL KEY",
    "HINCRBY KEY f 1",
    "HLEN KEY",
    "HMGET KEY f",
    "HSET KEY f v",
    "HSETNX KEY f v",
    "SADD KEY m",
    "SMEMBERS KEY",
    "SREM KEY m",
    "XADD KEY * f v",
    "XLEN KEY",
    "XRANGE KEY - +",
    "XREVRANGE KEY + -",
    "XTRIM KEY MAXLEN 0",
    "ZADD KEY 0 m",
    "ZCARD KEY",
    "ZRANGE KEY 0 1",
    "ZRANK KEY m",
    "ZREM KEY m",
];

/// What the user may not do, each command by its name.
#[derive(Default)]
pub(super) struct Access {
    /// What a node needs.
    pub(super) denied: Vec<String>,
    /// What it does without, and what a look shows less for.
    pub(super) unseen: Vec<String>,
}

/// Asks for each command whether the user may send it, on a connection of its own, which then ends.
pub(super) async fn look(connector: &Connector, keys: &Keys) -> Result<Access, ConnectError> {
    let wire = connector.connect(Some(connector.options.response_timeout)).await?;
    let mut access = Access::default();
    // An empty transaction first; the other one never ends, so nothing of it runs.
    for word in ["MULTI", "EXEC", "MULTI"] {
        if denial(wire.send(&command(&[word])).await.err().as_ref()).is_some() {
            access.denied.push(word.to_owned());
            access.denied.dedup();
            return Ok(access);
        }
    }
    let key = keys.of("doctor");
    for (needed, list) in [(true, &NEEDED[..]), (false, &WISHED[..])] {
        for words in list {
            let words: Vec<_> =
                words.split(' ').map(|word| if word == "KEY" { &*key } else { word }).collect();
            let found = match denial(wire.send(&command(&words)).await.err().as_ref()) {
                None => continue,
                Some(Denial::Keys) => keys.of("*"),
                Some(Denial::Command) if matches!(words[0], "CONFIG" | "MEMORY") => words[..2].join(" "),
                Some(Denial::Command) => words[0].to_owned(),
            };
            let found_before = if needed { &mut access.denied } else { &mut access.unseen };
            if !found_before.contains(&found) {
                found_before.push(found);
            }
        }
    }
    Ok(access)
}

enum Denial {
    Command,
    Keys,
}

fn denial(error: Option<&RedisError>) -> Option<Denial> {
    let text = error?.to_string();
    if !text.contains("NOPERM") {
        return None;
    }
    Some(if text.contains("to access") { Denial::Keys } else { Denial::Command })
}

/// Says what has to be granted.
pub(super) fn refusal(denied: &[String], keys: &Keys) -> String {
    let all = keys.of("*");
    let grants = denied.iter().map(|what| match *what == all {
        true => format!("~{all}"),
        false => format!("+{}", what.to_lowercase().replace(' ', "|")),
    });
    let grants = grants.collect::<Vec<_>>().join(" ");
    format!("the user may not do all that a node does: grant it with `ACL SETUSER <user> {grants}`")
}

#[cfg(test)]
mod tests {
    use super::super::super::scripts;
    use super::*;

    #[test]
    fn every_command_of_the_steps_is_looked_at() {
        for script in scripts::all() {
            for part in script.text.split("redis.call('").skip(1) {
                let word = &part[..part.find('\'').unwrap()];
                let is_known = NEEDED.iter().any(|words| words.split(' ').next() == Some(word));
                assert!(is_known, "`{word}` of `{}` is not looked at", script.name);
            }
        }
    }
}
