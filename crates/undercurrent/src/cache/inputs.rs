//! The other keys that a loader reads.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use undercurrent_types::{Key, Position, Token, Version};

use super::Cache;
use super::entry::Entry;
use super::flight::{Mode, Need, UNKNOWN};
use super::loader::LoadError;
use super::pace::Place;
use crate::ablation::{Step, skips};

/// Reads other keys for a loader; each becomes a dependency of the value being loaded.
///
/// A key is read once per load, so a loader never sees two versions of it. A value read here is never older than the
/// load itself. In the model: `dependencies::entry::Input`.
pub struct Inputs {
    cache: Option<Cache>,
    key: Key,
    /// What every key read here needs: the position and place of the load that reads it.
    need: Need,
    /// What has been read so far, in order. A plain lock: held for a look or a push only.
    got: Mutex<Vec<Arc<Entry>>>,
    /// The place of the load, left while another key is waited for.
    place: Place,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("key", &self.key).field("need", &self.need).finish_non_exhaustive()
    }
}

impl Inputs {
    pub(super) fn new(cache: &Cache, key: &Key, need: Need) -> Self {
        Self {
            cache: Some(cache.clone()),
            key: key.clone(),
            need,
            got: Mutex::default(),
            place: Place::among(None),
        }
    }

    /// Makes the inputs of a load, which has its place among those of its kind.
    pub(super) fn of_load(cache: &Cache, key: &Key, need: Need) -> Self {
        Self { place: Place::among(cache.places(key)), ..Self::new(cache, key, need) }
    }

    /// Waits for a place for the load.
    pub(super) async fn enter(&self) {
        self.place.enter().await;
    }

    /// Makes inputs that refuse every key: for trying a loader by itself.
    pub fn none(key: &Key) -> Self {
        let barrier = Token { inc: UNKNOWN, position: Position(0) };
        let need = Need::new(barrier, 0, Mode::Fresh);
        Self { cache: None, key: key.clone(), need, got: Mutex::default(), place: Place::among(None) }
    }

    /// Reads a key. `None` says that what it names is not there, and that is depended on as well.
    ///
    /// # Errors
    ///
    /// Fails as the load of that key does, and with [`LoadError::Cycle`] where that load waits for this one.
    pub async fn get(&self, key: &Key) -> Result<Option<Bytes>, LoadError> {
        Ok(self.read(key).await?.value.clone())
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Arc<Entry>, LoadError> {
        if !skips(Step::ReadOnce)
            && let Some(entry) = self.got.lock().iter().find(|entry| entry.key == *key)
        {
            return Ok(entry.clone());
        }
        let Some(cache) = &self.cache else {
            return Err(LoadError::Unavailable {
                key: key.clone(),
                reason: "there is no cache to read it from".into(),
            });
        };
        if *key == self.key {
            return Err(LoadError::Cycle(vec![key.clone(), key.clone()]));
        }
        let entry = match cache.input_now(key, &self.need) {
            Some(entry) => entry,
            None => {
                self.place.leave();
                let read = cache.fly(key, self.need, Some(&self.key)).await;
                self.place.come_back().await;
                read?.0
            }
        };
        let mut got = self.got.lock();
        // A loader may read several keys at once; of two reads of one key the first that came back stands.
        if let Some(first) = got.iter().find(|one| one.key == *key) {
            return Ok(if skips(Step::ReadOnce) { entry } else { first.clone() });
        }
        got.push(entry.clone());
        Ok(entry)
    }

    pub(super) fn into_entries(self) -> Vec<Arc<Entry>> {
        self.got.into_inner()
    }
}

impl Cache {
    /// Returns what is in memory for the loader of another key: at least as fresh as that load.
    fn input_now(&self, key: &Key, need: &Need) -> Option<Arc<Entry>> {
        let entry = self.0.entries.get(key)?;
        self.good_at(&entry, need.barrier).map(|_| entry)
    }
}

/// Pairs entries with the versions that were read.
pub(super) fn versions(entries: &[Arc<Entry>]) -> Box<[(Key, Version)]> {
    entries.iter().map(|entry| (entry.key.clone(), entry.version)).collect()
}
