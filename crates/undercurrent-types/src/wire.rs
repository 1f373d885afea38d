//! The JSON shapes of the HTTP interface, shared by server and clients.

mod group;
mod notice;

use serde::{Deserialize, Serialize};

use crate::{Durability, Key, Level, Name, Seq, StreamName, Token, Version};

pub use group::{
    Fetched, GroupDeleted, GroupDelivery, GroupGap, GroupOptions, GroupOrder, GroupOrderError, GroupStatus,
    Leases, Settled,
};
pub use notice::{Change, ChangeState, Notice};

/// The acknowledgement of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The stream that the event is in.
    pub stream: StreamName,
    /// The id of the event.
    pub id: String,
    /// Its place in the stream.
    pub seq: u64,
    /// Where to go on reading after it.
    pub cursor: String,
    /// A read given this sees at least what the event changed.
    pub token: Token,
    /// What the acknowledgement promises.
    pub durability: Durability,
    /// Whether the event had been published before, with this id.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// What became of an event, asked by its source and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In one word.
    pub state: OutcomeState,
    /// What its publisher was answered, or would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<Ack>,
    /// How far back ids are known.
    pub window: IdWindow,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// It is in its stream, as safe as that promises.
    Published,
    /// An append of it waits for room: ask again.
    UnderWay,
    /// It was not appended within the window. A request that is still on its way may bring it.
    NotKnown,
}

/// How far back ids are known: whichever ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdWindow {
    /// The last so many.
    pub ids: u64,
    /// Those of the last so many seconds.
    pub seconds: u64,
}

/// The answer to an ephemeral event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// How many follow the stream and its ephemeral events now.
    pub listeners: usize,
}

/// The acknowledgement of an invalidation or a `put`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// A read given this is at least as fresh.
    pub token: Token,
    /// The version of the value, where one was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// Names to invalidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invalidate {
    /// Keys and tags; all take one position.
    pub names: Vec<Name>,
}

/// A piece of context with the reasons to trust it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The key in its canonical form.
    pub key: Key,
    /// The value, where it is UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// Whether what the key names is there at all.
    pub exists: bool,
    /// The hash of the value.
    pub version: Version,
    /// How long ago the value was loaded or last found unchanged, in milliseconds.
    pub age_ms: u64,
    /// The level that the read was served at.
    pub level: Level,
    /// Why the value may be trusted: one word for programs.
    pub why: String,
    /// The same for people.
    pub because: String,
    /// The position that the answer is good for.
    pub token: Token,
}

/// Why the last answer about a key was allowed, and what made the one before stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The key in its canonical form.
    pub key: Key,
    /// The level that the key is read at when none is named.
    pub default_level: Level,
    /// What produces the value.
    pub loader: String,
    /// What is in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<ExplainedEntry>,
    /// The last answer that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ExplainedAnswer>,
    /// The last invalidations of any name that the value depends on, latest first.
    pub invalidations: Vec<ExplainedInvalidation>,
}

/// What is in memory under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedEntry {
    /// The hash of the value.
    pub version: Version,
    /// Whether what the key names is there at all.
    pub exists: bool,
    /// The length of the value in bytes.
    pub bytes: usize,
    /// How long ago it was loaded or last found unchanged, in milliseconds.
    pub age_ms: u64,
    /// How long the load took, in microseconds.
    pub load_us: u64,
    /// The position that it is known to be good for.
    pub as_of: u64,
    /// Whether it would be served at `fresh` now.
    pub valid: bool,
    /// What the source can be asked cheaply, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// The version of the loader that made it; 0 for what was put.
    pub loader_version: u32,
    /// The position from before the load.
    pub loaded_at: u64,
    /// For how long it may still be served, in milliseconds, where it has a deadline; 0 when that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// What its loader read, and what that was made from in turn.
    pub inputs: Vec<ExplainedInput>,
    /// All names that it depends on, each with the position of its last invalidation and the mark of doubt.
    pub closure: Vec<ExplainedName>,
}

/// A key that a value was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedInput {
    /// The key.
    pub key: Key,
    /// The version that was read.
    pub version: Version,
    /// Whether memory has this version and would serve it at `fresh` now.
    pub valid: bool,
    /// What it was made from; empty where it is shown already, is not in memory at this version, or the whole has 1000
    /// inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<ExplainedInput>,
}

/// What became of a key since a version of it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// In one word.
    pub state: ChangedState,
    /// A unified diff, where the value is another, both are text and the old one is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What it is now; without the value where that is unchanged.
    pub context: Context,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedState {
    /// It is the same.
    Unchanged,
    /// It is another.
    Changed,
    /// What the key names is not there any more.
    Gone,
}

/// A name in a closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedName {
    /// The name.
    pub name: Name,
    /// The position of its last invalidation, where one is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Whether nobody can vouch for it now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_doubt: bool,
}

/// The last answer that was given about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedAnswer {
    /// The hash of the value.
    pub version: Version,
    /// The level that it was served at.
    pub level: Level,
    /// Why it was allowed: one word for programs.
    pub why: String,
    /// The same for people.
    pub because: String,
}

/// One invalidation with its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedInvalidation {
    /// The name that was invalidated.
    pub name: Name,
    /// Its place in the one order.
    pub position: u64,
    /// What caused it, for people.
    pub cause: String,
    /// The stream of the event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// The `sequence` of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// The id of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The type of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}

/// What a subscriber can not be given, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// `retention`, `epoch` or `deleted`.
    pub reason: String,
    /// The last event that the reader has, as it said.
    pub after: String,
    /// Where the stream goes on.
    pub resumes: String,
}

/// The end of a stream's history: what follows is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtUp {
    /// The last event there was, or the cursor that the reader came with.
    pub cursor: String,
}

/// What the daemon is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The namespace that this is about.
    pub namespace: String,
    /// Where the data lies.
    pub data: String,
    /// The last position of the one order.
    pub token: Token,
    /// `writable`, or the reason why no events are accepted.
    pub store: String,
    /// The version of the rule set: the hash of its rules.
    pub rules: String,
    /// How many streams there are.
    pub streams: u64,
    /// How many bytes of the log are in use.
    pub log_bytes: u64,
    /// How many entries are in memory, and the bytes of their values.
    pub entries: u64,
    /// The bytes of the values in memory.
    pub entry_bytes: u64,
    /// Every source with its health.
    pub sources: Vec<SourceStatus>,
}

/// What was done about a secret that was found too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// How often it was in the log.
    pub times: u64,
    /// How many commits had it.
    pub commits: u64,
    /// How many files of the log were written anew.
    pub segments: u64,
    /// How many keys had it in a state, and are stale now.
    pub states: u64,
    /// How many values in memory had it, and were let go.
    pub entries: u64,
    /// The position of the event that says so.
    pub token: Token,
}

/// Which names an event would make stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesTested {
    /// The version of the rule set: the hash of its rules.
    pub rules: String,
    /// Each name with the rule that says so, in the order of the rules.
    pub stale: Vec<RuleMatch>,
}

/// One name that an event would make stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMatch {
    /// The name.
    pub name: Name,
    /// The rule.
    pub rule: String,
}

/// The health of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The name of the source, such as `local/project`.
    pub name: String,
    /// What it watches.
    pub target: String,
    /// `starting`, `live`, `degraded` or `down`.
    pub health: String,
    /// Why it is not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// How many directories are watched, where the source watches directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directories: Option<u64>,
}

/// One stream in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The name of the stream.
    pub stream: StreamName,
    /// The last event that can be read.
    pub cursor: String,
    /// What an acknowledgement of this stream promises.
    pub durability: Durability,
    /// The seq of the oldest event kept; one behind the last where there is none.
    pub oldest: Seq,
    /// How old an event may become, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// How many bytes of events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// How many events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_count: Option<u64>,
}

/// A stream that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its name.
    pub stream: StreamName,
}

/// Which daemon answers, for those who have to know that it is the one they look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Random, another one at each start.
    pub instance: String,
    /// The version of the program.
    pub version: String,
    /// Whether the store is recovered, so that requests are answered.
    pub ready: bool,
}

/// The names of the headers that are not HTTP's own.
pub mod header {
    /// In a request: the namespace that it is meant for.
    pub const NAMESPACE: &str = "undercurrent-namespace";
    /// In a read: the token that the answer must not be older than.
    pub const AFTER: &str = "undercurrent-after";
    /// In a read: the session that is given the value, so that it can be told when that changes.
    pub const SESSION: &str = "undercurrent-session";
    /// In a `put`: the permission to fill a key.
    pub const TICKET: &str = "undercurrent-ticket";
    /// With a value: its version, which is also the `ETag`.
    pub const VERSION: &str = "undercurrent-version";
    /// With a value: the level that the read was served at.
    pub const LEVEL: &str = "undercurrent-level";
    /// With a value: how long ago it was loaded or last found unchanged, in milliseconds.
    pub const AGE_MS: &str = "undercurrent-age-ms";
    /// With a value: why it may be trusted, in one word.
    pub const WHY: &str = "undercurrent-why";
    /// With a value: the same for people, percent-encoded where it is not printable ASCII.
    pub const BECAUSE: &str = "undercurrent-because";
    /// With a value: the position that it is good for.
    pub const TOKEN: &str = "undercurrent-token";
    /// With a value: `true`; with a 404 that says that what the key names is not there: `false`.
    pub const EXISTS: &str = "undercurrent-exists";
    /// With a page of events: the cursor from which the next page goes on.
    pub const NEXT: &str = "undercurrent-next";
    /// With a page of events: whether it ends at the last event, `true` or `false`.
    pub const AT_TAIL: &str = "undercurrent-at-tail";
}

fn is_false(value: &bool) -> bool {
    !*value
}
