//! A look at the server of a namespace: what it is, what it keeps, and what that means for the promises.
//!
//! It writes nothing and claims nothing. What a connection would be refused for is asked in the same way as there.

mod access;
mod checkup;
mod meaning;
mod parts;

use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use self::access::Access;
use self::parts::Parts;
use super::claim::{FORMAT, format_error};
use super::connect::{ConnectError, Connector, Wire};
use super::keys::Keys;
use super::options::SharedStoreOptions;
use super::server::{Server, Told};
use super::url::Place;

pub use self::checkup::{
    Latency, Meaning, Memory, Persistence, Replica, Replication, SharedCheckup, SharedNamespace,
};
pub use self::parts::Part;

/// How many round trips the latency is taken from.
const ROUND_TRIPS: usize = 50;

/// Looks at the server of a namespace. Changes nothing there.
///
/// # Errors
///
/// Fails when the server can not be reached or does not let the user in. What else a node is refused for is in the
/// answer.
pub async fn examine(options: SharedStoreOptions) -> Result<SharedCheckup, ConnectError> {
    let connector = Connector::new(options.clone())?;
    let keys = Keys::new(&options.prefix, &options.namespace, &options.workspace);
    let wire = connector.connect(Some(options.response_timeout)).await?;
    let told = Told::ask(&wire).await?;
    let asked = Server::ask(&wire).await;
    let namespace = namespace(&wire, &keys, told.get("master_replid")).await;
    let Access { denied, unseen } = access::look(&connector, &keys).await?;
    let Parts { parts, complete } = parts::look(&wire, &keys).await;
    let refused = asked.as_ref().err().or(namespace.as_ref().err()).map(ToString::to_string);
    let mut checkup = SharedCheckup {
        url: options.url.to_string(),
        address: wire.address.clone(),
        found_by: found_by(&options.url.place),
        product: told.product(),
        latency: latency(&wire, &keys).await,
        memory: Memory {
            policy: told.get("maxmemory_policy").map(str::to_owned),
            used: number(&told, "used_memory"),
            limit: number(&told, "maxmemory"),
        },
        persistence: Persistence {
            append_only: told.get("aof_enabled") == Some("1"),
            append_fsync: append_fsync(&wire).await,
            snapshot_failed: told.get("rdb_last_bgsave_status") == Some("err"),
            strongest: asked.ok().map(|server| server.strongest().to_string()),
        },
        replication: replication(&told),
        denied,
        namespace: namespace.ok().flatten(),
        parts,
        parts_complete: complete,
        meaning: Vec::new(),
        refused,
    };
    if checkup.refused.is_none() && !checkup.denied.is_empty() {
        checkup.refused = Some(access::refusal(&checkup.denied, &keys));
    }
    checkup.meaning = meaning::of(&checkup, &unseen);
    Ok(checkup)
}

fn found_by(place: &Place) -> String {
    match place {
        Place::Server { tls: true, .. } => "its address, with TLS".to_owned(),
        Place::Server { .. } => "its address".to_owned(),
        Place::Unix(_) => "a socket of this machine".to_owned(),
        Place::Sentinel { sentinels, primary, .. } => {
            format!("{} sentinels, as the primary `{primary}`", sentinels.len())
        }
        Place::Cluster { nodes, .. } => {
            format!("{} nodes of a cluster, as the owner of the namespace's slot", nodes.len())
        }
    }
}

async fn latency(wire: &Wire, keys: &Keys) -> Latency {
    let command = command(&["HGET", &keys.order[0], "inc"]);
    let mut took = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        // A refusal takes the same way.
        let _ = wire.send(&command).await;
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    let us = |at: usize| took.get(at).map_or(0, Duration::as_micros) as u64;
    Latency { round_trips: ROUND_TRIPS, p50_us: us(ROUND_TRIPS / 2), p99_us: us(ROUND_TRIPS - 1) }
}

fn replication(told: &Told) -> Replication {
    let offset = number(told, "master_repl_offset");
    let replica = |line: &str| {
        let field = |name: &str| line.split(',').find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        Some(Replica {
            address: format!("{}:{}", field("ip")?, field("port")?),
            state: field("state").unwrap_or_default().to_owned(),
            behind: field("offset").and_then(|at| Some(offset.saturating_sub(at.parse().ok()?))),
            lag_s: field("lag").and_then(|lag| lag.parse().ok()),
        })
    };
    let replicas = (0..number(told, "connected_slaves"))
        .filter_map(|n| replica(told.get(&format!("slave{n}"))?))
        .collect();
    let primary = told.get("master_host").zip(told.get("master_port"));
    Replication {
        role: told.get("role").unwrap_or_default().to_owned(),
        id: told.get("master_replid").map(str::to_owned),
        primary: primary.map(|(host, port)| format!("{host}:{port}")),
        replicas,
    }
}

/// Reads what the control keys say; none where there are none. Fails as a claim would.
async fn namespace(
    wire: &Wire,
    keys: &Keys,
    replication: Option<&str>,
) -> Result<Option<SharedNamespace>, ConnectError> {
    let control = match wire.send(&command(&["HGETALL", &keys.order[0]])).await {
        Err(e) if e.code() == Some("WRONGTYPE") => return Err(format_error(keys, "of another program")),
        // What the user may not do is told of elsewhere.
        answer => texts(answer.unwrap_or(Value::Nil)),
    };
    if control.is_empty() {
        return Ok(None);
    }
    let field = |name: &str| {
        let at = control.chunks_exact(2).find(|pair| pair[0] == name);
        at.map(|pair| pair[1].clone()).unwrap_or_default()
    };
    if field("format") != FORMAT {
        return Err(format_error(keys, &field("format")));
    }
    let repeated = texts(ask(wire, &["HGET", &keys.order[1], "inc"]).await);
    let rules = texts(ask(wire, &["HGET", &keys.table("rules"), "current"]).await);
    Ok(Some(SharedNamespace {
        keys: keys.of("*"),
        format: field("format"),
        incarnation: field("inc"),
        position: field("pos").parse().unwrap_or(0),
        rules: rules.first().and_then(|row| rules_version(row)),
        begins_anew: repeated != [field("inc")] || Some(&*field("own")) != replication,
    }))
}

/// Reads the row of the rules in force: its revision, and what it says.
fn rules_version(row: &str) -> Option<String> {
    let (_, told) = row.split_once(' ')?;
    let told: serde_json::Value = serde_json::from_str(told).ok()?;
    Some(told["version"].as_str()?.to_owned())
}

async fn append_fsync(wire: &Wire) -> Option<String> {
    texts(ask(wire, &["CONFIG", "GET", "appendfsync"]).await).into_iter().nth(1)
}

/// Asks what may be refused, or be unknown.
async fn ask(wire: &Wire, words: &[&str]) -> Value {
    wire.send(&command(words)).await.unwrap_or(Value::Nil)
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command
}

/// Returns the texts of an answer, however they are wrapped.
fn texts(value: Value) -> Vec<String> {
    match value {
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(&bytes).into_owned()],
        Value::SimpleString(text) => vec![text],
        Value::Array(values) => values.into_iter().flat_map(texts).collect(),
        Value::Map(pairs) => pairs.into_iter().flat_map(|(a, b)| [texts(a), texts(b)].concat()).collect(),
        _ => Vec::new(),
    }
}

fn number(told: &Told, field: &str) -> u64 {
    told.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
}
