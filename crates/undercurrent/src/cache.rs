//! Context in memory: read, flight, fill.
//!
//! Owns the entries, and the traits of what fills them and of what a `synced` read asks. Promises that no read is
//! answered by a value whose load began before an invalidation the read must see. Never knows where a value comes
//! from or which events exist.
//!
//! One predicate decides everything: an entry is valid at position p if its incarnation is the current one, its
//! deadline has not passed, and no name of its closure was invalidated after `as_of` or is in doubt. A valid entry's
//! `as_of` may be raised to p.

mod answer;
mod as_of;
mod elsewhere;
mod entry;
mod fill;
mod flight;
mod inputs;
mod kept;
mod loader;
mod pace;
mod put;
mod read;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Semaphore;
use undercurrent_types::{Key, Level, Name, Version};

use crate::store::{Secret, Store};

pub use crate::store::Moment;
pub use answer::{Answer, Why};
pub use entry::Entry;
pub use inputs::Inputs;
pub use loader::{Barrier, BarrierError, Check, LoadError, Loaded, Loader, Validator};
pub use put::{PutError, PutOptions};
pub use read::{ReadError, ReadOptions};

use elsewhere::Elsewhere;
use entry::{ByLength, ByWeight, Entries};
use flight::Flights;
use pace::Failing;

/// The bounds of a cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// The bytes that entries may take together; what was not read for long makes room.
    pub weight: u64,
    /// How long a load may take.
    pub load_time: Duration,
    /// What a `fresh` read does with what nobody vouches for.
    pub doubt: Doubt,
}

/// What a `fresh` read does with a key of which nobody can say whether it has changed: it never guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doubt {
    /// It asks the source, each time.
    #[default]
    Load,
    /// It fails, as unavailable: for those whose sources can not bear to be asked by every read.
    Refuse,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { weight: 256 << 20, load_time: Duration::from_secs(60), doubt: Doubt::default() }
    }
}

/// The entries of one namespace in the memory of this process.
///
/// Cloning shares it.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    options: CacheOptions,
    entries: Entries,
    /// Values that were replaced, by version, for as long as there is room: what a diff begins with.
    replaced: quick_cache::sync::Cache<Version, Bytes, ByLength>,
    flights: Flights,
    /// Counts loads as they begin, so that a read can tell which began after it.
    begun: AtomicU64,
    /// Written while the host sets up, read at every miss: a lock that readers share.
    loaders: RwLock<HashMap<String, Arc<dyn Loader>>>,
    /// The places of each kind: how many of its loads run at once. Written and read as the loaders are.
    places: RwLock<HashMap<String, Arc<Semaphore>>>,
    /// The keys whose last loads failed.
    failing: quick_cache::sync::Cache<Key, Arc<Failing>>,
    barriers: RwLock<HashMap<Name, Arc<dyn Barrier>>>,
    /// Rung after each put, for whoever waits for one.
    was_put: tokio::sync::Notify,
    /// Held from looking at a standing entry until its successor stands; one of them per group of keys, since fills of
    /// different keys need not wait for each other. Asynchronous, since a commit may be a round trip.
    inserting: Box<[tokio::sync::Mutex<()>]>,
}

impl Cache {
    /// Makes an empty cache over a store.
    pub fn new(store: Arc<dyn Store>, options: CacheOptions) -> Self {
        Self(Arc::new(Shared {
            store,
            options,
            entries: Entries::with_weighter(16_384, options.weight, ByWeight),
            replaced: quick_cache::sync::Cache::with_weighter(4096, options.weight / 8, ByLength),
            flights: Flights::default(),
            begun: AtomicU64::new(0),
            loaders: RwLock::default(),
            places: RwLock::default(),
            failing: quick_cache::sync::Cache::new(pace::FAILING),
            barriers: RwLock::default(),
            was_put: tokio::sync::Notify::new(),
            inserting: (0..64).map(|_| tokio::sync::Mutex::default()).collect(),
        }))
    }

    /// Registers what loads a kind of key; the last one registered for a kind stands.
    pub fn register(&self, kind: &str, loader: Arc<dyn Loader>) {
        let places = Arc::new(Semaphore::new(loader.at_once().max(1)));
        self.0.places.write().insert(kind.to_owned(), places);
        self.0.loaders.write().insert(kind.to_owned(), loader);
    }

    /// Registers whom a `synced` read asks about a scope.
    pub fn register_barrier(&self, barrier: Arc<dyn Barrier>) {
        self.0.barriers.write().insert(barrier.scope(), barrier);
    }

    /// Returns the level of a read of this key that names none.
    pub fn default_level(&self, key: &Key) -> Level {
        self.level_of_kind(key)
    }

    /// Returns what is in memory under a key, valid or not.
    pub fn peek(&self, key: &Key) -> Option<Arc<Entry>> {
        self.0.entries.peek(key)
    }

    /// Returns a value that was replaced not long ago.
    pub fn replaced(&self, version: &Version) -> Option<Bytes> {
        self.0.replaced.get(version)
    }

    /// Puts an entry in the place of whatever stands there. Under the lock of [`Cache::inserting`].
    /// In the model: `memory::flight::land`.
    fn insert(&self, entry: Arc<Entry>) {
        if let Some(old) = self.0.entries.peek(&entry.key)
            && old.version != entry.version
            && let Some(value) = &old.value
        {
            self.0.replaced.insert(old.version, value.clone());
        }
        self.0.entries.insert(entry.key.clone(), entry);
    }

    /// Lets go every value that has a secret, and returns how many.
    pub(crate) fn scrub(&self, secret: &Secret) -> u64 {
        let count = AtomicU64::new(0);
        self.0.entries.retain(|_, entry| {
            let has_it = entry.value.as_ref().is_some_and(|value| secret.is_in(value));
            count.fetch_add(u64::from(has_it), Ordering::Relaxed);
            !has_it
        });
        self.0.replaced.retain(|_, value| !secret.is_in(value));
        count.into_inner()
    }

    /// Says whether an entry would be served at `fresh` now, without asking anybody.
    ///
    /// A node may know that a name was moved before it knows everything up to that position: the floors are raised first.
    pub fn is_valid(&self, entry: &Entry) -> bool {
        let horizon = self.0.store.horizon();
        let moved = entry.closure.slots().iter().map(|slot| horizon.floor(*slot)).max();
        let known = moved.map_or(horizon.applied(), |moved| moved.max(horizon.applied()));
        self.still_good(entry, known).is_some()
    }

    /// Returns how many entries there are, and the bytes they take.
    pub fn size(&self) -> (u64, u64) {
        (self.0.entries.len() as u64, self.0.entries.weight())
    }

    /// Returns what loads keys of this kind.
    pub fn loader(&self, key: &Key) -> Option<Arc<dyn Loader>> {
        let loader = self.0.loaders.read().get(key.kind()).cloned()?;
        Some(if key.workspace().is_some() { Arc::new(Elsewhere(loader)) } else { loader })
    }

    /// Returns what is rung after each put: listen first, then look, and nothing is missed.
    pub(crate) fn was_put(&self) -> &tokio::sync::Notify {
        &self.0.was_put
    }

    /// Returns the places of the loads of a kind.
    fn places(&self, key: &Key) -> Option<Arc<Semaphore>> {
        self.0.places.read().get(key.kind()).cloned()
    }

    fn barrier_of(&self, scope: &Name) -> Option<Arc<dyn Barrier>> {
        self.0.barriers.read().get(scope).cloned()
    }
}
