//! The declaration of a command, and the check that it can be run as declared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use undercurrent_types::Key;

use super::super::span;
use crate::workspace::{Denied, Workspace};

const LONGEST_NAME: usize = 128;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const LARGEST_OUTPUT: u64 = 64 << 20;

/// A command whose standard output is the value of `command:<name>`.
///
/// In TOML it is a table `[[command]]`; unknown fields are refused. Durations are texts such as `500ms`, `30s`, `5m` or
/// `1h`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The key after `command:`: 1 to 128 of `A–Z a–z 0–9 . _ -`.
    pub name: String,
    /// The program and its arguments. No shell reads them. A program without a `/` is looked for in `PATH`, any other
    /// path is taken from `dir`.
    pub run: Vec<String>,
    /// Where it runs: an absolute path below a root.
    pub dir: PathBuf,
    /// The keys that the value is made from; a change of one makes it stale. The command is not given their values.
    #[serde(default)]
    pub inputs: Vec<Key>,
    /// Its environment, besides `PATH`, `HOME` and `LANG`, which it inherits and which may be set here.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may take, at most 1 h. The time limit of the cache holds as well, and covers the inputs too.
    #[serde(default = "default_timeout", with = "span")]
    pub timeout: Duration,
    /// How many bytes it may write, at most 64 MiB. More is an error, and nothing is cut off.
    #[serde(default = "default_output_limit")]
    pub output_limit: u64,
    /// For how long a value may be served. Set it when the value depends on more than the inputs.
    #[serde(default, with = "span::maybe")]
    pub max_age: Option<Duration>,
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_output_limit() -> u64 {
    1 << 20
}

impl Command {
    /// Declares a command with the default limits: 30 s, 1 MiB, no inputs, and no environment of its own.
    pub fn new(name: &str, run: &[&str], dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            run: run.iter().map(|&word| word.to_owned()).collect(),
            dir,
            inputs: Vec::new(),
            env: BTreeMap::new(),
            timeout: default_timeout(),
            output_limit: default_output_limit(),
            max_age: None,
        }
    }
}

/// Why a command can not be declared so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Its name can not stand in a key.
    #[error("`{0}` can not name a command: a name has 1 to 128 of `A–Z a–z 0–9 . _ -`")]
    Name(String),
    /// Two have one name.
    #[error("the command `{0}` is declared twice")]
    Twice(String),
    /// A field can not be what it is.
    #[error("the command `{name}` can not be used: {reason}")]
    Field {
        /// Its name.
        name: String,
        /// Which field, and what it may be.
        reason: String,
    },
    /// It would run outside the roots.
    #[error("the command `{name}` may not run in its `dir`")]
    Dir {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        error: Denied,
    },
    /// It waits, through its inputs, for itself.
    #[error("the inputs of the command `{0}` lead back to it")]
    Circle(String),
}

/// Checks commands and puts them in the order of their names.
pub(super) fn check(
    workspace: &Workspace,
    given: Vec<Command>,
) -> Result<BTreeMap<String, Command>, CommandError> {
    let mut commands = BTreeMap::new();
    for command in given {
        check_one(workspace, &command)?;
        if let Some(first) = commands.insert(command.name.clone(), command) {
            return Err(CommandError::Twice(first.name));
        }
    }
    for command in commands.values() {
        check_inputs(&commands, command)?;
    }
    Ok(commands)
}

fn check_one(workspace: &Workspace, command: &Command) -> Result<(), CommandError> {
    let Command { name, run, dir, env, timeout, output_limit, max_age, .. } = command;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
        return Err(CommandError::Name(name.chars().take(LONGEST_NAME).collect()));
    }
    let refuse = |reason: &str| Err(CommandError::Field { name: name.clone(), reason: reason.to_owned() });
    if run.first().is_none_or(String::is_empty) {
        return refuse(
            "`run` is empty; it has the program and its arguments, such as `[\"cargo\", \"metadata\"]`",
        );
    }
    if run.iter().chain(env.values()).any(|text| text.contains('\0')) {
        return refuse("a word of `run` or a value of `env` has a NUL");
    }
    if env.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return refuse("a name in `env` is empty, or has a `=` or NUL");
    }
    if timeout.is_zero() || *timeout > LONGEST_TIMEOUT {
        return refuse("`timeout` is not between 1ms and 1h");
    }
    if *output_limit == 0 || *output_limit > LARGEST_OUTPUT {
        return refuse("`output_limit` is not between 1 and 67108864 bytes");
    }
    if max_age.is_some_and(|age| age.is_zero()) {
        return refuse(
            "`max_age` is 0, which would run it for every read; leave it out and read at `verified`",
        );
    }
    match workspace.confine(dir) {
        Ok(_) => Ok(()),
        Err(error) => Err(CommandError::Dir { name: name.clone(), error }),
    }
}

/// Sees that every command among the inputs is declared, and that none leads back.
fn check_inputs(commands: &BTreeMap<String, Command>, from: &Command) -> Result<(), CommandError> {
    let mut seen = Vec::new();
    let mut next = vec![from];
    while let Some(command) = next.pop() {
        for input in command.inputs.iter().filter(|input| input.kind() == "command") {
            let Some(other) = commands.get(input.rest()) else {
                let reason = format!("its input `{input}` is declared nowhere");
                return Err(CommandError::Field { name: command.name.clone(), reason });
            };
            if other.name == from.name {
                return Err(CommandError::Circle(from.name.clone()));
            }
            if !seen.contains(&&other.name) {
                seen.push(&other.name);
                next.push(other);
            }
        }
    }
    Ok(())
}
