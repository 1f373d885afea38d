//! What a server is and gives, found by what it says of itself.

use std::sync::LazyLock;

use redis::{Cmd, Value};
use undercurrent_types::Durability;

use super::connect::{ConnectError, Wire};

/// Asks for the role of a server and the id of its history.
pub(super) static REPLICATION: LazyLock<Cmd> = LazyLock::new(|| {
    let mut command = Cmd::new();
    command.arg("INFO").arg("replication");
    command
});

static EVERYTHING: LazyLock<Cmd> = LazyLock::new(|| {
    let mut command = Cmd::new();
    command.arg("INFO");
    command
});

/// A server, as it was when a connection to it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Its product and version, for people.
    pub(super) product: String,
    /// The id of its replication history.
    pub(super) replication: String,
    /// The line of INFO that says it.
    told: Box<[u8]>,
    /// Whether that id stays when the server is demoted and promoted again, as on a Dragonfly.
    pub(super) keeps_id: bool,
    /// What an acknowledged write survives.
    pub(super) durability: Durability,
    /// How many replicas follow it.
    pub(super) replicas: u64,
}

impl Server {
    /// Asks a server what it is.
    ///
    /// # Errors
    ///
    /// Fails when it lacks what is needed, and says what.
    pub(super) async fn ask(wire: &Wire) -> Result<Self, ConnectError> {
        let about = Told::ask(wire).await?;
        let unfit = |what: String| Err(ConnectError::Unfit(format!("`{}` {what}", wire.address)));
        let product = about.product();
        // All of them say which commands of Redis they know.
        let major = about.get("redis_version").and_then(|version| version.split('.').next()?.parse().ok());
        if major.is_none_or(|major: u32| major < 7) {
            return unfit(format!("is {product}; needed is Redis 7, Valkey 8 or Dragonfly, or newer"));
        }
        if about.get("role").is_some_and(|role| role != "master") {
            return unfit("is a replica; the address has to lead to the primary".to_owned());
        }
        if about.get("maxmemory_policy").is_some_and(|policy| policy.starts_with("allkeys"))
            && about.get("maxmemory") != Some("0")
        {
            let policy = about.get("maxmemory_policy").unwrap_or_default();
            return unfit(format!(
                "evicts keys that have no time to live (maxmemory-policy {policy}): set noeviction or volatile-lru"
            ));
        }
        if about.get("cache_mode") == Some("cache") {
            return unfit(
                "evicts keys that have no time to live (--cache_mode): start it without".to_owned(),
            );
        }
        let Some(replication) = about.get("master_replid") else {
            return unfit("does not say the id of its replication history (INFO, master_replid)".to_owned());
        };
        let durability = match about.get("aof_enabled") {
            Some("1") if syncs_always(wire).await => Durability::Durable,
            Some("1") => Durability::Page,
            _ => Durability::Memory,
        };
        Ok(Self {
            product,
            replication: replication.to_owned(),
            told: format!("master_replid:{replication}").into_bytes().into(),
            keeps_id: about.get("dragonfly_version").is_some(),
            durability,
            replicas: about.get("connected_slaves").and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    /// Returns the id of the history that the server has now, if it is a primary.
    pub(super) async fn replication_of(wire: &Wire) -> Result<Option<String>, ConnectError> {
        let about = Told(info(wire, &REPLICATION).await?);
        let is_primary = about.get("role") == Some("master");
        Ok(about.get("master_replid").filter(|_| is_primary).map(str::to_owned))
    }

    /// Says whether an answer to [`REPLICATION`] is that of this server as a primary.
    pub(super) fn is_told_by(&self, answer: &Value) -> bool {
        let text = match answer {
            Value::BulkString(text) => text,
            Value::VerbatimString { text, .. } => text.as_bytes(),
            _ => return false,
        };
        let told = |line: &[u8]| text.split(|byte| *byte == b'\n').any(|one| one.trim_ascii_end() == line);
        told(b"role:master") && told(&self.told)
    }

    /// Returns the strongest durability that the server gives.
    pub(super) fn strongest(&self) -> Durability {
        if self.replicas > 0 { Durability::Replicated } else { self.durability }
    }
}

/// The text of INFO.
pub(super) struct Told(String);

impl Told {
    /// Asks for all of it.
    pub(super) async fn ask(wire: &Wire) -> Result<Self, ConnectError> {
        Ok(Self(info(wire, &EVERYTHING).await?))
    }

    /// Returns the product and its version, for people.
    pub(super) fn product(&self) -> String {
        match (self.get("dragonfly_version"), self.get("valkey_version")) {
            (Some(version), _) => {
                format!("Dragonfly {}", version.trim_start_matches("df-").trim_start_matches('v'))
            }
            (None, Some(version)) => format!("Valkey {version}"),
            (None, None) => format!("Redis {}", self.get("redis_version").unwrap_or("of no version")),
        }
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
    }
}

async fn info(wire: &Wire, command: &Cmd) -> Result<String, ConnectError> {
    let failed = |reason: String| ConnectError::Unreachable { address: wire.address.clone(), reason };
    match wire.send(command).await {
        Ok(Value::BulkString(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Ok(Value::VerbatimString { text, .. }) => Ok(text),
        Ok(other) => Err(failed(format!("INFO answered {other:?}"))),
        Err(e) if e.code() == Some("NOAUTH") => Err(ConnectError::Denied(e.to_string())),
        Err(e) => Err(failed(e.to_string())),
    }
}

/// Asks what may be refused, or be unknown: a Dragonfly has no append-only file.
async fn syncs_always(wire: &Wire) -> bool {
    let mut command = Cmd::new();
    command.arg("CONFIG").arg("GET").arg("appendfsync");
    match wire.send(&command).await {
        Ok(Value::Array(pair)) => matches!(pair.get(1), Some(Value::BulkString(value)) if value == b"always"),
        _ => false,
    }
}
