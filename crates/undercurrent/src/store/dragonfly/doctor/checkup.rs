//! What a look at a shared store finds.

use serde::Serialize;

use super::parts::Part;

/// What a look at a shared store found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SharedCheckup {
    /// The address as it was given, without the password.
    pub url: String,
    /// The server that was asked.
    pub address: String,
    /// How it was found.
    pub found_by: String,
    /// Its product and version.
    pub product: String,
    /// How long a request and its answer take.
    pub latency: Latency,
    /// What it may keep in memory.
    pub memory: Memory,
    /// What it writes to its disk.
    pub persistence: Persistence,
    /// Who follows it, or whom it follows.
    pub replication: Replication,
    /// What the user may not do that a node does, each by its name.
    pub denied: Vec<String>,
    /// The namespace; none where there is nothing of it yet.
    pub namespace: Option<SharedNamespace>,
    /// What each part of the namespace takes.
    pub parts: Vec<Part>,
    /// Whether all keys of the server were looked at for that; it ends after a while.
    pub parts_complete: bool,
    /// What all of this means for the promises.
    pub meaning: Vec<Meaning>,
    /// Why a node can not use the server, and the way out; none where it can.
    pub refused: Option<String>,
}

/// How long a request and its answer take, over some tens of them, one after another.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// How many were sent.
    pub round_trips: usize,
    /// What half of them took at most, in microseconds.
    pub p50_us: u64,
    /// What 99 of 100 took at most, in microseconds.
    pub p99_us: u64,
}

/// What a server may keep in memory.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// What it does when memory is full, in its own word.
    pub policy: Option<String>,
    /// How many bytes are in use.
    pub used: u64,
    /// How many it may use; 0 is no limit.
    pub limit: u64,
}

/// What a server writes to its disk.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Persistence {
    /// Whether it has an append-only file.
    pub append_only: bool,
    /// When that is synced, where the user may ask.
    pub append_fsync: Option<String>,
    /// Whether the last snapshot failed.
    pub snapshot_failed: bool,
    /// The strongest durability of an acknowledgement; none where the server can not be used.
    pub strongest: Option<String>,
}

/// Who follows a server, or whom it follows.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replication {
    /// Its role, in its own word.
    pub role: String,
    /// The id of its history.
    pub id: Option<String>,
    /// The primary, where it is a replica.
    pub primary: Option<String>,
    /// Its replicas.
    pub replicas: Vec<Replica>,
}

/// A replica, as its primary sees it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replica {
    /// Where it is.
    pub address: String,
    /// Its state, in the server's word.
    pub state: String,
    /// How many bytes of the history it has not confirmed.
    pub behind: Option<u64>,
    /// How many seconds ago it said something.
    pub lag_s: Option<u64>,
}

/// What the control keys of a namespace say.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SharedNamespace {
    /// What its keys begin with.
    pub keys: String,
    /// How they are laid out.
    pub format: String,
    /// Its incarnation.
    pub incarnation: String,
    /// Its last position.
    pub position: u64,
    /// The version of the rules in force.
    pub rules: Option<String>,
    /// Whether the next connection begins a new incarnation, since positions may have been lost.
    pub begins_anew: bool,
}

/// What something means for the promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Meaning {
    /// What it is about, in one word.
    pub about: &'static str,
    /// What it means.
    pub says: String,
}
