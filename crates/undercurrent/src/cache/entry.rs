//! A cached value and all that decides whether it may be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use undercurrent_types::{Incarnation, Key, Level, Name, Position, Token, Version};

use super::as_of::AsOf;
use super::loader::Validator;
use crate::store::{KeptEntry, Moment, Slot};

/// The memory of a cache: bounded by weight; a hit takes a shared lock of one shard.
pub(super) type Entries = quick_cache::sync::Cache<Key, Arc<Entry>, ByWeight>;

/// The loader version of what is put.
pub(super) const PUT: u32 = 0;

/// Weighs an entry by the bytes it keeps.
#[derive(Clone, Debug)]
pub(super) struct ByWeight;

impl quick_cache::Weighter<Key, Arc<Entry>> for ByWeight {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        const STRUCTURE: usize = 512;
        let names: usize = entry.closure.names.iter().map(|name| name.as_str().len() + 24).sum();
        let value = entry.value.as_ref().map_or(0, Bytes::len);
        (STRUCTURE + key.as_str().len() + names + value) as u64
    }
}

/// Weighs a value by its length.
#[derive(Clone, Debug)]
pub(super) struct ByLength;

impl quick_cache::Weighter<Version, Bytes> for ByLength {
    fn weight(&self, _version: &Version, value: &Bytes) -> u64 {
        value.len() as u64 + 64
    }
}

/// A cached value with its version, closure, inputs, validator and the position it is good for.
///
/// What a hit looks at stands first and in this order, so that it lies in the cache line of the reference count.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    pub(super) as_of: AsOf,
    /// How it was last served; 0 where it was not.
    pub(super) last_answer: AtomicU64,
    /// The incarnation that the positions belong to.
    pub inc: Incarnation,
    /// Until when it may be served: the earliest of its own and its inputs' deadlines.
    pub deadline: Option<Moment>,
    /// The loader's version; an entry of another one is not used.
    pub loader_version: u32,
    /// The level of reads that name none.
    pub default_level: Level,
    /// The key.
    pub key: Key,
    /// The value; `None` says that what the key names is not there.
    pub value: Option<Bytes>,
    /// The hash of the value.
    pub version: Version,
    /// The position from before the load.
    pub h: Position,
    /// The key, and the tags and scopes that its own loader named.
    pub own: Box<[Name]>,
    /// All names that the value depends on.
    pub closure: Closure,
    /// What the loader read, with the versions.
    pub inputs: Box<[(Key, Version)]>,
    /// What the source can be asked cheaply.
    pub validator: Option<Validator>,
    /// Its own part of that.
    pub own_deadline: Option<Moment>,
    /// How long its own part lasts from each answer of the source.
    pub max_age: Option<Duration>,
    /// When the load, or the check that last found it unchanged, began.
    pub since: Moment,
    /// How long the load took.
    pub took: Duration,
}

/// All names that a value depends on, directly or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The names, sorted.
    pub names: Box<[Name]>,
    /// The keys among them that were read, each with the version that was read; sorted.
    pub keys: Box<[(Key, Version)]>,
    slots: Box<[Slot]>,
}

impl Closure {
    /// Makes the closure of these names and keys.
    pub(super) fn new(mut names: Vec<Name>, mut keys: Vec<(Key, Version)>) -> Self {
        names.sort_unstable();
        names.dedup();
        keys.sort_unstable();
        keys.dedup();
        let slots = names.iter().map(Slot::of).collect();
        Self { names: names.into(), keys: keys.into(), slots }
    }

    /// Returns the floors to look at.
    #[inline]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns a key that occurs in two versions: no value may be made from both.
    /// In the model: `dependencies::entry::join_versions`.
    pub(super) fn mixture(&self) -> Option<&Key> {
        self.keys.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| &pair[0].0)
    }
}

impl Entry {
    /// Makes the entry of what a store keeps, good for a position.
    pub(super) fn of_kept(key: &Key, kept: &KeptEntry, as_of: Token, default_level: Level) -> Self {
        Self {
            as_of: AsOf::new(as_of.position),
            last_answer: AtomicU64::new(0),
            inc: as_of.inc,
            deadline: kept.deadline,
            loader_version: kept.loader_version,
            default_level,
            key: key.clone(),
            value: kept.value.clone(),
            version: kept.version,
            h: kept.h,
            own: kept.own.clone(),
            closure: Closure::new(kept.closure.to_vec(), kept.keys.to_vec()),
            inputs: kept.inputs.clone(),
            validator: kept.validator.clone().map(Validator),
            own_deadline: kept.own_deadline,
            max_age: kept.max_age,
            since: kept.since,
            took: kept.took,
        }
    }

    /// Returns what a store keeps of it.
    pub(super) fn to_kept(&self) -> KeptEntry {
        KeptEntry {
            value: self.value.clone(),
            version: self.version,
            loader_version: self.loader_version,
            h: self.h,
            own: self.own.clone(),
            closure: self.closure.names.clone(),
            keys: self.closure.keys.clone(),
            inputs: self.inputs.clone(),
            validator: self.validator.as_ref().map(|validator| validator.0.clone()),
            deadline: self.deadline,
            own_deadline: self.own_deadline,
            max_age: self.max_age,
            since: self.since,
            took: self.took,
        }
    }

    /// Says for which position the value is good; until then for none.
    pub(super) fn good_for(self, position: Position) -> Self {
        Self { as_of: AsOf::new(position), ..self }
    }

    /// Returns the position that the value is known to be good for; 0 while a name that it depends on is in doubt.
    pub fn as_of(&self) -> Position {
        self.as_of.get()
    }

    /// Says whether its own loader read a source, besides other keys: it has a validator, named something that can
    /// move, or had nothing else to read.
    pub(super) fn reads_source(&self) -> bool {
        self.validator.is_some() || self.own.len() > 1 || self.inputs.is_empty()
    }

    /// Says whether it was put, and not loaded.
    #[inline]
    pub(super) fn is_put(&self) -> bool {
        self.loader_version == PUT
    }

    /// Says whether the time to serve it is over. Reads the clock only where there is a deadline.
    #[inline]
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Moment::now())
    }

    /// Says whether its own part of the deadline has passed.
    pub(super) fn is_own_late(&self) -> bool {
        self.own_deadline.is_some_and(|deadline| deadline <= Moment::now())
    }

    /// Remembers how it was last served, for `explain`; writes only when that differs from the time before, so that
    /// hits on one key do not fight for a cache line.
    #[inline]
    pub(super) fn note_answer(&self, code: u64) {
        if self.last_answer.load(Ordering::Relaxed) != code {
            self.last_answer.store(code, Ordering::Relaxed);
        }
    }

    pub(super) fn noted_answer(&self) -> u64 {
        self.last_answer.load(Ordering::Relaxed)
    }
}
