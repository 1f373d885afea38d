//! The last state that events carried about a key.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use undercurrent_types::{Key, Level};

use crate::ablation::{Step, skips};
use crate::cache::{Inputs, LoadError, Loaded, Loader};
use crate::store::Store;

/// Loads `state:` and `ci:` keys: the data of the last fact about them, byte for byte.
///
/// The log is the source. A load waits until every event up to the position at which it began is visible or failed, so
/// that a read which begins after an event about the key became visible answers from that event or a later one.
pub struct ProjectionLoader {
    store: Arc<dyn Store>,
}

impl ProjectionLoader {
    /// Loads what the events of a store said.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Loaded, LoadError> {
        // The caller took the load's h before, so this position is not below it.
        if !skips(Step::ProjectionWaits) {
            self.store.settled(self.store.horizon().applied()).await;
        }
        let latest = self.store.latest(key).await;
        let value = latest.map_err(|e| LoadError::Unavailable { key: key.clone(), reason: e.to_string() })?;
        Ok(Loaded { value, ..Loaded::default() })
    }
}

impl std::fmt::Debug for ProjectionLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProjectionLoader").finish_non_exhaustive()
    }
}

impl Loader for ProjectionLoader {
    fn name(&self) -> &'static str {
        "projection"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, _key: &Key, level: Level) -> Result<(), String> {
        match level {
            Level::Local | Level::Bounded(_) | Level::Fresh => Ok(()),
            Level::Synced | Level::Verified => Err(format!(
                "its source is the log itself, for which `fresh` is exact already: there is nothing else that \
                 `{level}` could ask"
            )),
        }
    }

    fn load<'a>(&'a self, key: &'a Key, _inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        self.read(key).boxed()
    }
}
