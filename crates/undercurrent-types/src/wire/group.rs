//! Groups as they go over the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{GroupName, Lease, Seq, StreamName};

/// How a group is set up. What is not named gets its default when the group is made, and stays as it is later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupOptions {
    /// The stream whose events its members share; needed to make the group, fixed from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Where it begins: `beginning`, `now` or a cursor; fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Which events wait for which; fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<GroupOrder>,
    /// How long a member may take for an event before it is given to another, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How often an event is given before it becomes a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deliveries: Option<u32>,
    /// How long an event waits after its first failure, in milliseconds; twice as long after each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// The longest such wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff_ms: Option<u64>,
    /// How many events may be out, wait or be held back at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open: Option<u32>,
    /// The stream of the dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<StreamName>,
}

/// Which events of a group wait for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOrder {
    /// None does.
    #[default]
    None,
    /// Those with the same `subject` come one after the other.
    Subject,
}

impl fmt::Display for GroupOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Subject => "subject",
        })
    }
}

/// A text that names no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no order of a group: expected `none` or `subject`")]
pub struct GroupOrderError(String);

impl FromStr for GroupOrder {
    type Err = GroupOrderError;

    fn from_str(text: &str) -> Result<Self, GroupOrderError> {
        match text {
            "none" => Ok(Self::None),
            "subject" => Ok(Self::Subject),
            other => Err(GroupOrderError(other.chars().take(40).collect())),
        }
    }
}

/// A group with its settings, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub group: GroupName,
    /// The stream whose events its members share.
    pub stream: StreamName,
    /// Where it began.
    pub from: String,
    /// Which events wait for which.
    pub order: GroupOrder,
    /// How long a lease is, in milliseconds.
    pub lease_ms: u64,
    /// How often an event is given before it becomes a dead letter.
    pub max_deliveries: u32,
    /// The wait after a first failure, in milliseconds.
    pub backoff_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_backoff_ms: u64,
    /// How many events may be open at once.
    pub max_open: u32,
    /// The stream of the dead letters.
    pub dead_letters: StreamName,
    /// Everything up to this cursor is done.
    pub cursor: String,
    /// How many events of the stream are not done.
    pub lag: u64,
    /// Of these, how many members have.
    pub out: u64,
    /// How many wait to be given again.
    pub waiting: u64,
    /// How many are held back by others of their subject, or were given back.
    pub held: u64,
    /// How many have become dead letters, ever.
    pub dead: u64,
    /// How many were gone before they were done, ever, as far as they can be counted.
    pub lost: u64,
    /// The last time that events were gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<GroupGap>,
}

/// Events that a group did not get done before the stream let them go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupGap {
    /// `retention`, or `epoch` where the stream is another now.
    pub reason: String,
    /// The last event before the gap.
    pub after: String,
    /// Where the group goes on.
    pub resumes: String,
    /// How many events are missing, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

/// What a member is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fetched {
    /// The events, each with its lease.
    pub deliveries: Vec<GroupDelivery>,
    /// What the group has missed, told to one member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GroupGap>,
    /// Whether there was nothing because as many events are open as may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
}

/// An event with its lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupDelivery {
    /// What its end is told with.
    pub lease: Lease,
    /// Its place in its stream.
    pub seq: Seq,
    /// The generation of the lease.
    pub generation: u64,
    /// The how-manieth delivery this is, from 1.
    pub deliveries: u32,
    /// For how long the lease counts, in milliseconds.
    pub lease_ms: u64,
    /// The event in CloudEvents JSON.
    pub event: Box<RawValue>,
}

/// What a member says of leases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// Which ones.
    pub leases: Vec<Lease>,
    /// With `nack`: when the event may be given again, in milliseconds; without it the group's back-off says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// With `extend`: for how long from now, in milliseconds; without it as long as the group's lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// With `nack` and `term`: why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many leases were settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// All that were named.
    pub done: usize,
}

/// A group that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDeleted {
    /// Its name.
    pub group: GroupName,
}
