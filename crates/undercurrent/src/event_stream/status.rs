//! What is going on.

use undercurrent_types::Token;
use undercurrent_types::wire::Status;

use super::EventStream;

impl EventStream {
    /// Returns the state of the store, the cache and every source.
    pub fn status(&self) -> Status {
        let horizon = self.0.store.horizon();
        let store = self.0.store.state();
        let (entries, entry_bytes) = self.0.cache.size();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            namespace: self.0.namespace.clone(),
            data: store.place,
            token: Token { inc: horizon.incarnation(), position: horizon.applied() },
            store: store.failed.unwrap_or_else(|| "writable".to_owned()),
            rules: self.0.rules.version(),
            streams: self.0.store.streams().len() as u64,
            log_bytes: store.log_bytes,
            entries,
            entry_bytes,
            sources: self.0.sources.lock().iter().flat_map(|one| one.source.status()).collect(),
        }
    }
}
