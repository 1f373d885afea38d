//! A store that takes round trips: what the engine does over one is otherwise never run.
//!
//! It stands before another store as a connection would: a request is on its way for a while and so is its answer, and
//! this side knows of the order only what barriers told it. For workloads alone: a publish that is dropped, or fails after
//! its names are in force, is not told to this side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, broadcast, watch};
use undercurrent::ablation::{Step, skips};
use undercurrent::store::{
    Batch, Commit, Committed, CreateStreamError, Horizon, InvalidationRecord, LogPage, NameState, Outcome,
    Page, PublishError, Published, ReadLogError, ReadStreamError, Record, Row, Scrubbed, Secret, Store,
    StoreError, StoreState, StreamSettings, StreamState,
};
use undercurrent::types::Position;
use undercurrent::{Cursor, Key, Name, StreamName, Token};

use crate::dice::pause;

/// A store behind round trips.
pub struct Remote {
    inner: Arc<dyn Store>,
    /// What barriers told this side.
    horizon: Horizon,
    /// The names of each position that no barrier has told yet. Held while a position is taken, so that a barrier which
    /// has the position has its names; bounded by what is published between two barriers.
    log: Mutex<VecDeque<(Position, Vec<Name>)>>,
    /// How many barriers have been sent.
    sent: AtomicU64,
    /// The last one that came back, with its number; held while one is under way.
    back: Mutex<(u64, Option<Token>)>,
}

impl Remote {
    /// Puts round trips before a store.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let (incarnation, applied) = (inner.horizon().incarnation(), inner.horizon().applied());
        let horizon = Horizon::starting_at(incarnation, applied);
        Self { inner, horizon, log: Mutex::default(), sent: AtomicU64::new(0), back: Mutex::default() }
    }

    /// Shares the next barrier, never one that is under way. In the model: `memory::barrier`.
    async fn ask(&self) -> Result<Token, StoreError> {
        let sent = self.sent.load(Ordering::SeqCst);
        let wanted = if skips(Step::BarrierAfterRead) { sent.max(1) } else { sent + 1 };
        let mut back = self.back.lock().await;
        if back.0 >= wanted
            && let Some(token) = back.1
        {
            return Ok(token);
        }
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        pause().await;
        let token = {
            let _complete = self.log.lock().await;
            self.inner.barrier().await?
        };
        pause().await;
        let mut log = self.log.lock().await;
        while log.front().is_some_and(|(position, _)| *position <= token.position) {
            let Some((position, names)) = log.pop_front() else { break };
            self.horizon.raise(&names, position);
        }
        drop(log);
        self.horizon.advance(token.position);
        *back = (number, Some(token));
        Ok(token)
    }

    async fn send(&self, batch: Batch) -> Result<Published, PublishError> {
        pause().await;
        let names = batch.names.iter().map(|moved| moved.name.clone()).collect();
        let published = {
            let mut log = self.log.lock().await;
            let published = self.inner.publish(batch).await?;
            log.push_back((published.token.position, names));
            published
        };
        pause().await;
        Ok(published)
    }

    async fn ask_to_commit(&self, commit: Commit<'_>) -> Result<Committed, StoreError> {
        pause().await;
        let committed = {
            let mut log = self.log.lock().await;
            let committed = self.inner.commit(commit).await?;
            if let (Committed::Accepted(position), Some(key)) = (committed, commit.announce) {
                log.push_back((position, vec![Name::from(key)]));
            }
            committed
        };
        pause().await;
        Ok(committed)
    }
}

impl Store for Remote {
    fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    fn publish(&self, batch: Batch) -> BoxFuture<'_, Result<Published, PublishError>> {
        Box::pin(self.send(batch))
    }

    fn outcome<'a>(
        &'a self,
        stream: &'a StreamName,
        source: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        self.inner.outcome(stream, source, id)
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        Box::pin(self.ask())
    }

    fn barrier_now(&self) -> Option<Position> {
        None
    }

    fn commit<'a>(&'a self, commit: Commit<'a>) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(self.ask_to_commit(commit))
    }

    fn valid<'a>(
        &'a self,
        closure: &'a [Name],
        as_of: Token,
    ) -> BoxFuture<'a, Result<Option<Position>, StoreError>> {
        Box::pin(async move {
            pause().await;
            let valid = self.inner.valid(closure, as_of).await;
            pause().await;
            valid
        })
    }

    fn still_valid(&self, _closure: &[Name], _as_of: Position) -> Option<Position> {
        None
    }

    fn settled(&self, at: Position) -> BoxFuture<'_, ()> {
        self.inner.settled(at)
    }

    fn latest<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.latest(key)
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, ReadStreamError>> {
        self.inner.read_stream(stream, after, limit)
    }

    fn read_log(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, ReadLogError>> {
        self.inner.read_log(after, limit)
    }

    fn visible(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.inner.visible()
    }

    fn watch_visible(&self) -> watch::Receiver<u64> {
        self.inner.watch_visible()
    }

    fn follow(&self, stream: &StreamName) -> broadcast::Receiver<Record> {
        self.inner.follow(stream)
    }

    fn observe(&self) -> broadcast::Receiver<Record> {
        self.inner.observe()
    }

    fn tail<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<Cursor, StoreError>> {
        self.inner.tail(stream)
    }

    fn create_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        settings: StreamSettings,
    ) -> BoxFuture<'a, Result<StreamState, CreateStreamError>> {
        self.inner.create_stream(stream, settings)
    }

    fn delete_stream<'a>(&'a self, stream: &'a StreamName) -> BoxFuture<'a, Result<bool, PublishError>> {
        self.inner.delete_stream(stream)
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamState>, StoreError>> {
        self.inner.streams()
    }

    fn invalidations<'a>(
        &'a self,
        names: &'a [Name],
        limit: usize,
    ) -> BoxFuture<'a, Vec<InvalidationRecord>> {
        self.inner.invalidations(names, limit)
    }

    fn last<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<NameState>, StoreError>> {
        self.inner.last(names)
    }

    fn scrub<'a>(&'a self, secret: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>> {
        self.inner.scrub(secret)
    }

    fn row<'a>(&'a self, table: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        self.inner.row(table, id)
    }

    fn rows<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<Vec<(String, Row)>, StoreError>> {
        self.inner.rows(table)
    }

    fn state(&self) -> StoreState {
        self.inner.state()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
