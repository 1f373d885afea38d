//! What the store keeps of a key for all nodes, as one of them uses it.

use std::sync::Arc;
use std::time::Duration;

use undercurrent_types::{Key, Level, Position, Token};

use super::entry::Entry;
use super::fill::unavailable;
use super::flight::{Mode, UNKNOWN};
use super::loader::{LoadError, Loader};
use super::{Cache, Doubt};
use crate::store::{Kept, Lease, Read, StoreError};

/// What is known of the order while the store can not be asked: nothing.
pub(super) const BLIND: Token = Token { inc: UNKNOWN, position: Position(0) };

/// How soon another node's fill is looked for, at first and at most.
const LOOK: Duration = Duration::from_millis(2);
const SELDOM: Duration = Duration::from_millis(64);

/// A value that stands, and may stand again.
pub(super) struct Old {
    pub(super) entry: Arc<Entry>,
    /// Whether a name of its own moved, where the store said so: it is what the store keeps.
    pub(super) own_moved: Option<bool>,
}

impl Cache {
    /// Asks the store for what it keeps, which is also where its order stands. Of a read that may be answered by it, the
    /// store is asked for the lease as well.
    pub(super) async fn ask_store(&self, key: &Key, mode: Mode) -> Result<Read, LoadError> {
        let loader = self.loader(key);
        let version = loader.as_ref().map_or(0, |loader| loader.version());
        let lease = loader.is_some() && mode == Mode::Fresh && key.workspace().is_none();
        match self.0.store.read(key, Some(version), lease).await {
            Err(StoreError::Unavailable { .. }) if self.0.options.doubt == Doubt::Load => {
                Ok(Read { at: BLIND, known: Position(0), kept: Kept::Nothing, lease: Lease::Held })
            }
            answer => answer.map_err(|error| unavailable(key, &error)),
        }
    }

    /// Waits while another node fills the key, at most for the lease that stands. A lease only saves double work: where
    /// that fill leaves nothing valid, the next one is not waited for.
    pub(super) async fn await_lease(&self, key: &Key, mode: Mode, first: Read) -> Result<Read, LoadError> {
        let (mut read, mut pause, mut last) = (first, LOOK, Duration::MAX);
        while let Lease::Elsewhere(left) = read.lease
            && left <= last
        {
            last = left;
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(SELDOM);
            read = self.ask_store(key, mode).await?;
        }
        Ok(read)
    }

    /// Takes what the store keeps into memory, if it is valid.
    pub(super) async fn take_kept(&self, key: &Key, read: &Read) -> Option<Arc<Entry>> {
        let Kept::Valid(kept) = &read.kept else { return None };
        let as_of = Token { inc: read.at.inc, position: read.known };
        let entry = Arc::new(Entry::of_kept(key, kept, as_of, self.level_of_kind(key)));
        let _inserting = self.inserting(key).lock().await;
        if self.may_replace(&entry) {
            self.insert(entry.clone());
        }
        Some(entry)
    }

    /// Returns what may stand again: what is in memory, or what the store keeps, where that is another value.
    pub(super) fn standing(&self, key: &Key, own: Option<Arc<Entry>>, read: &Read) -> Option<Old> {
        let own = own.map(|entry| Old { entry, own_moved: None });
        let (kept, moved) = match &read.kept {
            Kept::Nothing => return own,
            Kept::Valid(kept) => (kept, false),
            Kept::Invalid { entry, own_moved } => (entry, *own_moved),
        };
        if own.as_ref().is_some_and(|own| own.entry.version == kept.version && own.entry.inc == read.at.inc) {
            return own;
        }
        // Nothing vouches for it until it has been asked for.
        let as_of = Token { inc: read.at.inc, position: Position(0) };
        let entry = Arc::new(Entry::of_kept(key, kept, as_of, self.level_of_kind(key)));
        Some(Old { entry, own_moved: Some(moved) })
    }

    /// Says whether an entry may take the place of what stands in memory: not that of one known to be good for later.
    pub(super) fn may_replace(&self, entry: &Entry) -> bool {
        let applied = self.0.store.horizon().applied();
        self.0.entries.peek(&entry.key).is_none_or(|standing| {
            standing.inc != entry.inc
                || standing.as_of() <= entry.as_of()
                || self.still_good(&standing, applied).is_none()
        })
    }

    pub(super) fn level_of_kind(&self, key: &Key) -> Level {
        self.loader(key).as_deref().map_or(Level::Fresh, Loader::default_level)
    }
}
