//! What is going on.

use undercurrent_types::wire::{SourceStatus, Status};
use undercurrent_types::{Name, Token};

use super::EventStream;
use crate::store::StoreError;

impl EventStream {
    /// Returns the state of every source.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.0.sources.lock().iter().flat_map(|one| one.source.status()).collect()
    }

    /// Says whether none of these scopes is in doubt.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked.
    pub(crate) async fn vouches_for(&self, scopes: &[Name]) -> Result<bool, StoreError> {
        Ok(self.0.store.last(scopes).await?.iter().all(|scope| !scope.in_doubt))
    }

    /// Returns where the data lies, for people.
    pub fn place(&self) -> String {
        self.0.store.state().place
    }

    /// Returns the state of the store, the cache and every source.
    ///
    /// # Errors
    ///
    /// Fails when the store can not be asked for its streams.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let streams = self.0.store.streams().await?.len() as u64;
        let horizon = self.0.store.horizon();
        let store = self.0.store.state();
        let (entries, entry_bytes) = self.0.cache.size();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            namespace: self.0.namespace.clone(),
            data: store.place,
            token: Token { inc: horizon.incarnation(), position: horizon.applied() },
            store: store.failed.unwrap_or_else(|| "writable".to_owned()),
            rules: self.rules().version(),
            streams,
            log_bytes: store.log_bytes,
            entries,
            entry_bytes,
            sources: self.sources(),
        })
    }
}
