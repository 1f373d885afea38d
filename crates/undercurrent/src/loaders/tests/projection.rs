use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;
use undercurrent_types::{Cursor, Incarnation, Level, Position, StreamName, Token};

use super::super::projection::ProjectionLoader;
use super::*;
use crate::cache::{LoadError, Loader};
use crate::store::*;

/// A store that holds one state, which shows once everything up to position 7 is settled.
struct Settling {
    horizon: Horizon,
    settled: AtomicBool,
    closed: bool,
}

impl Settling {
    fn loader(closed: bool) -> ProjectionLoader {
        let horizon = Horizon::starting_at(Incarnation(1), Position(7));
        ProjectionLoader::new(Arc::new(Self { horizon, settled: AtomicBool::new(false), closed }))
    }
}

impl Store for Settling {
    fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    fn settled(&self, at: Position) -> BoxFuture<'_, ()> {
        async move { self.settled.store(at == Position(7), Ordering::Relaxed) }.boxed()
    }

    fn latest<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        let known = self.settled.load(Ordering::Relaxed) && key.as_str() == "state:a";
        let answer = if self.closed { Err(StoreError::Closed) } else { Ok(known.then(|| "{ }".into())) };
        std::future::ready(answer).boxed()
    }

    fn publish(&self, _: Batch) -> BoxFuture<'_, Result<Published, PublishError>> {
        unreachable!("a loader publishes nothing")
    }

    fn outcome<'a>(
        &'a self,
        _: &'a StreamName,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        unreachable!("a loader publishes nothing")
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        unreachable!("the cache has asked")
    }

    fn barrier_now(&self) -> Option<Position> {
        unreachable!("the cache has asked")
    }

    fn commit<'a>(&'a self, _: Commit<'a>) -> BoxFuture<'a, Result<Committed, StoreError>> {
        unreachable!("the cache commits")
    }

    fn valid<'a>(&'a self, _: &'a [Name], _: Token) -> BoxFuture<'a, Result<Option<Position>, StoreError>> {
        unreachable!("the cache has asked")
    }

    fn still_valid(&self, _: &[Name], _: Position) -> Option<Position> {
        unreachable!("the cache has asked")
    }

    fn read_stream<'a>(
        &'a self,
        _: &'a StreamName,
        _: Option<Cursor>,
        _: usize,
    ) -> BoxFuture<'a, Result<Page, ReadStreamError>> {
        unreachable!("the latest state is enough")
    }

    fn read_log(&self, _: Option<Position>, _: usize) -> BoxFuture<'_, Result<LogPage, ReadLogError>> {
        unreachable!("the latest state is enough")
    }

    fn visible(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        unreachable!("the latest state is enough")
    }

    fn watch_visible(&self) -> tokio::sync::watch::Receiver<u64> {
        unreachable!("the latest state is enough")
    }

    fn follow(&self, _: &StreamName) -> broadcast::Receiver<Record> {
        unreachable!("the latest state is enough")
    }

    fn observe(&self) -> broadcast::Receiver<Record> {
        unreachable!("the latest state is enough")
    }

    fn tail<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<Cursor, StoreError>> {
        unreachable!("the latest state is enough")
    }

    fn create_stream<'a>(
        &'a self,
        _: &'a StreamName,
        _: StreamSettings,
    ) -> BoxFuture<'a, Result<StreamState, CreateStreamError>> {
        unreachable!("a loader makes no stream")
    }

    fn delete_stream<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<bool, PublishError>> {
        unreachable!("a loader deletes no stream")
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamState>, StoreError>> {
        unreachable!("a loader asks for one key")
    }

    fn invalidations<'a>(&'a self, _: &'a [Name], _: usize) -> BoxFuture<'a, Vec<InvalidationRecord>> {
        std::future::ready(Vec::new()).boxed()
    }

    fn last<'a>(&'a self, _: &'a [Name]) -> BoxFuture<'a, Result<Vec<NameState>, StoreError>> {
        unreachable!("the cache has asked")
    }

    fn scrub<'a>(&'a self, _: &'a Secret) -> BoxFuture<'a, Result<(Scrubbed, Vec<Name>), StoreError>> {
        unreachable!()
    }

    fn row<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        unreachable!("a loader has no tables")
    }

    fn rows<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<(String, Row)>, StoreError>> {
        unreachable!("a loader has no tables")
    }

    fn state(&self) -> StoreState {
        StoreState { failed: None, place: String::new(), log_bytes: 0 }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn a_projection_is_the_latest_state_once_everything_before_has_settled() {
    let loader = Settling::loader(false);
    let key = |text| Key::parse(text).unwrap();
    let loaded = loader.read(&key("state:a")).await.unwrap();
    assert_eq!(loaded.value.as_deref(), Some(&b"{ }"[..]));
    assert!(loaded.validator.is_none() && loaded.names.is_empty());
    assert_eq!(loader.read(&key("state:b")).await.unwrap().value, None);
}

#[tokio::test]
async fn a_store_that_can_not_be_asked_is_unavailable() {
    let error = Settling::loader(true).read(&Key::parse("ci:x").unwrap()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unavailable { .. }), "{error:?}");
}

#[test]
fn a_projection_offers_what_the_log_can_give() {
    let loader = Settling::loader(false);
    let key = Key::parse("state:a").unwrap();
    for level in [Level::Local, Level::Bounded(std::time::Duration::ZERO), Level::Fresh] {
        assert_eq!(loader.offers(&key, level), Ok(()));
    }
    for level in [Level::Synced, Level::Verified] {
        assert!(loader.offers(&key, level).unwrap_err().contains("`fresh` is exact"));
    }
}

#[test]
fn every_shipped_kind_has_its_loader_and_default_level() {
    let tree = Tree::new();
    let horizon = Horizon::starting_at(Incarnation(1), Position(0));
    let store: Arc<dyn Store> =
        Arc::new(Settling { horizon, settled: AtomicBool::new(false), closed: false });
    let loaders = super::super::shipped(&tree.workspace, &store);
    let given: Vec<_> =
        loaders.iter().map(|(kind, loader)| (*kind, loader.name(), loader.default_level())).collect();
    let expected = [
        ("file", "file", Level::Verified),
        ("dir", "dir", Level::Synced),
        ("git", "git", Level::Synced),
        ("state", "projection", Level::Fresh),
        ("ci", "projection", Level::Fresh),
    ];
    assert_eq!(given, expected);
}
