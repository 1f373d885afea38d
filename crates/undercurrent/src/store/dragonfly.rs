//! A store on a server that speaks the protocol of Redis, shared by many nodes: DragonflyDB, Redis 7 or Valkey 8, or
//! newer.
//!
//! Owns the keys of one namespace there. Promises that each step is atomic, and that nothing is believed of a server
//! that may have lost positions: such a server is a new incarnation. Memory of this process holds nothing that the
//! server does not know, except how far the order has been applied.
//!
//! A request is one call of a script of [`scripts`] through the [`connection`], which was claimed before. Reads
//! that need a position share the next [`barrier`].

mod address;
mod barrier;
mod claim;
mod clean;
mod clock;
mod connect;
mod connection;
mod doctor;
mod entry;
mod entry_text;
mod follow;
mod keys;
mod lease;
mod log;
mod names;
mod options;
mod order;
mod outcome;
mod plain;
mod publish;
mod record;
mod replicate;
mod reply;
mod rounds;
mod scripts;
mod scrub;
mod server;
mod shared;
mod streams;
mod tables;
#[cfg(test)]
mod tests;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};
use undercurrent_types::{Cursor, Durability, Key, Name, Position, StreamName, Token};

use self::claim::random;
use self::connection::Link;
use self::entry::Entries;
use self::lease::Vouched;
use self::publish::Draft;
use self::shared::Shared;
use super::{
    Batch, Commit, Committed, CreateStreamError, Horizon, InvalidationRecord, LogPage, NameState, Outcome,
    Page, PublishError, Published, Read, ReadLogError, ReadStreamError, Record, Row, Scrubbed, Secret, Store,
    StoreError, StoreState, StreamSettings, StreamState,
};

pub use self::connect::ConnectError;
pub use self::doctor::{
    Latency, Meaning, Memory, Part, Persistence, Replica, Replication, SharedCheckup, SharedNamespace,
    examine,
};
pub use self::options::SharedStoreOptions;
pub use self::url::{StoreUrl, StoreUrlError};

/// A namespace on a server that other nodes use too.
///
/// [`Store::close`] ends its tasks; dropping it does too.
pub struct SharedStore {
    shared: Arc<Shared>,
    entries: Entries,
}

impl SharedStore {
    /// Connects to the server, and makes the namespace there if it is not there yet.
    ///
    /// # Errors
    ///
    /// Fails when the server can not be reached or lacks something that is needed, or what lies there is of another
    /// format.
    pub async fn open(options: SharedStoreOptions) -> Result<Self, ConnectError> {
        let link = Link::open(options).await?;
        let shared = Arc::new(Shared::new(link, Vouched::new(random())));
        tokio::spawn(follow::follow(shared.clone()));
        tokio::spawn(lease::renew(shared.clone()));
        tokio::spawn(clean::clean(shared.clone()));
        tokio::spawn(shared::keep_warm(shared.clone()));
        Ok(Self { shared, entries: Entries::default() })
    }

    fn link(&self) -> &Link {
        &self.shared.link
    }

    fn seen(&self) -> Position {
        self.link().order.known().seen.at.position
    }

    async fn publish_batch(&self, batch: Batch) -> Result<Published, PublishError> {
        if self.shared.is_closed() {
            return Err(PublishError::Closed);
        }
        let draft = Draft::new(&batch)?;
        let vouched = &self.shared.vouched;
        let word = vouched.word_of(&batch, self.link()).await;
        let published = match &word {
            Ok(word) => self.link().publish(&draft, word.as_ref()).await,
            Err(error) => Err(error.clone().into()),
        };
        match &published {
            Ok(_) => vouched.published(&batch),
            Err(PublishError::Unavailable { .. } | PublishError::Unknown { .. })
                if !batch.names.is_empty() =>
            {
                vouched.withdraw();
            }
            Err(_) => {}
        }
        drop(word);
        let published = published?;
        if self.link().options.plain_keys.is_some() {
            let names: Vec<_> = batch.names.iter().map(|moved| moved.name.clone()).collect();
            self.link().hide_plain(&names).await;
        }
        if published.events.iter().any(|event| event.durability == Durability::Replicated) {
            let reached = self.shared.replication.reached(self.link(), published.token).await;
            reached.map_err(|reason| PublishError::Unknown {
                reason: format!("they are on one server, and perhaps on no other: {reason}"),
            })?;
        }
        Ok(published)
    }
}

impl Store for SharedStore {
    fn horizon(&self) -> &Horizon {
        &self.link().order.horizon
    }

    fn publish(&self, batch: Batch) -> BoxFuture<'_, Result<Published, PublishError>> {
        Box::pin(self.publish_batch(batch))
    }

    fn outcome<'a>(
        &'a self,
        stream: &'a StreamName,
        source: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(self.link().outcome(stream, source, id))
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        Box::pin(self.shared.barrier())
    }

    fn barrier_now(&self) -> Option<Position> {
        None
    }

    fn barrier_within(&self, age: Duration) -> Option<Position> {
        self.shared.barrier_within(age)
    }

    fn keeps_entries(&self) -> bool {
        true
    }

    fn read<'a>(
        &'a self,
        key: &'a Key,
        loader_version: Option<u32>,
        lease: bool,
    ) -> BoxFuture<'a, Result<Read, StoreError>> {
        Box::pin(self.entries.read(self.link(), key, loader_version, lease))
    }

    fn release<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, ()> {
        Box::pin(self.entries.release(self.link(), key))
    }

    fn commit<'a>(&'a self, commit: Commit<'a>) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(self.entries.commit(self.link(), commit))
    }

    fn still_valid(&self, _closure: &[Name], _as_of: Position) -> Option<Position> {
        None
    }

    fn valid<'a>(
        &'a self,
        closure: &'a [Name],
        as_of: Token,
    ) -> BoxFuture<'a, Result<Option<Position>, StoreError>> {
        Box::pin(entry::valid(self.link(), closure, as_of))
    }

    fn settled(&self, _at: Position) -> BoxFuture<'_, ()> {
        // A step shows all that it writes at once.
        Box::pin(std::future::ready(()))
    }

    fn latest<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(self.link().latest(key))
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, ReadStreamError>> {
        Box::pin(self.link().read_stream(stream, after, limit))
    }

    fn read_log(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, ReadLogError>> {
        Box::pin(self.link().read_log(after, limit))
    }

    fn visible(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async { Ok(self.shared.barrier().await?.position) })
    }

    fn watch_visible(&self) -> watch::Receiver<u64> {
        self.shared.rings.watch(self.seen())
    }

    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record> {
        self.shared.rings.join(Some(stream), self.seen())
    }

    fn observe(&self) -> broadcast::Receiver<Record> {
        self.shared.rings.join(None, self.seen())
    }

    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Cursor, StoreError>> {
        Box::pin(self.link().tail(stream))
    }

    fn create_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        settings: StreamSettings,
    ) -> BoxFuture<'a, Result<StreamState, CreateStreamError>> {
        Box::pin(async move {
            if self.shared.is_closed() {
                return Err(PublishError::Closed.into());
            }
            self.link().create(stream, settings).await
        })
    }

    fn delete_stream<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<bool, PublishError>> {
        Box::pin(async move {
            if self.shared.is_closed() {
                return Err(PublishError::Closed);
            }
            self.link().delete(stream).await
        })
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamState>, StoreError>> {
        Box::pin(self.link().streams())
    }

    fn invalidations<'a>(
        &'a self,
        names: &'a [Name],
        limit: usize,
    ) -> BoxFuture<'a, Vec<InvalidationRecord>> {
        Box::pin(async move { self.link().invalidations(names, limit).await.unwrap_or_default() })
    }

    fn last<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<NameState>, StoreError>> {
        Box::pin(self.link().last(names))
    }

    fn row<'a>(&'a self, table: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        Box::pin(self.link().row(table, id))
    }

    fn rows<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<Vec<(String, Row)>, StoreError>> {
        Box::pin(self.link().rows(table))
    }

    fn scrub<'a>(&'a self, secret: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>> {
        Box::pin(self.link().scrub(secret))
    }

    fn strongest(&self) -> Durability {
        self.link().server().strongest()
    }

    fn state(&self) -> StoreState {
        let place = self.link().options.url.to_string();
        StoreState { failed: self.link().failure(), place, log_bytes: 0 }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.close();
        Box::pin(self.shared.rings.ended())
    }
}

impl Drop for SharedStore {
    fn drop(&mut self) {
        self.shared.close();
    }
}
