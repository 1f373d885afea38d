//! Values as a store keeps them for all of its nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Key, Name, Position, Token, Version};

use super::Moment;

/// A value with all that decides whether it may be served, as another node needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEntry {
    /// The value; `None` says that what the key names is not there.
    pub value: Option<Bytes>,
    /// The hash of the value.
    pub version: Version,
    /// The version of the loader that made it; 0 for what was put.
    pub loader_version: u32,
    /// The position from before the load, or from before the check that last found it unchanged.
    pub h: Position,
    /// The key, and the tags and scopes that its own loader named; sorted.
    pub own: Box<[Name]>,
    /// All names that the value depends on; sorted.
    pub closure: Box<[Name]>,
    /// The keys among them that were read, each with the version that was read; sorted.
    pub keys: Box<[(Key, Version)]>,
    /// What the loader itself read, with the versions, in its order.
    pub inputs: Box<[(Key, Version)]>,
    /// What the source can be asked cheaply.
    pub validator: Option<Box<[u8]>>,
    /// Until when it may be served: the earliest of its own and its inputs' deadlines.
    pub deadline: Option<Moment>,
    /// Its own part of that.
    pub own_deadline: Option<Moment>,
    /// How long its own part lasts from each answer of the source.
    pub max_age: Option<Duration>,
    /// When the load, or the check that last found it unchanged, began.
    pub since: Moment,
    /// How long the load took.
    pub took: Duration,
}

/// The answer to a read of what a store keeps.
#[derive(Clone, Debug)]
pub struct Read {
    /// The barrier of the read: a load that begins now has this as its h.
    pub at: Token,
    /// What this process had applied of the order when it asked: who waits for a load joins it, and what is found valid
    /// is known to be good, up to here only. Not above `at`.
    pub known: Position,
    /// What stands there.
    pub kept: Kept,
    /// Who fills it, where nothing valid stands there.
    pub lease: Lease,
}

/// What a store keeps under a key.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Nothing, or nothing that could be of use.
    Nothing,
    /// An entry that is valid at the position of the read.
    Valid(Arc<KeptEntry>),
    /// One that is not: its source or its inputs may say that it still stands.
    Invalid {
        /// The entry.
        entry: Arc<KeptEntry>,
        /// Whether a name of its own was invalidated after it was found good, or is in doubt, or its time is over.
        own_moved: bool,
    },
}

/// Who fills a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The caller, or nobody asked.
    Held,
    /// Another node does, for so long at most.
    Elsewhere(Duration),
}

/// A value that asks to be found good.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The position from before it was read.
    pub h: Token,
    /// All names that it depends on.
    pub closure: &'a [Name],
    /// Its key, where it differs from one in memory that was still valid.
    pub announce: Option<&'a Key>,
    /// What a store that keeps entries is to keep.
    pub keep: Option<Keep<'a>>,
}

/// What is to be kept of a commit.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// Its key.
    pub key: &'a Key,
    /// The value.
    pub entry: &'a KeptEntry,
    /// What it may replace.
    pub over: Over,
}

/// What a value may replace in what a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Whatever is there: the value was loaded or put.
    Anything,
    /// An entry of the same version, inputs and loader version only: the value was found unchanged.
    Same,
}

impl<'a> Commit<'a> {
    /// Returns a commit of which nothing is kept.
    pub fn of(h: Token, closure: &'a [Name]) -> Self {
        Self { h, closure, announce: None, keep: None }
    }

    /// Says that a change was found.
    #[must_use]
    pub fn announcing(self, key: Option<&'a Key>) -> Self {
        Self { announce: key, ..self }
    }
}
