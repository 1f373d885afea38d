//! What each agent session was given, so that it can be told what has changed since.
//!
//! Owns the read sets: for each session the keys that were read in it, each with the version given. Promises that a
//! notice names every such key that is another now, or says why it can not be sure. The sets are flushed to the table
//! `read_set` once a second and at the end.

mod changes;
mod keep;
mod set;

use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use undercurrent_types::{Key, SessionName, Version};

use self::keep::Keeper;
use self::set::Set;
use super::error::ContextError;
use super::read::Get;
use crate::cache::Answer;
use crate::store::Store;

/// How many sets there are at most. The one that was not used for longest makes room.
const SETS: usize = 1024;
/// How many bytes the keys of all sets may take, for the same.
const BYTES: usize = 64 << 20;
/// How long a set is kept that nobody uses, in milliseconds.
const UNUSED_MS: u64 = 24 * 60 * 60 * 1000;

/// The read sets of a namespace.
pub(super) struct ReadSets {
    store: Arc<dyn Store>,
    /// A mutex: a read in a session holds it for the time of one look-up.
    sets: Mutex<Sets>,
    /// What the ids of this node's rows begin with; set when keeping begins.
    node: OnceLock<String>,
    /// The task that flushes, where one was begun; taken when it is ended.
    keeper: Mutex<Option<Keeper>>,
}

/// Bounded by [`SETS`], [`BYTES`] and the bounds of each set.
#[derive(Default)]
struct Sets {
    by_name: HashMap<SessionName, Set>,
    /// The bytes of all keys.
    bytes: usize,
    /// Counts reads, so that it is known what was used last.
    clock: u64,
    /// Sets that are to be deleted from the table: no more than left since the last flush.
    left: Vec<SessionName>,
}

impl ReadSets {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, sets: Mutex::default(), node: OnceLock::new(), keeper: Mutex::default() }
    }

    /// Notes that a session was given a version of a key.
    fn note(&self, session: &SessionName, key: &Key, version: Version) {
        let mut sets = self.sets.lock();
        let now_ms = now_ms();
        let clock = sets.tick();
        if !sets.by_name.contains_key(session) {
            sets.by_name.insert(session.clone(), Set::default());
        }
        let set = sets.by_name.get_mut(session).expect("it was put there just now");
        let before = set.bytes();
        set.note(key, version, clock, now_ms);
        let after = set.bytes();
        sets.bytes = sets.bytes + after - before;
        while (sets.by_name.len() > SETS || sets.bytes > BYTES) && sets.by_name.len() > 1 {
            sets.leave_least_used();
        }
    }
}

impl Sets {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn leave_least_used(&mut self) {
        let least = self.by_name.iter().min_by_key(|(_, set)| set.used()).map(|(name, _)| name.clone());
        if let Some(name) = least {
            self.leave(&name);
        }
    }

    fn leave(&mut self, name: &SessionName) {
        if let Some(set) = self.by_name.remove(name) {
            self.bytes -= set.bytes();
            self.left.push(name.clone());
        }
    }
}

/// A read in a session: what it answers is remembered, so that the session can be told when it changes.
#[must_use = "a read begins when it is awaited"]
pub struct SessionGet<'a> {
    get: Get<'a>,
    session: SessionName,
}

impl<'a> Get<'a> {
    /// Makes it a read of a session. Last of all: say first how fresh it must be.
    pub fn session(self, session: SessionName) -> SessionGet<'a> {
        SessionGet { get: self, session }
    }
}

impl<'a> IntoFuture for SessionGet<'a> {
    type Output = Result<Answer, ContextError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { get, session } = self;
        let events = get.stream();
        Box::pin(async move {
            let answer = get.await?;
            events.0.read_sets.note(&session, answer.key(), answer.version());
            Ok(answer)
        })
    }
}

/// Returns the wall clock in milliseconds: it decides only what is unused for long.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
